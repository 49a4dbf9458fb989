"""Everything that an administrator decides, as frozen types.

The default of every setting stands here and, with its reason, in ``node.toml``; a test keeps them the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from ipaddress import IPv6Address, ip_address
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from config.errors import Fault
from config.hl7 import Hl7Destination
from config.section import Section
from config.values import (
    Address,
    AeTitle,
    Host,
    Name,
    OptionalName,
    OptionalSettingsPath,
    ScoreBand,
    SettingsPath,
    WebAddress,
)


class ResultKind(StrEnum):
    """What can be sent of a study; a destination names the kinds that it gets."""

    STRUCTURED_REPORT = "structured_report"
    HEATMAP = "heatmap"
    KEY_OBJECTS = "key_objects"
    PRESENTATION_STATE = "presentation_state"
    REVIEW_WORKITEM = "review_workitem"
    HL7_MESSAGE = "hl7_message"


DICOM_OBJECTS = tuple(kind for kind in ResultKind if kind is not ResultKind.HL7_MESSAGE)
"""The kinds that a DICOM destination gets; what [[hl7]] gets is a matter of its own settings."""
STORED_OBJECTS = tuple(kind for kind in DICOM_OBJECTS if kind is not ResultKind.REVIEW_WORKITEM)
"""Those that an archive keeps, and can be asked for; a workitem is a task."""


class NodeSettings(Section):
    """``[node]``: who this node is and where it keeps what it must not lose."""

    ae_title: AeTitle = "CXR_NODE"
    data_dir: SettingsPath = Path("data")


class ReceiverSettings(Section):
    """``[receiver]``: where the node listens, and to whom."""

    host: Host = "127.0.0.1"
    port: int = Field(default=11112, ge=0, le=65535)  # 0: any port that is free
    require_known_source: bool = True
    study_quiet_seconds: float = Field(default=2.0, ge=0, le=3600)
    maximum_associations: int = Field(default=32, ge=1, le=1000)
    network_timeout_seconds: float = Field(default=60.0, ge=1, le=3600)


class Source(Section):
    """``[[sources]]``: a system that may send radiographs."""

    name: Name
    ae_title: AeTitle
    hosts: tuple[Address, ...] = Field(
        strict=False,
        min_length=1,
        description='a list of addresses or networks such as ["10.1.2.3"], not empty',
    )
    analyse_secondary_capture: bool = False
    study_quiet_seconds: float | None = Field(default=None, ge=0, le=3600)  # None: the receiver's


def _objects(description: str) -> Any:  # noqa: ANN401 - as pydantic's own Field
    """What a destination gets where nothing is said: every viewer shows one of the two."""
    default = (ResultKind.STRUCTURED_REPORT, ResultKind.HEATMAP)
    return Field(default=default, strict=False, min_length=1, description=description)


def _dicom_object(kind: ResultKind) -> ResultKind:
    if kind not in DICOM_OBJECTS:
        raise ValueError("must be a DICOM object; messages are what [[hl7]] sections are for")
    return kind


class Destination(Section):
    """``[[destinations]]``: an archive that gets results."""

    name: Name
    ae_title: AeTitle
    host: Host
    port: int = Field(ge=1, le=65535)
    objects: tuple[Annotated[ResultKind, Field(strict=False), AfterValidator(_dicom_object)], ...] = _objects(
        "a list of " + ", ".join(f'"{kind}"' for kind in DICOM_OBJECTS) + ", not empty"
    )
    storage_commitment: bool = False


def _storable(kind: ResultKind) -> ResultKind:
    if kind not in STORED_OBJECTS:
        raise ValueError("must be an object that is stored; a workitem is sent to [[destinations]] alone")
    return kind


class WebDestination(Section):
    """``[[web_destinations]]``: an archive that gets results by STOW-RS instead."""

    name: Name
    url: WebAddress
    objects: tuple[Annotated[ResultKind, Field(strict=False), AfterValidator(_storable)], ...] = _objects(
        "a list of objects as in [[destinations]], not empty"
    )
    token_file: OptionalSettingsPath = None  # None: no bearer token
    user: str = Field(default="", max_length=256, description="a user's name in quotation marks")
    password_file: OptionalSettingsPath = None  # None: no user
    ca_file: OptionalSettingsPath = None  # None: the system's certificates alone


class ModelSettings(Section):
    """``[model]``: what looks at the pictures."""

    bundle: OptionalSettingsPath = None  # None: the model in the package
    shadow: OptionalSettingsPath = None  # None: no candidate
    uncertain: ScoreBand = None  # None: the model card's
    minimum_age_years: float = Field(default=1.0, ge=0, le=150)
    deadline_seconds: float = Field(default=60.0, ge=1, le=3600)
    images_per_process: int = Field(default=1000, ge=1, le=1_000_000)


class ResultsSettings(Section):
    """``[results]``: what is sent back."""

    heatmap_for_negatives: bool = False
    heatmap_modality: Literal["source", "OT"] = "source"


class PriorsSettings(Section):
    """``[priors]``: where a patient's earlier radiographs are fetched that this node has never seen."""

    archive: OptionalName = ""  # nowhere
    method: Literal["get", "move"] = "get"
    studies: int = Field(default=3, ge=1, le=10)
    years: int = Field(default=5, ge=1, le=100)
    images_per_study: int = Field(default=8, ge=1, le=100)


