"""Settings that are right each by itself and do not fit together."""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from itertools import combinations
from typing import Any
from urllib.parse import urlsplit

from config.audit import AuditSettings
from config.errors import Fault
from config.hl7 import Hl7Destination
from config.hl7_reports import Hl7ReportSettings
from config.peers import Destination, Source, WebDestination
from config.sections import (
    PriorsSettings,
    ReceiverSettings,
    RetentionSettings,
    RetrySettings,
    StorageSettings,
)
from config.tls import TlsSettings
from config.web import WebSettings


class ClashError(ValueError):
    """Settings that are right each by itself and not together; `faults` names them."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, self.faults)))


def clashes(
    *,
    receiver: ReceiverSettings | None,
    retry: RetrySettings | None,
    priors: PriorsSettings | None,
    storage: StorageSettings | None,
    retention: RetentionSettings | None,
    sources: Mapping[int, Source],
    destinations: Mapping[int, Destination],
    web_destinations: Mapping[int, WebDestination],
    hl7: Mapping[int, Hl7Destination],
    hl7_reports: Hl7ReportSettings | None,
    tls: TlsSettings | None,
    web: WebSettings | None,
    audit: AuditSettings | None,
    has_every_entry: bool = True,
) -> Iterator[Fault]:
    """Find the settings that do not fit together.

    Parameters
    ----------
    receiver, retry, priors, storage, retention, hl7_reports, tls, web, audit
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
    yield from _tls_clashes(tls, receiver, audit, destinations, hl7, hl7_reports)
    yield from _report_clashes(hl7_reports)
    if web and web.enabled:
        yield from _page_clashes(web, tls, receiver)
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
    yield from _pairs_in_order(retry, storage, retention)


def _pairs_in_order(
    retry: RetrySettings | None, storage: StorageSettings | None, retention: RetentionSettings | None
) -> Iterator[Fault]:
    """Find pairs of which the second must not be below the first."""
    if retry and retry.deliver_longest_seconds < retry.deliver_first_seconds:
        yield Fault(
            "retry.deliver_longest_seconds",
            f"must be at least retry.deliver_first_seconds, which is {retry.deliver_first_seconds:g}; "
            f"found {retry.deliver_longest_seconds:g}",
        )
    if storage and retention and retention.free_megabytes < storage.minimum_free_megabytes:
        yield Fault(
            "retention.free_megabytes",
            f"must be at least storage.minimum_free_megabytes, which is {storage.minimum_free_megabytes}: the node "
            f"would refuse radiographs before it makes room; found {retention.free_megabytes}",
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


def _tls_clashes(
    tls: TlsSettings | None,
    receiver: ReceiverSettings | None,
    audit: AuditSettings | None,
    destinations: Mapping[int, Destination],
    hl7: Mapping[int, Hl7Destination],
    hl7_reports: Hl7ReportSettings | None,
) -> Iterator[Fault]:
    """Find the files that are missing: both ends show a certificate, and check the other's."""
    if tls is None:
        return
    needing = ["receiver.tls = true"] if receiver and receiver.tls else []
    needing += [f"destinations[{place}].tls = true" for place, to in destinations.items() if to.tls]
    needing += [f"hl7[{place}].tls = true" for place, to in hl7.items() if to.tls]
    if hl7_reports and hl7_reports.enabled and hl7_reports.tls:
        needing.append("hl7_reports.tls = true")
    if audit and audit.syslog_host and audit.syslog_protocol == "tls":
        needing.append('audit.syslog_protocol = "tls"')
    for setting in ("certificate_file", "key_file", "authorities_file"):
        if needing and getattr(tls, setting) is None:
            yield Fault(f"tls.{setting}", f"is missing; {needing[0]} needs a file in PEM here")
    if not needing and bool(tls.certificate_file) != bool(tls.key_file):
        missing = "key_file" if tls.certificate_file else "certificate_file"
        yield Fault(
            f"tls.{missing}", "is missing; a certificate is of no use without its key, nor the key without it"
        )
    if tls.revoked_file and not tls.authorities_file:
        yield Fault("tls.revoked_file", "needs authorities_file, too: who has issued what is revoked")


def _page_clashes(
    web: WebSettings, tls: TlsSettings | None, receiver: ReceiverSettings | None
) -> Iterator[Fault]:
    """Find what keeps the pages from being opened, or anybody from coming in."""
    for setting in ("certificate_file", "key_file"):
        if tls and web.tls and getattr(tls, setting) is None:
            yield Fault(f"tls.{setting}", "is missing; web.tls = true needs a file in PEM here")
    if receiver and web.port == receiver.port != 0 and _meet(web.host, receiver.host):
        yield Fault("web.port", f"must be another one than [receiver] port, which is {receiver.port}, too")
    parts = urlsplit(web.url)
    if parts.path:
        yield Fault("web.url", "must have no path: the pages are at the beginning of a host's")
    if web.proxy_user_header and not web.proxy_addresses:
        yield Fault(
            "web.proxy_addresses", "is missing; the header web.proxy_user_header is taken from there alone"
        )
    if bool(web.proxy_user_header) != bool(web.proxy_role_header):
        missing = "user" if web.proxy_role_header else "role"
        yield Fault(f"web.proxy_{missing}_header", "is missing; user and role are said by two headers")
    issuer = urlsplit(web.oidc.issuer)
    if not web.oidc.issuer:
        return
    if web.proxy_user_header:
        yield Fault(
            "web.oidc.issuer", "must be left out where there is a proxy_user_header: one says who comes in"
        )
    if not web.oidc.client_id:
        yield Fault("web.oidc.client_id", "is missing; the provider's administrator gives one")
    if "openid" not in web.oidc.scope.split():
        yield Fault("web.oidc.scope", 'must have "openid" among its words')
    if issuer.scheme != "https" and not _is_loopback(issuer.hostname or ""):
        yield Fault("web.oidc.issuer", "must start with https://: on the way anybody could say who comes in")
    if not web.url or (parts.scheme != "https" and not _is_loopback(parts.hostname or "")):
        yield Fault("web.url", "must be the pages' URL with https://: the provider sends people back there")


def _meet(one: str, other: str) -> bool:
    """Tell whether two sockets of one port cannot listen at both of these."""
    return one.lower() == other.lower() or bool({one, other} & {"0.0.0.0", "::"})  # noqa: S104 - compared, not bound


def _report_clashes(reports: Hl7ReportSettings | None) -> Iterator[Fault]:
    """Find what keeps every report away, and codes that mean two things."""
    if reports is None:
        return
    if reports.enabled and not reports.hosts:
        yield Fault("hl7_reports.hosts", "is empty; nobody could send a report: name the addresses that may")
    meanings: dict[str, str] = {}
    for setting in ("positive", "negative", "cannot_tell"):
        for code in getattr(reports, setting):
            first = meanings.setdefault(code.split("^")[0], setting)
            if first != setting:
                yield Fault(
                    f"hl7_reports.{setting}",
                    f'must not have a code that means something else; "{code.split("^")[0]}" is in {first}, too',
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
