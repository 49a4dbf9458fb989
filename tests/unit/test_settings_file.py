"""What pages do to the settings file: one entry is another one, and every other byte is as it was."""

import os
import tempfile
import tomllib
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.entries import PeerSection, entries_in, place_of, with_entry, without_entry
from config.errors import NotWritten, SettingsFault
from config.load import PACKAGED_SETTINGS
from config.settings_file import SettingsFile

SOURCES, DESTINATIONS, WEB, HL7 = PeerSection
PACKAGED = PACKAGED_SETTINGS.read_text()
ARCHIVE = {"name": "archive", "ae_title": "ARCHIVE", "host": "10.0.0.9", "port": 104}
TWO = """\
# who sends
[[sources]]  # the first
name = 'one'   # as everybody calls it
"ae_title" = "ONE"
hosts = [
    "10.0.0.1",  # in the basement
    "10.0.0.2",
]
# nothing more

# the second one

# its own
[[ sources ]]
name = "two"
ae_title = "TWO"
hosts = ["10.0.1.1"]
# of the next header
[[destinations]]
name = "archive"
ae_title = "ARCHIVE"
host = "10.0.0.9"
port = 104
[logging]
level = "info"
"""


def lines_that_differ(before: str, after: str) -> tuple[list[str], list[str]]:
    kept = set(before.splitlines()) & set(after.splitlines())
    return [each for each in before.splitlines() if each not in kept], [
        each for each in after.splitlines() if each not in kept
    ]


def test_a_change_touches_the_lines_that_say_something_else() -> None:
    [entry] = entries_in(PACKAGED, DESTINATIONS)
    after = with_entry(PACKAGED, DESTINATIONS, 0, entry | {"port": 104, "storage_commitment": True})
    assert lines_that_differ(PACKAGED, after) == (
        ["port = 4242", "storage_commitment = false"],
        ["port = 104", "storage_commitment = true"],
    )


def test_comments_stay_on_the_lines_of_what_is_changed() -> None:
    after = with_entry(
        TWO, SOURCES, 0, {"name": "first", "ae_title": "ONE", "hosts": ["10.0.0.1", "10.0.0.3"]}
    )
    assert 'name = "first"   # as everybody calls it' in after
    assert '    "10.0.0.1",  # in the basement' in after
    assert '"ae_title" = "ONE"' in after
    assert after.partition("# nothing more")[2] == TWO.partition("# nothing more")[2]


def test_a_new_entry_comes_after_the_last_of_its_kind() -> None:
    after = with_entry(TWO, SOURCES, None, {"name": "three", "ae_title": "THREE", "hosts": ["10.0.2.1"]})
    new = '\n[[sources]]\nname = "three"\nae_title = "THREE"\nhosts = ["10.0.2.1"]\n'
    assert after == TWO.replace("# of the next header", f"{new}# of the next header")


def test_the_first_of_its_kind_comes_at_the_end() -> None:
    assert (
        with_entry("", DESTINATIONS, None, ARCHIVE)
        == '[[destinations]]\nname = "archive"\nae_title = "ARCHIVE"\nhost = "10.0.0.9"\nport = 104\n'
    )
    for before in ("[logging]\n", "[logging]"):
        assert with_entry(before, DESTINATIONS, None, ARCHIVE).startswith("[logging]\n\n[[destinations]]\n")


def test_what_is_removed_takes_its_own_lines_and_no_comment_of_another() -> None:
    first, second = without_entry(TWO, SOURCES, 0), without_entry(TWO, SOURCES, 1)
    assert first.startswith("# who sends\n\n# the second one\n\n# its own\n[[ sources ]]\n")
    assert second == TWO.replace('[[ sources ]]\nname = "two"\nae_title = "TWO"\nhosts = ["10.0.1.1"]\n', "")
    assert without_entry(
        with_entry(PACKAGED, HL7, None, {"name": "ris", "host": "ris", "port": 1}), HL7, 0
    ) == (PACKAGED + "\n")


def test_a_default_that_was_not_written_is_not_written() -> None:
    entry = ARCHIVE | {"tls": False, "objects": ["structured_report", "heatmap"]}
    assert "tls" not in with_entry("", DESTINATIONS, None, entry)
    assert "objects" not in with_entry("", DESTINATIONS, None, entry)
    written = with_entry(TWO, DESTINATIONS, 0, ARCHIVE | {"tls": True})
    assert "tls = false" in with_entry(written, DESTINATIONS, 0, entry)


def test_lines_end_as_the_files_do() -> None:
    after = with_entry(
        TWO.replace("\n", "\r\n"), SOURCES, 0, {"name": "x", "ae_title": "X", "hosts": ["::1"]}
    )
    after = with_entry(after, HL7, None, {"name": "ris", "host": "ris", "port": 1})
    assert after.count("\n") == after.count("\r\n")


