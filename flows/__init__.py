"""The flows, one file for each. A flow file contains only calls, in the order of the work."""

from pipelines.backends.registry import before_first_use
from tasks.remote_backends import configure_backends_of_flows

before_first_use(configure_backends_of_flows)  # a brief may name a preset of the operator's file
