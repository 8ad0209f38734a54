"""An entry of the kind `comfyui` in the operator's file of backends."""

from decimal import Decimal
from pathlib import Path

from pydantic import Field, model_validator

from pipelines.backends.remote.config import RemoteConfig

SHIPPED = Path(__file__).with_name("workflows")
"""Our own workflows, each with its mapping."""


class ComfyConfig(RemoteConfig):
    """One ComfyUI server with one workflow. A second workflow is a second entry."""

    workflow: str
    """Name of a shipped workflow, such as `infinitetalk`; or absolute path of a file in API
    format."""
    mapping: str = ""
    """Absolute path of the mapping. Empty: it lies beside the workflow, with the suffix `.yaml`."""
    price_per_hour: Decimal = Field(Decimal(0), ge=0, le=1000, decimal_places=4)
    """Of a server that is paid by time; 0 for one of your own."""
    currency: str = Field("USD", pattern="^[A-Z]{3}$")

    @model_validator(mode="after")
    def _names_files(self) -> "ComfyConfig":
        if "/" not in self.workflow and not (SHIPPED / f"{self.workflow}.json").is_file():
            raise ValueError(
                f"workflow {self.workflow!r} is none of {', '.join(shipped())}; write one of "
                "these, or the absolute path of a workflow in API format"
            )
        for name in ("workflow", "mapping"):
            value = getattr(self, name)
            if "/" in value and not value.startswith("/"):
                raise ValueError(f"{name} {value!r} must be an absolute path; begin it with /")
        return self

    @property
    def workflow_path(self) -> Path:
        """File of the workflow."""
        if "/" in self.workflow:
            return Path(self.workflow)
        return SHIPPED / f"{self.workflow}.json"

    @property
    def mapping_path(self) -> Path:
        """File of its mapping."""
        return Path(self.mapping) if self.mapping else self.workflow_path.with_suffix(".yaml")


def shipped() -> tuple[str, ...]:
    """Names of the workflows that come with Reelwright."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.json")))
