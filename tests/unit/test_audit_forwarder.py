"""The way of the audit trail to a syslog server: in order, nothing skipped, whatever the server and the node do."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from config.load import check_settings
from config.settings import Settings
from dicom_node.auditing.forwarder import AT_ONCE, UNSURE_SECONDS, Forwarder
from dicom_node.auditing.settings_changes import changed, fingerprints
from dicom_node.auditing.syslog import frame
from storage import audit
from storage.engine import Database
from storage.steps import Step


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "node.sqlite")
    made.migrate()
    yield made
    made.close()


class Server:
    """Takes frames while it is up; `taken` are the numbers of the records in them."""

    def __init__(self) -> None:
        self.is_up = True
        self.taken: list[int] = []
        self.closed = 0

    def send(self, framed: bytes) -> None:
        if not self.is_up:
            raise ConnectionResetError(104, "Connection reset by peer")
        [number] = re.findall(rb"urn:dicom-node:audit:(\d+)", framed)
        self.taken.append(int(number))

    def close(self) -> None:
        self.closed += 1


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def forwarder(database: Database, server: Server, clock: Clock) -> Forwarder:
    return Forwarder(check_settings({}, Path("node.toml")), database, server, clock)


def write(database: Database, count: int, event: str = "audit_looked_at") -> None:
    with database.write(Step.BY_HAND) as connection:
        for _ in range(count):
            audit.append(connection, 1.0, event, user="ada")


def sent_id(database: Database) -> int:
    with database.read() as connection:
        return audit.end(connection).sent_id


def test_everything_is_sent_once_and_in_order(
    database: Database, forwarder: Forwarder, server: Server
) -> None:
    write(database, AT_ONCE + 5)
    assert forwarder.step() == 0.0
    assert sent_id(database) == AT_ONCE
    assert forwarder.step() == 0.0
    assert forwarder.step() > 0
    assert server.taken == list(range(1, AT_ONCE + 6))


def test_what_has_no_message_holds_nothing_up(
    database: Database, forwarder: Forwarder, server: Server
) -> None:
    write(database, 2, "commitment_answered")
    write(database, 1)
    forwarder.step()
    assert server.taken == [3]
    assert sent_id(database) == 3


def test_a_record_that_cannot_be_told_is_named_in_the_log_and_holds_nothing_up(
    database: Database, forwarder: Forwarder, server: Server
) -> None:
    write(database, 1, "instance_stored")  # without what every such record has
    write(database, 1)
    with capture_logs() as logs:
        forwarder.step()
    assert [(each["event"], each["record"]) for each in logs] == [("audit_record_not_sent", 1)]
    assert server.taken == [2]


def test_what_was_written_while_the_server_was_down_is_sent_later(
    database: Database, forwarder: Forwarder, server: Server
) -> None:
    server.is_up = False
    write(database, 3)
    assert forwarder.step() > 0
    assert sent_id(database) == 0
    assert server.closed == 1
    server.is_up = True
    forwarder.step()
    assert server.taken == [1, 2, 3]


def test_what_went_out_shortly_before_a_connection_broke_goes_out_again(
    database: Database, forwarder: Forwarder, server: Server, clock: Clock
) -> None:
    write(database, 2)
    forwarder.step()
    clock.now += UNSURE_SECONDS + 1
    write(database, 2)
    forwarder.step()
    server.is_up = False
    write(database, 1)
    forwarder.step()
    assert sent_id(database) == 2
    server.is_up = True
    forwarder.step()
    assert server.taken == [1, 2, 3, 4, 3, 4, 5]


def test_another_start_goes_on_where_the_last_one_was(
    database: Database, forwarder: Forwarder, server: Server
) -> None:
    write(database, 2)
    forwarder.step()
    write(database, 1)
    Forwarder(check_settings({}, Path("node.toml")), database, server).finish()
    assert server.taken == [1, 2, 3]


def test_a_frame_is_one_of_rfc_5424() -> None:
    framed = frame("<x>é</x>".encode(), 1_700_000_000.123456, "höst 1", 42, is_alert=False)
    assert framed == (
        b"<85>1 2023-11-14T22:13:20.123456Z h-st-1 dicom-node 42 DICOM+RFC3881 - \xef\xbb\xbf<x>\xc3\xa9</x>"
    )
    assert frame(b"", 0.0, "h" * 300, 1, is_alert=True).startswith(
        b"<84>1 1970-01-01T00:00:00.000000Z " + b"h" * 255 + b" "
    )


def settings(**sections: object) -> Settings:
    return check_settings(sections, Path("/etc/dicom-node/node.toml"))


def test_changed_settings_are_named_by_their_paths_and_never_by_their_values() -> None:
    pacs = {"name": "pacs", "ae_title": "PACS", "host": "10.1.2.3", "port": 104}
    web = {"name": "web", "url": "https://web.example.org", "token_file": "hidden.token"}
    before = fingerprints(settings(destinations=[pacs], web_destinations=[web]))
    after = fingerprints(
        settings(
            destinations=[pacs | {"port": 105}],
            web_destinations=[web | {"token_file": "other.token"}],
            receiver={"port": 104},
        )
    )
    assert changed(before, after) == [
        "destinations[0].port",
        "receiver.port",
        "web_destinations[0].token_file",
    ]
    without = changed(before, fingerprints(settings(destinations=[pacs])))
    assert "web_destinations[0].url" in without
    assert not [path for path in without if not path.startswith("web_destinations")]
    assert "hidden" not in str(before)
    assert changed(before, before) == []
