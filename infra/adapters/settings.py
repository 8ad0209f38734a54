"""Settings in small sections, read once at the edge from `REELWRIGHT_…` variables."""

from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.adapters.section import PREFIX as PREFIX
from infra.adapters.section import Section
from infra.adapters.settings_gateway import GatewaySettings as GatewaySettings
from infra.adapters.settings_llm import LlmSettings as LlmSettings
from pipelines.errors import SettingsError

_Cap = Annotated[Decimal | None, Field(ge=0, max_digits=18, decimal_places=6)]


class PathSettings(Section):
    """Where things lie on this machine."""

    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("reelwright"),
        description="Object store of the one-machine mode, run history, caches, scratch files, "
        "logs.",
    )
    models_dir: Path | None = Field(None, description="Model sets, one folder each.")
    ffmpeg: str = Field("", description="An ffmpeg to use instead.")

    @cached_property
    def models(self) -> Path:
        return self.models_dir or self.data_dir / "models"


class StoreSettings(Section):
    """The S3 store; without an endpoint, SeaweedFS is started for the command's duration."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}S3_", frozen=True, extra="ignore")

    endpoint: str = Field("", description="`host:port` of an S3 or MinIO server.")
    access_key: str = Field("", description="Access key of that server.")
    secret_key: SecretStr = Field(SecretStr(""), description="Secret key of that server.")
    bucket: str = Field("reelwright", description="Bucket; made if it does not exist.")
    secure: bool = Field(False, description="Speak HTTPS to the endpoint.")
    patience: float = Field(
        6.0, ge=0, le=3600, description="Seconds to wait for a store that does not respond."
    )
    region: str = Field("us-east-1", description="Region to sign requests for.")
    data_dir: Path | None = Field(
        None,
        description="Files of an embedded store on this machine, to be put on disk; `up` sets it.",
    )


class ComputeSettings(Section):
    """How the models run."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where the models run; `auto` takes CUDA if there is a GPU."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Wan's numbers: `auto` is bfloat16 on CUDA, else float32."
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Compile the transformer on CUDA: `auto` for shapes that a warm process had "
        "time to compile while it waited, and in later processes for those whose code it left in "
        "the data directory; `on` every shape before its first chunk, `off` none.",
    )
    gpu: int = Field(
        0,
        ge=0,
        description="Which GPU, as nvidia-smi counts. It must be there if this is set. Unset: the "
        "first of `CUDA_VISIBLE_DEVICES`, counted so too whatever `CUDA_DEVICE_ORDER` says, "
        "else 0.",
    )

    gpu_memory_gb: float = Field(
        22.0,
        ge=0,
        description="GB (10^9 bytes) of the GPU that all processes of a run may take, enforced; "
        "0: the whole card.",
    )
    gpu_hour_price: float = Field(
        0.0,
        ge=0,
        description="What an hour of the GPU costs in all, such as the rent, in place of the "
        "figures of the cost ledger; 0: unknown. Drafts and the ledger then say what a video "
        "costs.",
    )

    @field_validator("gpu", mode="before")
    @classmethod
    def _counts_cards(cls, value: object) -> object:
        if isinstance(value, str) and value.startswith(("MIG-", "GPU-")):
            raise ValueError(
                "this is the name of a card or of a part of one (MIG), and a number is expected; "
                "give the name to CUDA_VISIBLE_DEVICES, and leave this one unset"
            )
        return value


class RemoteSettings(Section):
    """Backends on other machines."""

    backends: Path | None = Field(
        None, description="YAML file of remote backends; without it there are none."
    )


class UpscalerSettings(Section):
    """Speed and memory of Real-ESRGAN."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}UPSCALER_", frozen=True, extra="ignore")

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Numbers of the network; `auto` is float16 on CUDA, float32 on a CPU, where "
        "bfloat16 is the fast mode.",
    )
    channels_last: bool = Field(True, description="Memory format of the network.")
    batch: int = Field(
        0,
        ge=0,
        description="Most frames at once; 0 is 4 on CUDA, 1 on a CPU. With little free memory it "
        "takes fewer.",
    )
    tile: int = Field(0, ge=0, description="Tile side in pixels; 0 is whole frames.")


class WorkerSettings(Section):
    """Workers of the pools."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}WORKER_", frozen=True, extra="ignore")

    idle_seconds: float = Field(
        900.0,
        gt=0,
        description="Silence after which the warm process gives the GPU back. Another one takes "
        "its place, which leaves the GPU alone until the next run and takes compiled code from the "
        "disk; models are loaded again.",
    )
    drain_seconds: float = Field(
        0.0, ge=0, description="How long runs may go on after SIGTERM before they are put back."
    )
    store_patience: float = Field(
        180.0, ge=0, le=3600, description="`REELWRIGHT_S3_PATIENCE` of the runs in a worker."
    )


class CalendarSettings(Section):
    """The content calendar."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}CALENDAR_", frozen=True, extra="ignore")

    file: Path | None = Field(None, description="YAML file of the content calendar.")


class RoutingSettings(Section):
    """The router, which chooses what makes a brief."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}ROUTING_", frozen=True, extra="ignore")

    policy: Path | None = Field(
        None,
        description="YAML file of what is preferred and what it may cost. `up` gives it to every "
        "process of its machine; other hosts need it too.",
    )


