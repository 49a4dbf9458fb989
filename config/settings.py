"""Everything that an administrator decides, as frozen types: the whole settings file.

The default of every setting stands in this room and, with its reason, in ``node.toml``; a test keeps them the same.
"""

from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from typing import Self

from pydantic import Field, model_validator

from config.audit import AuditSettings
from config.clashes import ClashError, clashes
from config.hl7 import Hl7Destination
from config.hl7_reports import Hl7ReportSettings
from config.peers import Destination, Source, WebDestination
from config.section import Section
from config.sections import (
    LimitsSettings,
    LoggingSettings,
    ModelSettings,
    NodeSettings,
    PriorsSettings,
    ReceiverSettings,
    ResultsSettings,
    RetentionSettings,
    RetrySettings,
    StorageSettings,
    WorklistSettings,
)
from config.tls import TlsSettings
from config.web import WebSettings


class Settings(Section):
    """The whole settings file."""

    node: NodeSettings = NodeSettings()
    receiver: ReceiverSettings = ReceiverSettings()
    limits: LimitsSettings = LimitsSettings()
    sources: tuple[Source, ...] = Field(default=(), strict=False)
    destinations: tuple[Destination, ...] = Field(default=(), strict=False)
    web_destinations: tuple[WebDestination, ...] = Field(default=(), strict=False)
    hl7: tuple[Hl7Destination, ...] = Field(default=(), strict=False)
    hl7_reports: Hl7ReportSettings = Hl7ReportSettings()
    tls: TlsSettings = TlsSettings()
    model: ModelSettings = ModelSettings()
    results: ResultsSettings = ResultsSettings()
    priors: PriorsSettings = PriorsSettings()
    worklist: WorklistSettings = WorklistSettings()
    web: WebSettings = WebSettings()
    storage: StorageSettings = StorageSettings()
    retry: RetrySettings = RetrySettings()
    retention: RetentionSettings = RetentionSettings()
    audit: AuditSettings = AuditSettings()
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
        for source in self._sources_at(address):
            if source.ae_title == title:
                return source
        return None

    def has_source_at(self, address: str) -> bool:
        """Tell whether any source may call from this IP address, whatever it calls itself."""
        return next(self._sources_at(address), None) is not None

    def quiet_seconds(self, source: Source | None) -> float:
        """Tell for how long a study of this source must be quiet before it is reported."""
        if source is None or source.study_quiet_seconds is None:
            return self.receiver.study_quiet_seconds
        return source.study_quiet_seconds

    def _sources_at(self, address: str) -> Iterator[Source]:
        try:
            peer = ip_address(address)
        except ValueError:
            return
        if isinstance(peer, IPv6Address) and peer.ipv4_mapped:
            peer = peer.ipv4_mapped
        yield from (source for source in self.sources if any(peer in network for network in source.hosts))

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        faults = list(
            clashes(
                receiver=self.receiver,
                retry=self.retry,
                priors=self.priors,
                storage=self.storage,
                retention=self.retention,
                sources=dict(enumerate(self.sources)),
                destinations=dict(enumerate(self.destinations)),
                web_destinations=dict(enumerate(self.web_destinations)),
                hl7=dict(enumerate(self.hl7)),
                hl7_reports=self.hl7_reports,
                tls=self.tls,
                web=self.web,
                audit=self.audit,
            )
        )
        if faults:
            raise ClashError(faults)
        return self
