"""How a device computed a clip."""

from pipelines.schema.frozen import Frozen


class Computation(Frozen):
    """What was chosen on the device for speed. It moves pixels by rounding only and is in no
    identity (attention in 8 bits is, by its own entry); it explains a run afterwards."""

    attention: str
    """diffusers' name of the attention function, such as `native` (torch's own) or `sage`."""
    compiled: bool
    """Whether the transformer's blocks ran as compiled code."""
