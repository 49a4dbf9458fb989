"""What a running node makes of other settings: what takes effect, what waits, and who is told."""

import time
from pathlib import Path
from typing import Any

import pytest

from config.errors import NotWritten, SettingsFault
from config.load import check_settings
from config.settings import Settings
from config.settings_file import SettingsFile
from dicom_node.destinations import Destinations
from dicom_node.live_settings import LIVE, LiveSettings, what_takes_effect
from dicom_node.tls import NO_CERTIFICATES
from storage import audit
from storage.folder import DataFolder
from tests.ports import free_port

FILE = Path("node.toml")


def settings(document: dict[str, Any]) -> Settings:
    return check_settings(document, FILE)


def archive(name: str, port: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "ae_title": name.upper(), "host": "127.0.0.1", "port": port, **more}


def test_every_setting_that_is_live_is_a_setting() -> None:
    for path in LIVE:
        section, _, name = path.partition(".")
        assert section in Settings.model_fields
        assert not name or name in type(getattr(Settings(), section)).model_fields


def test_what_needs_a_new_start_stays_as_it_was_and_the_rest_is_taken() -> None:
    source = {"name": "ct", "ae_title": "CT", "hosts": ["10.0.0.1"], "study_quiet_seconds": 9}
    written = settings(
        {
            "node": {"ae_title": "OTHER"},
            "receiver": {"port": 104, "study_quiet_seconds": 7.0},
            "sources": [source],
            "web": {"port": 1, "session_minutes": 5.0},
        }
    )
    taken = what_takes_effect(settings({}), written)
    assert (taken.node.ae_title, taken.receiver.port, taken.web.port) == ("CXR_NODE", 11112, 8080)
    assert (taken.receiver.study_quiet_seconds, taken.web.session_minutes) == (7.0, 5.0)
    assert taken.quiet_seconds(taken.source_of("CT", "10.0.0.1")) == 9


@pytest.fixture
def live(tmp_path: Path, folder: DataFolder) -> LiveSettings:
    file = tmp_path / "node.toml"
    file.write_text("# ours\n")
    return LiveSettings(SettingsFile.read(file).settings(), file, folder, ["web", "receive"])


def records(folder: DataFolder) -> list[dict[str, Any]]:
    with folder.database.read() as connection:
        return [each.detail for each in audit.latest(connection, "settings_changed")]


def test_who_changed_what_is_on_record_and_every_part_is_told(live: LiveSettings, folder: DataFolder) -> None:
    told: list[Settings] = []
    live.tell(told.append)
    file = SettingsFile.read(live.file)
    new = '# ours\n[node]\nae_title = "SECRET_TITLE"\n[worklist]\nlongest_wait_minutes = 3\n'
    live.replace(file, file.changed(new), "anna", "10.0.0.7")
    assert told == [live.current]
    assert live.current.worklist.longest_wait_minutes == 3
    assert live.waiting_for_start == ["node.ae_title"]
    [record] = records(folder)
    assert record["changed"] == ["node.ae_title", "worklist.longest_wait_minutes"]
    assert (record["user"], record["address"], record["roles"]) == ("anna", "10.0.0.7", ["receive", "web"])
    assert "SECRET_TITLE" not in str(record)


def test_what_is_refused_changes_nothing_and_is_not_on_record(live: LiveSettings, folder: DataFolder) -> None:
    told: list[Settings] = []
    live.tell(told.append)
    file = SettingsFile.read(live.file)
    with pytest.raises(SettingsFault):
        live.replace(file, file.changed("[nobody]\n"), "anna", "")
    live.file.write_text("# by hand\n")
    with pytest.raises(NotWritten):
        live.replace(file, file.changed("[worklist]\nlongest_wait_minutes = 3\n"), "anna", "")
    assert (told, records(folder), live.file.read_text()) == ([], [], "# by hand\n")


def test_a_file_that_was_edited_is_read_again_and_one_that_says_the_same_is_no_change(
    live: LiveSettings, folder: DataFolder
) -> None:
    live.file.write_text("# other words\n")
    live.read_again(user="root")
    assert records(folder) == []
    live.file.write_text('[results]\nheatmap_modality = "OT"\n')
    assert not live.is_read(SettingsFile.read(live.file).settings())
    live.read_again(user="root")
    assert live.current.results.heatmap_modality == "OT"
    assert [each["user"] for each in records(folder)] == ["root"]


def test_a_destination_that_is_as_it_was_notices_nothing(folder: DataFolder) -> None:
    port = free_port()
    stays, goes = archive("stays", port), archive("goes", port)
    served = Destinations(settings({"destinations": [stays, goes]}), folder, NO_CERTIFICATES, "owner")
    served.start()
    try:
        before = dict(served._served)
        ris = {"name": "ris", "host": "127.0.0.1", "port": port}
        served.take(settings({"destinations": [stays, archive("comes", port)], "hl7": [ris]}))
        assert served._served.keys() == {"stays", "comes", "ris"}
        assert served._served["stays"] is before["stays"]
        before["goes"].sending.stop(20)
        assert not before["goes"].sending.is_running
        moved = archive("stays", port, objects=["structured_report"])
        served.take(settings({"destinations": [moved]}))
        assert served._served["stays"] is not before["stays"]
    finally:
        served.end()
        served.stop(time.monotonic() + 20)
    assert not served._leaving or not any(each.is_running for each in served._leaving)
