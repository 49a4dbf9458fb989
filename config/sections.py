"""The sections of the settings file that stand once, each with its defaults."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from config.section import Section
from config.values import (
    AeTitle,
    EngineName,
    Host,
    OptionalName,
    OptionalSettingsPath,
    ScoreBand,
    SettingsPath,
)


class NodeSettings(Section):
    """``[node]``: who this node is and where it keeps what it must not lose."""

    ae_title: AeTitle = "CXR_NODE"
    data_dir: SettingsPath = Path("data")
    fast_transport: bool = True


class ReceiverSettings(Section):
    """``[receiver]``: where the node listens, and to whom."""

    host: Host = "127.0.0.1"
    port: int = Field(default=11112, ge=0, le=65535)  # 0: any port that is free
    tls: bool = False
    require_known_source: bool = True
    study_quiet_seconds: float = Field(default=2.0, ge=0, le=3600)
    maximum_associations: int = Field(default=128, ge=1, le=256)
    maximum_associations_per_source: int = Field(default=64, ge=1, le=256)
    network_timeout_seconds: float = Field(default=60.0, ge=1, le=3600)


class ModelSettings(Section):
    """``[model]``: what looks at the pictures."""

    bundle: OptionalSettingsPath = None  # None: the model in the package
    shadow: OptionalSettingsPath = None  # None: no candidate
    engine: EngineName = "auto"
    uncertain: ScoreBand = None  # None: the model card's
    minimum_age_years: float = Field(default=1.0, ge=0, le=150)
    deadline_seconds: float = Field(default=60.0, ge=1, le=3600)
    images_per_process: int = Field(default=1000, ge=1, le=1_000_000)


class ResultsSettings(Section):
    """``[results]``: what is sent back."""

    heatmap_for_negatives: bool = False
    heatmap_modality: Literal["source", "OT"] = "source"
    heatmap_longest_side: int = Field(default=0, ge=0, le=100_000)  # the radiograph's own size


class PriorsSettings(Section):
    """``[priors]``: where a patient's earlier radiographs are fetched that this node has never seen."""

    archive: OptionalName = ""  # nowhere
    method: Literal["get", "move"] = "get"
    studies: int = Field(default=3, ge=1, le=10)
    years: int = Field(default=5, ge=1, le=100)
    images_per_study: int = Field(default=8, ge=1, le=100)


class LimitsSettings(Section):
    """``[limits]``: what is too large to be taken, or to be looked at."""

    data_set_megabytes: int = Field(default=512, ge=1, le=100_000)
    image_megapixels: int = Field(default=100, ge=1, le=10_000)
    header_elements: int = Field(default=100_000, ge=1000, le=10_000_000)
    sequence_depth: int = Field(default=32, ge=4, le=100)

    @property
    def data_set_bytes(self) -> int:
        """`data_set_megabytes` as files count."""
        return self.data_set_megabytes * 1_000_000

    @property
    def image_pixels(self) -> int:
        """`image_megapixels` as pictures count."""
        return self.image_megapixels * 1_000_000


class WorklistSettings(Section):
    """``[worklist]``: in which order studies are best read."""

    longest_wait_minutes: float = Field(default=240.0, ge=1, le=100_000)


class StorageSettings(Section):
    """``[storage]``: when the disk is too full to promise anything."""

    minimum_free_megabytes: int = Field(default=1024, ge=0, le=10**9)

    @property
    def minimum_free_bytes(self) -> int:
        """Below this nothing is received."""
        return self.minimum_free_megabytes * 1_000_000

    @property
    def reserve_bytes(self) -> int:
        """Below this nothing is read either: so much is left for writing down what was delivered and removed."""
        return self.minimum_free_bytes // 4


class RetrySettings(Section):
    """``[retry]``: how often and how long the node tries again."""

    analyse_attempts: int = Field(default=3, ge=1, le=100)
    analyse_first_seconds: float = Field(default=5.0, ge=0.001, le=86400)
    deliver_first_seconds: float = Field(default=2.0, ge=0.001, le=86400)
    deliver_longest_seconds: float = Field(default=30.0, ge=0.001, le=86400)
    deliver_give_up_days: float = Field(default=14.0, ge=0.001, le=3650)

    @property
    def deliver_give_up_seconds(self) -> float:
        """`deliver_give_up_days` as clocks count."""
        return self.deliver_give_up_days * 86400


class RetentionSettings(Section):
    """``[retention]``: how long a finished study is kept."""

    days: float = Field(default=30.0, ge=0, le=36500)
    free_megabytes: int = Field(default=4096, ge=0, le=10**9)


class LoggingSettings(Section):
    """``[logging]``: how much the node tells."""

    level: Literal["debug", "info", "warning", "error"] = "info"
