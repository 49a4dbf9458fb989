"""Who is let in: which connections may ask for an association, and which associations are accepted.

A connection costs two threads before its peer has said who it is, and pynetdicom 3.0.4 waits with select(), which
knows no file descriptor beyond 1023. So those that have not asked for anything yet are counted, and one too many is
closed where it is accepted. Strangers are counted together: there are more addresses than anybody can count, and
they keep no known source out.
"""

import threading
import time
from collections import Counter
from dataclasses import dataclass

from pynetdicom.association import Association

from config.settings import Settings

ASKING_BY_STRANGERS = 50
"""Connections at once that have not asked for anything, from all addresses together that are no source's."""
ASKING_AT_ONE_ADDRESS = 100
ASKING = 300
FORGOTTEN_AFTER_SECONDS = 60.0
"""A connection that ended without telling is no longer counted; a TLS handshake and a request have less."""

REJECTED_PERMANENT, BY_USER, CALLING_AE_TITLE_NOT_RECOGNISED = 0x01, 0x01, 0x03
REJECTED_TRANSIENT, BY_PRESENTATION, LOCAL_LIMIT_EXCEEDED = 0x02, 0x03, 0x02


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an association is rejected: in words, and as A-ASSOCIATE-RJ has it (PS3.8 9.3.4)."""

    reason: str
    result: int
    source: int
    diagnostic: int


STRANGER = Rejection(
    "no source has this AE title and address",
    REJECTED_PERMANENT,
    BY_USER,
    CALLING_AE_TITLE_NOT_RECOGNISED,
)
FULL = Rejection("too many associations", REJECTED_TRANSIENT, BY_PRESENTATION, LOCAL_LIMIT_EXCEEDED)
SOURCE_FULL = Rejection(
    "too many associations of this source", REJECTED_TRANSIENT, BY_PRESENTATION, LOCAL_LIMIT_EXCEEDED
)
TOO_MANY_CONNECTIONS = "too many connections that ask for nothing"


class Admission:
    """Counts connections and associations, and says which one is too many."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._counting = threading.Lock()
        self._asking: dict[tuple[str, int], float] = {}
        self._associations: dict[Association, str] = {}

    def take(self, settings: Settings) -> None:
        """Go by these settings from the next connection on; an association that is open goes on."""
        self._settings = settings

    def may_ask(self, address: str, port: int) -> bool:
        """Count a new connection until `has_asked`, or tell that it is one too many."""
        now = time.monotonic()
        with self._counting:
            self._asking = {
                peer: since for peer, since in self._asking.items() if now - since < FORGOTTEN_AFTER_SECONDS
            }
            at = Counter(asking for asking, _ in self._asking)
            beside = at[address]
            most = ASKING_AT_ONE_ADDRESS
            if not self._is_known(address):
                beside = sum(many for asking, many in at.items() if not self._is_known(asking))
                most = ASKING_BY_STRANGERS
            if beside >= most or len(self._asking) >= ASKING:
                return False
            self._asking[address, port] = now
            return True

    def has_asked(self, address: str, port: int) -> None:
        """Count this connection no more: it has asked for an association, or is closed."""
        with self._counting:
            self._asking.pop((address, port), None)

    def rejection(self, association: Association, calling_ae_title: str, address: str) -> Rejection | None:
        """Let an association in, and count it until it ends, or return why not.

        A source is an AE title together with the addresses that it may call from; where strangers may send, each of
        their addresses is one.
        """
        source = self._settings.source_of(calling_ae_title, address)
        if source is None and self._settings.receiver.require_known_source:
            return STRANGER
        who = source.name if source else address
        with self._counting:
            self._associations = {each: whose for each, whose in self._associations.items() if _is_open(each)}
            if len(self._associations) >= self._settings.receiver.maximum_associations:
                return FULL
            of_source = sum(whose == who for whose in self._associations.values())
            if of_source >= self._settings.receiver.maximum_associations_per_source:
                return SOURCE_FULL
            self._associations[association] = who
        return None

    def _is_known(self, address: str) -> bool:
        return not self._settings.receiver.require_known_source or self._settings.has_source_at(address)


def _is_open(association: Association) -> bool:
    return association.is_alive() and not (association.is_released or association.is_aborted)
