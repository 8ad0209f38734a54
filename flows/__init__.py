"""The flows, one file for each. A flow file contains only calls, in the order of the work."""