class RetentionSettings(Section):
    """How many days what nothing uses is kept; 0: for ever. `purge-scratch` removes the rest."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}RETENTION_", frozen=True, extra="ignore")

    videos_days: int = Field(0, ge=0, description="Published videos, from when they were made.")
    rejected_days: int = Field(14, ge=0, description="Films that were never published.")
    chunks_days: int = Field(90, ge=0, description="Chunks that no video uses.")
    segments_days: int = Field(90, ge=0, description="Upscaled parts that no video uses.")
    shots_days: int = Field(365, ge=0, description="Written shots that no video uses.")
    stills_days: int = Field(30, ge=0, description="Stills of drafts.")
    uploads_days: int = Field(90, ge=0, description="Pictures sent in that no video uses.")
    runs_days: int = Field(45, ge=0, description="What runs that have ended handed over.")
    deliveries_days: int = Field(90, ge=0, description="Events that were sent to endpoints.")
    prefect_days: int = Field(90, ge=0, description="Ended runs on Prefect's pages, with logs.")
    minutes_days: int = Field(2, ge=0, description="Runs of the calendar that started nothing.")
    keep_campaigns: str = Field(
        "", description="Campaigns whose videos are never deleted by age, separated by commas."
    )

    @property
    def kept(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.keep_campaigns.split(",") if name.strip())


class CostSettings(Section):
    """The cost ledger: currency, caps, and the price of GPU time. 0 or none: unknown, no cap."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}COSTS_", frozen=True, extra="ignore")

    currency: str = Field(
        "USD",
        pattern="^[A-Z]{3}$",
        description="Currency of all amounts, ISO 4217. A price in another one is refused.",
    )
    time_zone: str = Field(
        "UTC", description="Zone in which days and months begin, such as `Europe/Zurich`."
    )
    file: Path | None = Field(
        None, description="YAML file of caps; what it says goes before the caps here."
    )
    video_cap: _Cap = Field(
        Decimal("1.50"),
        description="Most that services may charge for one video; empty: no cap.",
    )
    campaign_cap: _Cap = Field(None, description="Most for each campaign, from its first video on.")
    day_cap: _Cap = Field(None, description="Most for a day.")
    month_cap: _Cap = Field(None, description="Most for a month.")
    gpu_watts: Decimal = Field(
        Decimal(0), ge=0, description="Power of the GPU, or of its whole machine, while it works."
    )
    kwh_price: Decimal = Field(Decimal(0), ge=0, description="Price of a kilowatt-hour.")
    gpu_price: Decimal = Field(
        Decimal(0), ge=0, description="Price of the GPU, less what it brings at its end."
    )
    gpu_life_hours: Decimal = Field(
        Decimal(0), ge=0, description="Hours of work over which that price is spread."
    )

    @field_validator("video_cap", "campaign_cap", "day_cap", "month_cap", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("this zone is unknown; write Area/City or UTC") from error
        return value


class StudioSettings(Section):
    """The studio of `reelwright up`."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}STUDIO_", frozen=True, extra="ignore")

    prefect_port: int = Field(4200, ge=1, le=65535, description="Prefect's pages and API.")
    s3_port: int = Field(8333, ge=1, le=65535, description="The object store.")
    gateway_port: int = Field(8004, ge=1, le=65535, description="The gateway of `reelwright up`.")
    briefs: int = Field(
        2,
        ge=1,
        description="Batch briefs at work at once, of which one at most has the GPU; rush and "
        "normal have twice as many.",
    )


class Settings:
    """All sections. Read with `Settings.load()`."""

    def __init__(self) -> None:
        self.paths = PathSettings()
        self.store = StoreSettings()
        self.compute = ComputeSettings()
        self.remote = RemoteSettings()
        self.llm = LlmSettings()
        self.upscaler = UpscalerSettings()
        self.worker = WorkerSettings()
        self.gateway = GatewaySettings()
        self.calendar = CalendarSettings()
        self.studio = StudioSettings()
        self.retention = RetentionSettings()
        self.costs = CostSettings()
        self.routing = RoutingSettings()

    @classmethod
    def load(cls) -> "Settings":
        """Read the environment. Raises SettingsError naming the variable and the rule."""
        try:
            return cls()
        except ValidationError as error:
            sentences = (_sentence(error.title, item) for item in error.errors())
            raise SettingsError("; ".join(sentences)) from error


SECTIONS: tuple[type[Section], ...] = (
    PathSettings,
    StoreSettings,
    ComputeSettings,
    RemoteSettings,
    LlmSettings,
    UpscalerSettings,
    WorkerSettings,
    GatewaySettings,
    CalendarSettings,
    StudioSettings,
    RetentionSettings,
    CostSettings,
    RoutingSettings,
)


def variable_of(section: type[BaseSettings], field: str) -> str:
    """The environment variable that sets `field`."""
    return f"{section.model_config.get('env_prefix', '')}{field}".upper()


def _sentence(title: str, item: object) -> str:
    assert isinstance(item, dict)
    section = next(section for section in SECTIONS if section.__name__ == title)
    variable = variable_of(section, str(item["loc"][0]))
    message = str(item["msg"])
    ours = message.removeprefix("Value error, ")
    return f"{variable}={item['input']}: {message.lower() if ours == message else ours}"
