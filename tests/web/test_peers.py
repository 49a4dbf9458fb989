"""AE titles, as an administrator sets up an archive: added, tried, mistaken, mended, taken away."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import audit
from storage.engine import Database
from storage.folder import DATABASE_NAME
from tests.builders import chest_film, write
from tests.certificates import Authority
from tests.peers import NodeProcess, Pacs, free_port, wait_for
from tests.web.browser import Browser
from tests.web.conftest import PASSWORD, let_in, pages_of
from tests.web.pictures import keep
from tests.web.program import Program

COMMENTS = "# kept by radiology, ext. 4711\n\n#   [[destinations]] below: the archive\n"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    """A second archive, which answers to its own AE title alone."""
    made = Pacs(tmp_path_factory.mktemp("archive") / "orthanc", {"DicomAet": "ORTHANC"})
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Pacs) -> Iterator[NodeProcess]:
    """A node whose settings file has comments, with a certificate, and whom nobody else's tests need."""
    folder = tmp_path_factory.mktemp("node")
    hospital = Authority(folder)
    identity = hospital.issue("node")
    tls = f'certificate_file = "{identity.certificate.name}"\nkey_file = "{identity.key.name}"'
    sections = f'[tls]\n{tls}\nauthorities_file = "{hospital.certificate.name}"'
    made = NodeProcess(folder, pacs.port, sections, web="port = 0")
    made.config.write_text(COMMENTS + made.config.read_text())
    with made:
        let_in(made)
        yield made


@pytest.fixture(autouse=True)
def _as_it_was(node: NodeProcess) -> Iterator[None]:
    """Give every test the settings that the node was started with."""
    before = node.config.read_bytes()
    yield
    if node.config.read_bytes() != before:
        node.config.write_bytes(before)
        taken = node.log.count("settings_taken")
        wait_for(lambda: node.running)
        signal_reading(node)
        wait_for(lambda: node.log.count("settings_taken") > taken)


def signal_reading(node: NodeProcess) -> None:
    os.kill(node.pid, signal.SIGHUP)


def keep_from_the_top(browser: Browser, name: str) -> None:
    browser.chromium.evaluate("window.scrollTo(0, 0)")
    keep(browser, name)


def fill_in_archive(browser: Browser, archive: Pacs, *, ae_title: str = "ORTHANC") -> None:
    browser.fill("Name", "archive")
    browser.fill("AE title", ae_title)
    browser.fill("Host", "127.0.0.1")
    browser.fill("Port", str(archive.port))


def changes(node: NodeProcess) -> list[dict[str, object]]:
    database = Database(node.folder / "data" / DATABASE_NAME)
    try:
        with database.read() as connection:
            return [each.detail for each in audit.latest(connection, "settings_changed")]
    finally:
        database.close()


def test_a_new_destination_gets_results_without_a_restart_and_comments_stay(
    administrator: Browser, node: NodeProcess, archive: Pacs, tmp_path: Path
) -> None:
    before = node.config.read_text()
    administrator.press("AE titles")
    administrator.sees("Destinations: where results go.")
    assert administrator.violations() == []
    administrator.press("Add a DICOM destination")
    fill_in_archive(administrator, archive)
    administrator.sees('+ ae_title = "ORTHANC"')
    assert administrator.violations() == []
    administrator.press("Test it before saving")
    administrator.sees("C-ECHO succeeded; association")
    keep_from_the_top(administrator, "destination")
    assert node.config.read_text() == before
    administrator.press("Save")
    administrator.sees("Saved, and the node goes by it.")
    administrator.press("Test archive")
    administrator.sees("C-ECHO succeeded; association")
    keep_from_the_top(administrator, "peers")
    added = f'\n[[destinations]]\nname = "archive"\nae_title = "ORTHANC"\nhost = "127.0.0.1"\nport = {archive.port}\n'
    assert added in node.config.read_text()
    assert node.config.read_text().replace(added, "") == before

    film = write(chest_film("live", study="live", rows=640, columns=560), tmp_path / "film.dcm")
    assert node.send(film) == 0
    wait_for(lambda: archive.count() > 0, 120)
    [change] = [each for each in changes(node) if each.get("user") == "anna"]
    assert "destinations[1].port" in change["changed"]  # type: ignore[operator]
    assert change["address"] == "127.0.0.1"


def test_a_wrong_ae_title_is_refused_in_words_and_the_form_is_kept(
    administrator: Browser, archive: Pacs
) -> None:
    administrator.visit("/peers/destinations")
    fill_in_archive(administrator, archive, ae_title="ORTHANK")
    administrator.press("Test it before saving")
    administrator.sees("association rejected: called ae title not recognised")
    administrator.fill("AE title", "ORTHANC")
    administrator.press("Test it before saving")
    administrator.sees("C-ECHO succeeded")