@pytest.mark.parametrize(
    "text",
    [
        'sources = [{name = "a", ae_title = "A", hosts = ["::1"]}]\n',
        '[[sources]]\nname = "a"\nae_title = "A"\nhosts = [\n["::1"]\n]\n[[sources]]\nname = """\n[[sources]]\n"""',
        'model.bundle = """\n[[sources]]\n"""\n',
        '[[sources]]\nname = """\n[[sources]]\n"""\nae_title = "A"\nhosts = ["::1"]\n',
    ],
)
def test_what_is_written_in_another_way_is_left_to_its_editor(text: str) -> None:
    entry = {"name": "b", "ae_title": "B", "hosts": ["::1"]}
    for change in (lambda: with_entry(text, SOURCES, None, entry), lambda: without_entry(text, SOURCES, 0)):
        with pytest.raises(NotWritten, match="edit the file itself"):
            change()


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_entries = st.fixed_dictionaries({"name": _texts, "ae_title": _texts, "hosts": st.lists(_texts, max_size=3)})


@settings(max_examples=50)
@given(st.lists(_entries, max_size=4), _entries, st.data())
def test_whatever_is_typed_the_file_says_that_and_nothing_else(
    known: list[dict[str, Any]], new: dict[str, Any], data: st.DataObject
) -> None:
    text = TWO
    for each in known:
        text = with_entry(text, SOURCES, None, each)
    place = data.draw(st.integers(0, len(known) + 1))
    changed = with_entry(text, SOURCES, place, new)
    before, after = tomllib.loads(text), tomllib.loads(changed)
    before["sources"][place] = new
    assert after == before
    removed = without_entry(with_entry(text, SOURCES, None, new), SOURCES, len(known) + 2)
    assert removed.replace("\n\n", "\n") == text.replace("\n\n", "\n")
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert [line for line in changed.splitlines() if line.startswith("#")] == comments


# The file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "node.toml"
    made.write_text(TWO)
    made.chmod(0o640)
    return made


def change(file: Path, to: Callable[[str], str] = lambda text: text.replace("10.0.1.1", "10.0.1.2")) -> None:
    was = SettingsFile.read(file)
    was.replace(was.changed(to(was.text)))


def test_the_version_before_lies_beside_the_file_and_one_can_go_back_and_forth(file: Path) -> None:
    assert SettingsFile.read(file).earlier() is None
    change(file)
    first = SettingsFile.read(file)
    earlier = first.earlier()
    assert earlier is not None and earlier.text == TWO
    read = first.replace(earlier)
    assert str(read.sources[1].hosts[0]) == "10.0.1.1/32"
    assert file.read_text() == TWO
    assert (file.parent / "node.toml.previous").read_bytes() == first.content


def test_owner_and_mode_are_kept_and_nothing_else_is_left(file: Path) -> None:
    if os.geteuid() == 0:
        os.chown(file, 10112, 10113)
    before = file.stat()
    change(file)
    for name in ("node.toml", "node.toml.previous"):
        after = (file.parent / name).stat()
        assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert sorted(each.name for each in file.parent.iterdir()) == ["node.toml", "node.toml.previous"]


def test_a_byte_order_mark_stays(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + TWO.encode())
    change(file)
    assert file.read_bytes().startswith(b"\xef\xbb\xbf# who")


def test_a_link_stays_a_link(file: Path) -> None:
    link = file.parent / "link.toml"
    link.symlink_to(file)
    change(link)
    assert link.is_symlink()
    assert "10.0.1.2" in file.read_text()


def test_somebody_elses_change_is_not_overwritten(file: Path) -> None:
    was = SettingsFile.read(file)
    file.write_text(TWO + "# by hand\n")
    with pytest.raises(NotWritten, match="changed by somebody else"):
        was.replace(was.changed(TWO.replace("info", "debug")))
    assert file.read_text() == TWO + "# by hand\n"
    assert not was.previous.exists()


def test_what_has_faults_is_not_written_and_every_fault_is_named(file: Path) -> None:
    was = SettingsFile.read(file)
    with pytest.raises(SettingsFault) as refused:
        was.replace(was.changed(TWO.replace("104", "0").replace('"TWO"', '""')))
    assert [fault.setting for fault in refused.value.faults] == [
        "sources[1].ae_title",
        "destinations[0].port",
    ]
    assert file.read_text() == TWO


def test_the_settings_inside_the_package_are_not_changed() -> None:
    was = SettingsFile.read(PACKAGED_SETTINGS)
    with pytest.raises(NotWritten, match="copy"):
        was.replace(was)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user to be")
def test_a_file_that_its_user_may_not_write_is_named_with_the_mend(file: Path) -> None:
    for folder in takewhile(lambda each: each != Path(tempfile.gettempdir()), file.parents):
        folder.chmod(0o755)
    file.chmod(0o644)
    os.seteuid(10112)
    try:
        with pytest.raises(NotWritten, match=r"Permission denied.*chown 10112"):
            change(file)
    finally:
        os.seteuid(0)
    assert file.read_text() == TWO


def test_an_entry_is_found_by_its_name() -> None:
    assert place_of(TWO, SOURCES, "two") == 1
    assert place_of(TWO, SOURCES, "three") is None