class WorklistSettings(Section):
    """``[worklist]``: in which order studies are best read."""

    longest_wait_minutes: float = Field(default=240.0, ge=1, le=100_000)


class StorageSettings(Section):
    """``[storage]``: when the disk is too full to promise anything."""

    minimum_free_megabytes: int = Field(default=1024, ge=0, le=10**9)


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


class LoggingSettings(Section):
    """``[logging]``: how much the node tells."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class ClashError(ValueError):
    """Settings that are right each by itself and not together; `faults` names them."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, self.faults)))


class Settings(Section):
    """The whole settings file."""

    node: NodeSettings = NodeSettings()
    receiver: ReceiverSettings = ReceiverSettings()
    sources: tuple[Source, ...] = Field(default=(), strict=False)
    destinations: tuple[Destination, ...] = Field(default=(), strict=False)
    web_destinations: tuple[WebDestination, ...] = Field(default=(), strict=False)
    hl7: tuple[Hl7Destination, ...] = Field(default=(), strict=False)
    model: ModelSettings = ModelSettings()
    results: ResultsSettings = ResultsSettings()
    priors: PriorsSettings = PriorsSettings()
    worklist: WorklistSettings = WorklistSettings()
    storage: StorageSettings = StorageSettings()
    retry: RetrySettings = RetrySettings()
    retention: RetentionSettings = RetentionSettings()
    logging: LoggingSettings = LoggingSettings()

    @property
    def all_destinations(self) -> tuple[Destination | WebDestination, ...]:
        """Every destination that gets objects, whatever protocol it speaks."""
        return *self.destinations, *self.web_destinations

    def is_archive(self, source: Source | None) -> bool:
        """Whether a source is a destination, too: has the AE title or the name of one."""
        titles = {to.ae_title for to in self.destinations}
        names = {to.name for to in self.all_destinations}
        return source is not None and (source.ae_title in titles or source.name in names)

    def source_of(self, calling_ae_title: str, address: str) -> Source | None:
        """Find the source that a peer is.

        Parameters
        ----------
        calling_ae_title
            What the peer calls itself; spaces around it are not significant (PS3.5 section 6.2).
        address
            The peer's IP address, also an IPv4 address written as IPv6 (``::ffff:10.1.2.3``).

        Returns
        -------
        Source or None
            None for a stranger.
        """
        title = calling_ae_title.strip(" ")
        try:
            peer = ip_address(address)
        except ValueError:
            return None
        if isinstance(peer, IPv6Address) and peer.ipv4_mapped:
            peer = peer.ipv4_mapped
        for source in self.sources:
            if source.ae_title == title and any(peer in network for network in source.hosts):
                return source
        return None

    def quiet_seconds(self, source: Source | None) -> float:
        """Tell for how long a study of this source must be quiet before it is reported."""
        if source is None or source.study_quiet_seconds is None:
            return self.receiver.study_quiet_seconds
        return source.study_quiet_seconds

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        faults = list(
            clashes(
                receiver=self.receiver,
                retry=self.retry,
                priors=self.priors,
                sources=dict(enumerate(self.sources)),
                destinations=dict(enumerate(self.destinations)),
                web_destinations=dict(enumerate(self.web_destinations)),
                hl7=dict(enumerate(self.hl7)),
            )
        )
        if faults:
            raise ClashError(faults)
        return self