def test_nobody_at_a_port_is_said_so_and_others_are_served_meanwhile(administrator: Browser) -> None:
    administrator.visit("/peers")
    administrator.press("Test pacs")
    administrator.sees("C-ECHO succeeded")
    administrator.visit("/peers/destinations?of=pacs")
    administrator.fill("Port", str(free_port()))
    administrator.press("Test it before saving")
    administrator.sees("no DICOM answer at this host and port")


def test_what_is_wrong_is_named_at_its_field(administrator: Browser, node: NodeProcess) -> None:
    before = node.config.read_bytes()
    administrator.visit("/peers/destinations?of=pacs")
    administrator.fill("Port", "70000")
    administrator.fill("AE title", "SEVENTEEN LETTERS")
    for each in ("structured report", "heatmap"):
        administrator.press(each)
    administrator.press("Save")
    administrator.sees("Port must be a whole number from 1 to 65535; found 70000.")
    administrator.sees("AE title must be an AE title of 1 to 16 characters")
    administrator.sees("What it gets must be a list of")
    invalid = "[...document.querySelectorAll('[aria-invalid]')].map(each => document.getElementById("
    described = administrator.chromium.evaluate(
        f"{invalid}each.getAttribute('aria-describedby')).innerText.split(' ')[0])"
    )
    assert sorted(described) == ["AE", "Port", "What"]
    assert administrator.violations() == []
    assert node.config.read_bytes() == before


def test_what_belongs_to_no_field_stands_on_top(administrator: Browser) -> None:
    administrator.visit("/peers/sources?of=pacs")
    administrator.fill("AE title", "CONVERTER")
    administrator.press("Save")
    administrator.sees("sources[1].hosts: must not share an address with sources[0]")


def test_a_change_by_hand_in_the_meantime_is_not_overwritten(
    administrator: Browser, node: NodeProcess
) -> None:
    administrator.visit("/peers/sources?of=pacs")
    administrator.fill("Quiet time in seconds", "7.5")
    node.config.write_text(node.config.read_text() + "# by hand\n")
    by_hand = node.config.read_bytes()
    administrator.press("Save")
    administrator.sees("the file was changed by somebody else")
    assert node.config.read_bytes() == by_hand
    assert administrator.chromium.evaluate("document.getElementById('study_quiet_seconds').value") == "7.5"


def test_the_previous_version_is_one_click_away_and_so_is_the_way_forth(
    administrator: Browser, node: NodeProcess
) -> None:
    before = node.config.read_bytes()
    administrator.visit("/peers/sources")
    administrator.fill("Name", "mobile")
    administrator.fill("AE title", "MOBILE")
    administrator.fill("Addresses", "10.9.0.0/16\n10.8.1.1")
    administrator.fill("Quiet time in seconds", "20")
    administrator.press("Save")
    administrator.sees("10.9.0.0/16, 10.8.1.1")
    administrator.sees("20 s, its own")
    after = node.config.read_bytes()
    administrator.press("Go back to the previous version")
    administrator.sees('- name = "mobile"')
    administrator.press("Go back")
    administrator.sees("The previous version is in force again.")
    assert node.config.read_bytes() == before
    assert "MOBILE" not in administrator.text
    administrator.press("Go back to the previous version")
    administrator.sees('+ name = "mobile"')
    administrator.press("Go back")
    administrator.sees("The previous version is in force again.")
    administrator.sees("MOBILE")
    assert node.config.read_bytes() == after


def test_who_may_send_changes_with_the_next_association(
    administrator: Browser, node: NodeProcess, tmp_path: Path
) -> None:
    film = write(chest_film("sent", study="sent"), tmp_path / "film.dcm")
    assert node.send(film, calling="NEWCOMER") != 0
    administrator.visit("/peers/sources")
    administrator.fill("Name", "newcomer")
    administrator.fill("AE title", "NEWCOMER")
    administrator.fill("Addresses", "127.0.0.1")
    administrator.press("Save")
    administrator.sees("Saved")
    assert node.send(film, calling="NEWCOMER") == 0
    administrator.press("Edit newcomer")
    administrator.press("Remove ...")
    administrator.sees('- ae_title = "NEWCOMER"')
    administrator.press("Remove it")
    administrator.sees("Removed")
    assert node.send(film, calling="NEWCOMER") != 0


