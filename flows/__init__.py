"""The flows, one file for each. A flow file contains only calls, in the order of the work."""

from tasks.remote_backends import configure_backends_of_flows

configure_backends_of_flows()  # before Prefect checks a brief, whose preset may be one of theirs