def clashes(
    *,
    receiver: ReceiverSettings | None,
    retry: RetrySettings | None,
    priors: PriorsSettings | None,
    sources: Mapping[int, Source],
    destinations: Mapping[int, Destination],
    web_destinations: Mapping[int, WebDestination],
    hl7: Mapping[int, Hl7Destination],
    has_every_entry: bool = True,
) -> Iterator[Fault]:
    """Find the settings that do not fit together.

    Parameters
    ----------
    receiver, retry, priors
        The sections, or None where they have faults of their own.
    sources, destinations, web_destinations, hl7
        Those without faults of their own, by their place in the file: what is wrong with one must not hide
        what is wrong with the others.
    has_every_entry
        Whether these are all sources and destinations of the file: of what seems to be missing nothing is said else.
    """
    yield from _same_names(sources=sources)
    yield from _same_names(destinations=destinations, web_destinations=web_destinations, hl7=hl7)
    for (first, one), (second, other) in combinations(sources.items(), 2):
        if one.ae_title == other.ae_title and _overlap(one, other):
            yield Fault(
                f"sources[{second}].hosts",
                f"must not share an address with sources[{first}], which has the same AE title: "
                "it would be open which of the two is sending",
            )
    for (first, to), (second, also) in combinations(destinations.items(), 2):
        if (to.ae_title, to.host.lower(), to.port) == (also.ae_title, also.host.lower(), also.port):
            yield Fault(
                f"destinations[{second}]",
                f"must be another archive than destinations[{first}], which has the same AE title, host "
                "and port: it would get every result twice",
            )
    yield from _web_clashes(web_destinations)
    if receiver:
        for place, to in destinations.items():
            if to.port == receiver.port and _is_own_address(to.host, receiver.host):
                yield Fault(
                    f"destinations[{place}].port",
                    f"must not be the node's own receiver ({receiver.host} port {receiver.port}): "
                    "it would send its results to itself",
                )
        titles = {source.ae_title for source in sources.values()}
        for place, to in destinations.items():
            is_stranger = has_every_entry and receiver.require_known_source and to.ae_title not in titles
            if to.storage_commitment and is_stranger:
                yield Fault(
                    f"destinations[{place}].storage_commitment",
                    f'needs "{to.ae_title}" under [[sources]], too: the archive answers by a connection of its own',
                )
            if priors and priors.archive == to.name and priors.method == "move" and is_stranger:
                yield Fault(
                    "priors.method",
                    f'"move" needs "{to.ae_title}" under [[sources]], too: the archive sends over its own connection',
                )
    names = {to.name for to in destinations.values()}
    if has_every_entry and priors and priors.archive and priors.archive not in names:
        yield Fault(
            "priors.archive",
            f'must be the name of one of [[destinations]]; found "{priors.archive}", which none has',
        )
    if retry and retry.deliver_longest_seconds < retry.deliver_first_seconds:
        yield Fault(
            "retry.deliver_longest_seconds",
            f"must be at least retry.deliver_first_seconds, which is {retry.deliver_first_seconds:g}; "
            f"found {retry.deliver_longest_seconds:g}",
        )


def _web_clashes(destinations: Mapping[int, WebDestination]) -> Iterator[Fault]:
    for place, to in destinations.items():
        here, parts = f"web_destinations[{place}]", urlsplit(to.url)
        if bool(to.user) != bool(to.password_file):
            yield Fault(f"{here}.user", "needs a password_file, and a password_file needs a user")
        if to.token_file and to.password_file:
            yield Fault(f"{here}.token_file", "must be left out where there is a password_file: one is used")
        is_secret = bool(to.token_file or to.password_file)
        if is_secret and parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            yield Fault(
                f"{here}.url",
                "must start with https:// where a token or a password is sent: on the way anybody could read it",
            )
    for (first, to), (second, also) in combinations(destinations.items(), 2):
        if to.url == also.url:
            yield Fault(
                f"web_destinations[{second}].url",
                f"must be another archive than web_destinations[{first}]: it would get every result twice",
            )


def _same_names(**sections: Mapping[int, Any]) -> Iterator[Fault]:
    """Find entries that have the name of an earlier one, in any of these sections."""
    places: dict[str, str] = {}
    for section, entries in sections.items():
        for place, entry in entries.items():
            here = f"{section}[{place}]"
            first = places.setdefault(entry.name, here)
            if first != here:
                sentence = f'must be a name of its own; found "{entry.name}", which {first} has'
                yield Fault(f"{here}.name", sentence)


def _overlap(one: Source, other: Source) -> bool:
    return any(here.overlaps(there) for here in one.hosts for there in other.hosts)


def _is_own_address(host: str, listening: str) -> bool:
    """Tell whether a connection to `host` ends at a socket that listens at `listening` of this machine."""
    if host.lower() == listening.lower():
        return True
    return _is_loopback(host) and (_is_loopback(listening) or listening in {"0.0.0.0", "::"})  # noqa: S104 - compared, not bound


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