def test_what_waits_for_a_destination_that_was_removed_stays_visible(
    administrator: Browser, node: NodeProcess, tmp_path: Path
) -> None:
    administrator.visit("/peers/destinations")
    administrator.fill("Name", "gone")
    administrator.fill("AE title", "GONE")
    administrator.fill("Host", "127.0.0.1")
    administrator.fill("Port", str(free_port()))
    administrator.press("Save")
    administrator.sees("GONE at 127.0.0.1")
    film = write(chest_film("waits", study="waits", rows=640, columns=560), tmp_path / "film.dcm")
    assert node.send(film) == 0
    wait_for(lambda: any(each.get("destination") == "gone" for each in node.jobs()))
    administrator.visit("/peers/destinations?of=gone")
    administrator.press("Remove ...")
    administrator.sees("for it: they stay in the queue")
    administrator.press("Remove it")
    administrator.sees("is not in the settings: nobody sends what waits for it")
    assert "destination_not_configured" in node.log


def test_what_needs_a_new_start_is_named_and_a_file_with_faults_is_not_taken(
    administrator: Browser, node: NodeProcess
) -> None:
    written = node.config.read_text()
    node.config.write_text(written.replace("[receiver]", "[receiver]\nnetwork_timeout_seconds = 50.0"))
    administrator.visit("/peers")
    administrator.sees("was changed by hand, and the node does not go by it yet")
    administrator.press("Read it now")
    administrator.sees("take effect when the node is started again: receiver.network_timeout_seconds.")
    assert administrator.violations() == []
    node.config.write_text(written.replace("[receiver]", "[reciever]"))
    administrator.visit("/peers")
    administrator.sees('reciever: is not a setting; did you mean "receiver"?')
    signal_reading(node)
    wait_for(lambda: "the settings stay as they were" in node.log)
    assert node.running


def test_the_nodes_certificate_is_told_with_its_end(administrator: Browser) -> None:
    administrator.visit("/peers")
    administrator.sees("CN=node")
    administrator.sees("ends soon: ask for a new one")
    administrator.visit("/peers/destinations")
    administrator.sees("Under TLS this node shows CN=node, until")


@pytest.mark.parametrize("name", ["vera", "ralf"])
def test_only_administrators_see_or_change_any_of_it(browser: Browser, name: str) -> None:
    browser.log_in(name, PASSWORD)
    assert "AE titles" not in browser.text
    browser.visit("/peers")
    browser.sees("Your role does not allow this.")
    asked = Program(browser.url, name, PASSWORD)
    for method, path in (
        ("GET", "/api/peers"),
        ("POST", "/api/peers/sources"),
        ("POST", "/api/echo"),
        ("DELETE", "/api/peers/destinations/pacs?digest=0"),
        ("POST", "/api/settings/previous"),
        ("POST", "/api/settings/reading"),
    ):
        assert asked.ask(method, path, json={}).status_code == 403


def test_a_program_does_what_the_pages_do(node: NodeProcess, archive: Pacs) -> None:
    program = Program(pages_of(node), "anna", PASSWORD)
    before = program.ask("GET", "/api/peers").json()
    entry = {"name": "archive", "ae_title": "ORTHANC", "host": "127.0.0.1", "port": archive.port}
    asked = program.ask("POST", "/api/echo", json={"section": "destinations", "entry": entry}).json()
    assert asked["succeeded"] and asked["milliseconds"] > 0
    digest = before["digest"]
    added = program.ask("POST", "/api/peers/destinations", json={"digest": digest, "entry": entry})
    assert added.status_code == 201
    assert added.json()["destinations"][-1] == entry
    again = program.ask("POST", "/api/peers/destinations", json={"digest": digest, "entry": entry})
    assert (again.status_code, "changed by somebody else" in again.json()["detail"]) == (409, True)
    digest = added.json()["digest"]
    wrong = program.ask(
        "PUT", "/api/peers/destinations/archive", json={"digest": digest, "entry": entry | {"port": 0}}
    )
    assert (wrong.status_code, wrong.json()["detail"][:21]) == (422, "destinations[1].port:")
    assert program.ask("POST", "/api/peers/destinations/archive/echo").json()["succeeded"]
    removed = program.ask("DELETE", f"/api/peers/destinations/archive?digest={digest}").json()
    assert removed["destinations"] == before["destinations"]
    back = program.ask("POST", "/api/settings/previous", json={"digest": removed["digest"]}).json()
    assert back["destinations"][-1] == entry
    assert program.ask("DELETE", "/api/peers/destinations/nobody?digest=" + back["digest"]).status_code == 404
