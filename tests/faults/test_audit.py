"""The audit trail of a day, as a syslog server gets it: who sent, who was refused, what was sent, who looked, and what
was changed.
"""

import re
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from tests.builders import chest_film, write
from tests.certificates import Authority
from tests.peers import NodeProcess, Pacs, wait_for
from tests.syslog_server import SyslogServer


def told(server: SyslogServer) -> list[str]:
    """What the messages say, each as its event's code, type and action."""
    return [_summary(ElementTree.fromstring(each.message.lstrip(" \ufeff"))) for each in server.received()]


def _summary(message: Element) -> str:
    event = message.find("EventIdentification")
    assert event is not None
    codes = [each.get("csd-code", "") for each in event if each.get("csd-code")]
    return " ".join([*codes, event.get("EventActionCode", "")])


def by_udp(server: SyslogServer) -> str:
    return f"""
[audit]
syslog_host = "127.0.0.1"
syslog_port = {server.port}
syslog_protocol = "udp"
"""


def over_tls(server: SyslogServer, authority: Authority) -> str:
    ours = authority.issue("node")
    return f"""
[audit]
syslog_host = "127.0.0.1"
syslog_port = {server.port}
[tls]
certificate_file = "{ours.certificate}"
key_file = "{ours.key}"
authorities_file = "{authority.certificate}"
"""


RECEIVED = SENT = "110104 C"
REPORTED = "110103 C"


def test_a_day_of_a_node_in_the_order_in_which_it_happened(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    film = write(chest_film(study="audited"), tmp_path / "film.dcm")
    with SyslogServer(tmp_path / "syslog") as server:
        own_node._settings += by_udp(server)
        own_node.write_config(own_pacs.port)
        own_pacs.start()
        own_node.start()
        assert own_node.send(film, calling="STRANGER") != 0
        wait_for(lambda: "association_refused" in own_node.log)
        assert own_node.send(film) == 0
        wait_for(lambda: own_node.settled(1))
        assert own_node.command("show", "ACC-77").returncode == 0
        assert own_node.command("worklist").returncode == 0
        assert own_node.stop() == 0
        own_node.config.write_text(
            own_node.config.read_text(encoding="utf-8").replace("= 0.3", "= 0.4"), encoding="utf-8"
        )
        own_node.start()
        expected = [
            "110100 110120 E",
            "110113 110126 E",
            RECEIVED,
            REPORTED,
            SENT,
            SENT,
            "110103 R",
            "110112 E",
            "110100 110121 E",
            "110100 110120 E",
            "110113 110129 E",
        ]
        wait_for(lambda: len(told(server)) >= len(expected))
        assert told(server) == expected
        first = server.received()[0]
    assert (first.priority, first.program, first.message_id) == ("85", "dicom-node", "DICOM+RFC3881")
    assert server.received()[1].priority == "84"
    assert "audit_by_udp" in own_node.log
    own_node.stop()
    verified = own_node.command("audit", "verify")
    assert verified.stdout.startswith("whole: ")
    changed = [
        each for each in own_node.command("audit", "list").stdout.splitlines() if "settings_changed" in each
    ]
    assert len(changed) == 1
    assert '"changed": ["receiver.study_quiet_seconds"]' in changed[0]
    assert not re.search(r"0\.[34]\b", changed[0].split("{", 1)[1])


def test_nothing_is_skipped_while_the_node_was_killed(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    with SyslogServer(tmp_path / "syslog") as server:
        own_node.write_config(own_pacs.port)
        own_node.start()  # nobody is told yet
        assert own_node.send(write(chest_film(study="before"), tmp_path / "film.dcm")) == 0
        own_node.kill()
        own_node._settings += by_udp(server)
        own_node.write_config(own_pacs.port)
        own_node.start()
        wait_for(lambda: "110113 110129 E" in told(server))
        said = told(server)
    assert said[:2] == ["110100 110120 E", RECEIVED]
    assert said[-2:] == ["110100 110120 E", "110113 110129 E"]


def test_over_tls_nothing_is_skipped_while_the_server_was_down(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    server = SyslogServer(tmp_path / "syslog", (authority, authority.issue("syslog")))
    own_node._settings += over_tls(server, authority)
    own_node.write_config(own_pacs.port)
    own_node.start()
    wait_for(lambda: "audit_not_sent" in own_node.log)
    with server:
        wait_for(lambda: "110100 110120 E" in told(server))
        assert own_node.command("jobs").returncode == 0
        wait_for(lambda: told(server)[-1] == "110112 E")
    assert own_node.command("worklist").returncode == 0
    wait_for(lambda: own_node.log.count("audit_not_sent") == 2)
    before = len(told(server))
    with server:
        wait_for(lambda: len(told(server)) > before)
        assert own_node.stop() == 0
    assert {*told(server)} == {"110100 110120 E", "110112 E", "110100 110121 E"}
    assert len({each.message for each in server.received()}) == 4
    assert told(server)[-1] == "110100 110121 E"


def test_a_server_that_nobody_vouches_for_gets_nothing(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    stranger = Authority(tmp_path, "stranger")
    with SyslogServer(tmp_path / "syslog", (stranger, stranger.issue("syslog"))) as server:
        own_node._settings += over_tls(server, authority)
        own_node.write_config(own_pacs.port)
        own_node.start()
        wait_for(lambda: "its certificate is of no authority that this node trusts" in own_node.log)
        assert server.received() == []
