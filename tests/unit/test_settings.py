"""What an administrator is promised of the settings file."""

import re
import subprocess
import sys
import tomllib
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from config.errors import Fault, SettingsFault
from config.load import PACKAGED_SETTINGS, check_settings, find_settings, load_settings
from config.peers import Destination, Source
from config.settings import Settings

SOURCE = """
[[sources]]
name = "{name}"
ae_title = "{ae_title}"
hosts = {hosts}
"""
DESTINATION = """
[[destinations]]
name = "{name}"
ae_title = "{ae_title}"
host = "{host}"
port = {port}
"""


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Write a settings file and read it."""

    def write_and_load(text: str | bytes) -> Settings:
        file = tmp_path / "node.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_settings(file)

    return write_and_load


@pytest.fixture
def faults(load: Any) -> Any:
    """Write a settings file and collect what is wrong with it, as place -> sentence."""

    def write_and_collect(text: str | bytes) -> dict[str, str]:
        with pytest.raises(SettingsFault) as raised:
            load(text)
        return {fault.setting: fault.sentence for fault in raised.value.faults}

    return write_and_collect


def source(name: str = "pacs", ae_title: str = "PACS", hosts: str = '["10.1.2.3"]') -> str:
    return SOURCE.format(name=name, ae_title=ae_title, hosts=hosts)


def destination(name: str = "pacs", ae_title: str = "PACS", host: str = "10.1.2.3", port: int = 104) -> str:
    return DESTINATION.format(name=name, ae_title=ae_title, host=host, port=port)


# The defaults


def test_an_empty_file_is_all_defaults_and_nobody_may_send(load: Any, tmp_path: Path) -> None:
    settings = load("")
    assert settings.node.ae_title == "CXR_NODE"
    assert settings.node.data_dir == tmp_path / "data"
    assert (settings.receiver.host, settings.receiver.port) == ("127.0.0.1", 11112)
    assert settings.receiver.require_known_source
    assert settings.source_of("PACS", "127.0.0.1") is None
    assert settings.sources == settings.destinations == ()


def test_the_packaged_file_is_the_defaults_and_an_example_pacs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None)
    example = {
        "sources": (Source(name="pacs", ae_title="PACS", hosts=(ip_network("127.0.0.1"),)),),
        "destinations": (Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=4242),),
    }
    defaults = Settings.model_validate({}, context={"folder": tmp_path})
    assert settings == defaults.model_copy(update=example)


def test_the_packaged_file_names_every_setting_and_no_other() -> None:
    text = PACKAGED_SETTINGS.read_text()
    # a setting whose default is "none" can be named in a comment alone
    written = tomllib.loads(re.sub(r"(?m)^# (?=\w+ = |\[\[)", "", text))

    def names(model: type[BaseModel]) -> set[str]:
        return set(model.model_fields)

    assert set(written) == names(Settings)
    for section, field in Settings.model_fields.items():
        if get_origin(field.annotation) is tuple:
            (entry,) = written[section]
            assert set(entry) == names(get_args(field.annotation)[0]), section
        else:
            assert isinstance(field.annotation, type)
            assert set(written[section]) == names(field.annotation), section
            for name, inner in field.annotation.model_fields.items():
                if isinstance(inner.annotation, type) and issubclass(inner.annotation, BaseModel):
                    assert set(written[section][name]) == names(inner.annotation), name


def test_every_setting_of_the_packaged_file_says_why_one_would_change_it() -> None:
    lines = PACKAGED_SETTINGS.read_text().splitlines()
    for before, line in pairwise(lines):
        if line == "deliver_longest_seconds = 30.0" or re.match(
            r'(name|ae_title|port) = ("PACS"|4242)', line
        ):
            continue  # told together with the line before
        if re.match(r"(# )?\w+ = ", line):
            assert before.startswith("# "), line


def test_without_a_file_the_one_in_the_current_folder_is_used_else_the_packaged_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_settings() == PACKAGED_SETTINGS
    (tmp_path / "node.toml").write_text('[node]\nae_title = "MINE"\n')
    assert find_settings() == tmp_path / "node.toml"
    assert load_settings(None).node.ae_title == "MINE"


def test_data_never_lies_inside_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(None).node.data_dir == tmp_path / "data"
    assert load_settings(PACKAGED_SETTINGS).node.data_dir == tmp_path / "data"


# Values


def test_a_relative_path_starts_at_the_folder_of_the_file(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    settings = load('[node]\ndata_dir = "kept/here"\n[model]\nbundle = "mine"\n')
    assert settings.node.data_dir == tmp_path / "kept/here"
    assert settings.model.bundle == tmp_path / "mine"
    assert load('[node]\ndata_dir = "/var/lib/dicom-node"').node.data_dir == Path("/var/lib/dicom-node")


def test_an_empty_bundle_is_the_model_in_the_package(load: Any) -> None:
    assert load('[model]\nbundle = ""').model.bundle is None


def test_whole_numbers_stand_for_numbers(load: Any) -> None:
    assert load("[receiver]\nstudy_quiet_seconds = 3").receiver.study_quiet_seconds == 3.0


def test_spaces_around_an_ae_title_are_not_significant(load: Any) -> None:
    assert load('[node]\nae_title = "  MY NODE  "').node.ae_title == "MY NODE"
    assert load(source(ae_title=" PACS")).source_of("PACS   ", "10.1.2.3") is not None


@pytest.mark.parametrize("title", ["", "    ", "ABCDEFGHIJKLMNOPQ", "A\\\\B", "A\\nB", "A\\u007fB", "Ä"])
def test_what_is_no_ae_title_is_a_fault(faults: Any, title: str) -> None:
    found = faults(f'[node]\nae_title = "{title}"\n' + source(ae_title=title) + destination(ae_title=title))
    assert set(found) == {"node.ae_title", "sources[0].ae_title", "destinations[0].ae_title"}
    assert all("must be an AE title" in sentence for sentence in found.values())


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="\\"), max_size=16))
def test_every_ae_title_of_the_standard_is_taken(title: str) -> None:
    if title.strip(" "):
        settings = Settings.model_validate({"node": {"ae_title": title}})
        assert settings.node.ae_title == title.strip(" ")


@pytest.mark.parametrize("port", [0, 65536, -1])
def test_a_destination_has_a_port_from_1_to_65535(faults: Any, port: int) -> None:
    sentence = faults(destination(port=port))["destinations[0].port"]
    assert "from 1 to 65535" in sentence
    assert f"found {port}" in sentence


def test_the_receiver_may_take_any_free_port(load: Any) -> None:
    assert load("[receiver]\nport = 0").receiver.port == 0


@pytest.mark.parametrize(
    "host", ["10.1.2.3", "fe80::1", "pacs", "pacs.example.org", "pacs_1", "10.1.2.3.example.org"]
)
def test_a_destination_is_an_address_or_a_host_name(load: Any, host: str) -> None:
    assert load(destination(host=host)).destinations[0].host == host


@pytest.mark.parametrize(
    "host", ["", "http://pacs", "pacs:104", "a b", "10.1.2", "10.1.2.256", "-pacs", "a..b"]
)
def test_what_is_no_host_is_a_fault(faults: Any, host: str) -> None:
    assert "without port, path or spaces" in faults(destination(host=host))["destinations[0].host"]


def test_the_band_of_uncertain_scores_is_two_numbers_or_the_model_cards(load: Any) -> None:
    assert load("[model]\nuncertain = [0, 0.5]").model.uncertain == (0.0, 0.5)
    assert load("[model]\nuncertain = [0.5, 0.5]").model.uncertain == (0.5, 0.5)
    assert load("").model.uncertain is None


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("[0.6, 0.4]", "[0.6, 0.4]"),
        ("[-0.1, 0.4]", "[-0.1, 0.4]"),
        ("[0.4, 1.1]", "[0.4, 1.1]"),
        ("[0.4]", "[0.4]"),
        ("[0.2, 0.4, 0.6]", "[0.2, 0.4, 0.6]"),
        ("[nan, 0.4]", "[nan, 0.4]"),
        ("[]", "an empty list"),
        ('["0.4", 0.6]', "a list"),
        ("[false, true]", "a list"),
        ("0.5", "0.5"),
        ('""', '""'),
    ],
)
def test_what_is_no_band_of_scores_is_a_fault(faults: Any, written: str, found: str) -> None:
    sentence = "must be two numbers from 0 to 1 in square brackets, the smaller one first, such as [0.4, 0.6]"
    assert faults(f"[model]\nuncertain = {written}") == {"model.uncertain": f"{sentence}; found {found}"}


# Who is sending


@pytest.mark.parametrize(
    ("title", "address", "expected"),
    [
        ("PACS", "10.1.2.3", "one"),
        ("PACS  ", "10.1.2.3", "one"),
        ("PACS", "::ffff:10.1.2.3", "one"),
        ("PACS", "10.1.2.4", None),
        ("PACS", "10.2.200.9", "network"),
        ("PACS", "10.3.0.1", None),
        ("pacs", "10.1.2.3", None),
        ("OTHER", "10.1.2.3", None),
        ("SIX", "2001:db8::17", "six"),
        ("SIX", "2001:db9::17", None),
        ("PACS", "10.4.0.9", "mapped"),
        ("PACS", "not an address", None),
        ("PACS", "", None),
    ],
)
def test_a_source_is_known_by_its_ae_title_and_its_address(
    load: Any, title: str, address: str, expected: str | None
) -> None:
    settings = load(
        source("one", hosts='["10.1.2.3"]')
        + source("network", hosts='["10.2.0.0/16"]')
        + source("six", "SIX", hosts='["2001:db8::/32"]')
        + source("mapped", hosts='["::ffff:10.4.0.9"]')
    )
    found = settings.source_of(title, address)
    assert (found and found.name) == expected


@pytest.mark.parametrize("host", ["localhost", "pacs.example.org", "10.1.2", "", "10.1.2.3-10.1.2.9"])
def test_a_host_name_does_not_say_who_may_send(faults: Any, host: str) -> None:
    sentence = faults(source(hosts=f'["10.1.2.3", "{host}"]'))["sources[0].hosts[1]"]
    assert 'an address such as "10.1.2.3" or a network such as "10.1.0.0/16"' in sentence
    assert "host name is not allowed" in sentence
    assert f'found "{host}"' in sentence


def test_an_address_with_a_mask_is_answered_with_its_network(faults: Any) -> None:
    assert 'the network is "10.1.0.0/16"' in faults(source(hosts='["10.1.2.3/16"]'))["sources[0].hosts[0]"]


def test_a_source_without_any_host_is_a_fault(faults: Any) -> None:
    assert "found an empty list" in faults(source(hosts="[]"))["sources[0].hosts"]


def test_the_same_ae_title_may_send_from_two_places_but_not_be_two_sources_in_one(
    load: Any, faults: Any
) -> None:
    apart = source("a", hosts='["10.1.0.0/16"]') + source("b", hosts='["10.2.0.0/16"]')
    assert len(load(apart).sources) == 2
    found = faults(source("a", hosts='["10.1.0.0/16"]') + source("b", hosts='["10.9.9.9", "10.1.2.3"]'))
    assert list(found) == ["sources[1].hosts"]
    assert "sources[0], which has the same AE title" in found["sources[1].hosts"]


def test_a_source_may_have_a_quiet_time_of_its_own(load: Any) -> None:
    settings = load(
        "[receiver]\nstudy_quiet_seconds = 7\n" + source() + source("b", "B") + "study_quiet_seconds = 0\n"
    )
    assert settings.quiet_seconds(None) == 7
    assert [settings.quiet_seconds(each) for each in settings.sources] == [7, 0]


# Who is told by HL7


def ris(*lines: str, name: str = "ris") -> str:
    return "\n".join((f'[[hl7]]\nname = "{name}"\nhost = "10.1.2.9"\nport = 2575', *lines, ""))


def test_a_ris_needs_a_name_and_an_address_and_nothing_else(load: Any) -> None:
    [to] = load(ris()).hl7
    assert (to.normal_results, to.raised_priority) == ("nothing", "S^STAT^HL70485")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('likely = ""', 'must be a code as HL7 writes it, such as "52101004^Present^SCT"'),
        ('likely = "^Present"', "identifier, text, coding system"),
        ('likely = "a^b^c^d"', 'found "a^b^c^d"'),
        ('likely = "a|b"', 'found "a|b"'),
        ('likely = "a\\nb"', "must be a code as HL7 writes it"),
        ("likely = 1", 'must be a code such as "52101004^Present^SCT"; found 1'),
        ('raised_priority = "R^Routine^HL70485"', "must raise a priority"),
        ('raised_priority = "PRN^^HL70485"', "must raise a priority"),
        ('sending_application = "a name of more than 20 characters"', "at most 20 characters"),
        ('receiving_facility = "RIS^1.2.3"', 'such as "RIS^1.2.3.4^ISO"'),
        ('assigning_authority = "A&B"', 'found "A&B"'),
        ('normal_results = "all"', 'must be "nothing" or "routine"; found "all"'),
        ('filler_order_number = "AccessionNumber"', 'must be a list of "AccessionNumber", '),
    ],
)
def test_what_hl7_cannot_carry_is_a_fault(faults: Any, line: str, said: str) -> None:
    found = faults(ris(line))
    assert list(found) == [f"hl7[0].{line.partition(' ')[0]}"]
    assert said in next(iter(found.values()))


def test_only_attributes_of_the_order_fill_its_fields(faults: Any) -> None:
    found = faults(ris('placer_field_1 = ["AccessionNumber", "PatientName"]'))
    assert list(found) == ["hl7[0].placer_field_1[1]"]
    assert 'found "PatientName"' in found["hl7[0].placer_field_1[1]"]


def test_a_priority_of_the_hospitals_own_is_taken(load: Any) -> None:
    for written in ("S^STAT^HL70485", "A^ASAP^HL70485", "1^Emergency^99RIS", "R^Red^99RIS", "STAT"):
        assert load(ris(f'raised_priority = "{written}"')).hl7[0].raised_priority == written


def test_a_ris_has_a_name_that_no_archive_has(faults: Any) -> None:
    found = faults(destination("ris") + ris() + ris(name="other"))
    assert found == {"hl7[0].name": 'must be a name of its own; found "ris", which destinations[0] has'}


@pytest.mark.parametrize("section", ["destinations", "web_destinations"])
def test_a_message_is_no_object_of_an_archive(faults: Any, section: str) -> None:
    found = faults(f'[[{section}]]\nobjects = ["heatmap", "hl7_message"]\n')
    assert "must be" in found[f"{section}[0].objects[1]"]


# What does not fit together


def test_names_are_unique(faults: Any) -> None:
    found = faults(source("a", "A") + source("a", "B") + destination("x", port=1) + destination("x", port=2))
    assert set(found) == {"sources[1].name", "destinations[1].name"}
    assert 'found "a", which sources[0] has' in found["sources[1].name"]


@pytest.mark.parametrize("name", ["", "Pacs", "pacs one", "pacs/1", "ä"])
def test_a_name_is_simple(faults: Any, name: str) -> None:
    assert set(faults(source(name) + destination(name))) == {"sources[0].name", "destinations[0].name"}


def test_an_archive_that_is_asked_for_commitment_may_answer(faults: Any, load: Any) -> None:
    asked = destination("archive") + "storage_commitment = true\n"
    assert "answers by a connection of its own" in faults(asked)["destinations[0].storage_commitment"]
    assert load(asked + source("archive")).destinations[0].storage_commitment


def test_what_a_faulty_entry_may_hold_is_not_said_to_be_missing(faults: Any) -> None:
    asked = destination("archive") + 'storage_commitment = true\nobjects = ["heat map"]\n'
    fetching = '[priors]\narchive = "archive"\n'
    stranger = '[[sources]]\nname = "archive"\nae_title = "PACS"\nhosts = ["pacs.example.org"]\n'
    assert set(faults(fetching + asked + stranger)) == {"sources[0].hosts[0]", "destinations[0].objects[0]"}


def test_one_archive_is_not_two_destinations(faults: Any) -> None:
    assert "every result twice" in faults(destination("a") + destination("b"))["destinations[1]"]


@pytest.mark.parametrize(
    ("listening", "host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "localhost"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "::1"),
        ("10.1.1.1", "10.1.1.1"),
        ("node.example.org", "Node.Example.Org"),
    ],
)
def test_the_node_does_not_send_to_itself(faults: Any, listening: str, host: str) -> None:
    found = faults(f'[receiver]\nhost = "{listening}"\nport = 104\n' + destination(host=host, port=104))
    assert "send its results to itself" in found["destinations[0].port"]


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 105), ("10.1.2.3", 104)])
def test_an_archive_beside_the_node_is_no_fault(load: Any, host: str, port: int) -> None:
    load("[receiver]\nport = 104\n" + destination(host=host, port=port))


def test_the_longest_wait_is_not_shorter_than_the_first(faults: Any) -> None:
    found = faults("[retry]\ndeliver_first_seconds = 60\n")
    assert found == {
        "retry.deliver_longest_seconds": "must be at least retry.deliver_first_seconds, which is 60; found 30"
    }


def test_room_is_made_before_radiographs_are_refused(faults: Any) -> None:
    found = faults("[storage]\nminimum_free_megabytes = 5000\n")
    assert list(found) == ["retention.free_megabytes"]
    assert "at least storage.minimum_free_megabytes, which is 5000" in found["retention.free_megabytes"]


# Faults


def test_every_fault_is_reported_at_once(faults: Any) -> None:
    found = faults(
        '[node]\nae_titel = "X"\n'
        '[receiver]\nport = "104"\nrequire_known_source = "yes"\nmaximum_associations = 2.5\n'
        "[model]\nuncertain = [0.6, 0.4]\nminimum_age_years = nan\n"
        '[results]\nheatmap_modality = "DX"\n'
        '[logging]\nlevel = "loud"\n'
        "[retry]\ndeliver_longest_seconds = 1\n"
        + source("a", hosts='"10.1.2.3"')
        + source("b")
        + source("b")
        + destination(port=0)
        + "[[destinations]]\n"
    )
    assert set(found) == {
        "node.ae_titel",
        "receiver.port",
        "receiver.require_known_source",
        "receiver.maximum_associations",
        "model.uncertain",
        "model.minimum_age_years",
        "results.heatmap_modality",
        "logging.level",
        "retry.deliver_longest_seconds",
        "sources[0].hosts",
        "sources[2].name",
        "sources[2].hosts",
        "destinations[0].port",
        "destinations[1].name",
        "destinations[1].ae_title",
        "destinations[1].host",
        "destinations[1].port",
    }
    assert (
        found["receiver.port"]
        == 'must be a whole number from 0 to 65535, without quotation marks; found "104"'
    )
    assert (
        found["receiver.require_known_source"]
        == 'must be true or false, without quotation marks; found "yes"'
    )
    assert found["results.heatmap_modality"] == 'must be "source" or "OT"; found "DX"'
    assert found["destinations[1].port"].startswith("is missing; it must be a whole number from 1 to 65535")


def test_printed_it_is_one_line_for_each_fault_and_each_names_the_file(load: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsFault) as raised:
        load('[receiver]\nport = -1\n[node]\nae_title = """A\nB"""\n"odd\\nname" = 1\n')
    lines = str(raised.value).splitlines()
    assert len(lines) == len(raised.value.faults) == 3
    assert all(line.startswith(f"{tmp_path / 'node.toml'}: ") for line in lines)
    assert raised.value.path == tmp_path / "node.toml"


@pytest.mark.parametrize(
    ("text", "setting", "suggestion"),
    [
        ('[node]\nae_titel = "X"', "node.ae_titel", 'did you mean "ae_title"?'),
        ('[node]\nAE_TITLE = "X"', "node.AE_TITLE", 'did you mean "ae_title"?'),
        ("[reciever]\nport = 1", "reciever", 'did you mean "receiver"?'),
        ("[[source]]\nname = 1", "source", 'did you mean "sources"?'),
        ("level = 1", "level", 'did you mean "level" in [logging]?'),
        (
            "port = 1",
            "port",
            'did you mean "port" in [receiver] or "port" in [[destinations]] or "port" in [[hl7]] '
            'or "port" in [hl7_reports] or "port" in [web]?',
        ),
        ("[storage]\nzzz = 1", "storage.zzz", "here are allowed: minimum_free_megabytes"),
        (destination() + "prot = 1", "destinations[0].prot", 'did you mean "port"?'),
        ("[model]\nthreshold = 0.4", "model.threshold", "uncertain = [t, t] is now"),
    ],
)
def test_an_unknown_name_is_a_fault_with_a_suggestion(
    faults: Any, text: str, setting: str, suggestion: str
) -> None:
    found = faults(text)
    assert list(found) == [setting]
    assert found[setting].startswith("is not a setting; ")
    assert found[setting].endswith(suggestion)


def test_the_value_of_an_unknown_name_is_never_printed(faults: Any) -> None:
    found = faults(
        'password = "hunter2"\n[node]\ntoken = "hunter2"\n' + destination() + 'password = "hunter2"'
    )
    assert set(found) == {"password", "node.token", "destinations[0].password"}
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("text", "setting", "sentence"),
    [
        ("[[node]]\nae_title = 'X'", "node", "must be one section, [node]; found a list"),
        ("node = 3", "node", "must be one section, [node]; found 3"),
        ("[sources]\nname = 'x'", "sources", "must be a section for each, [[sources]]; found a section"),
        ("sources = [3]", "sources[0]", "must be a section for each, [[sources]]; found 3"),
    ],
)
def test_a_section_in_the_wrong_brackets_is_explained(
    faults: Any, text: str, setting: str, sentence: str
) -> None:
    assert faults(text) == {setting: sentence}


def test_a_file_that_is_not_toml_is_a_fault_with_its_line(faults: Any) -> None:
    found = faults('[node]\nae_title = "X"\nport : 3\n')
    ((setting, sentence),) = found.items()
    assert setting.startswith("line 3, column ")
    assert sentence.startswith("is not TOML: ")
    assert list(faults('[node]\nae_title = "X')) == ["end of document"]


def test_a_file_in_another_encoding_is_a_fault_with_its_line(faults: Any) -> None:
    assert "UTF-8" in faults("[node]\n# Röntgen\n".encode("latin-1"))["line 2"]
    assert "UTF-8" in faults("[node]\n".encode("utf-16"))["line 1"]


def test_what_windows_editors_add_is_no_fault(load: Any) -> None:
    assert load(b'\xef\xbb\xbf[node]\r\nae_title = "X"\r\n').node.ae_title == "X"


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    for missing in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(SettingsFault) as raised:
            load_settings(missing)
        assert str(raised.value).startswith(f"{missing}: cannot be read: ")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda children: (
            st.lists(children, max_size=3)
            | st.dictionaries(
                st.sampled_from([*Settings.model_fields, *Source.model_fields, "port", "days", "x y"]),
                children,
                max_size=4,
            )
        ),
        max_leaves=12,
    ).filter(lambda document: isinstance(document, dict))
)
def test_no_document_ends_in_anything_but_settings_or_sentences(document: dict[str, Any]) -> None:
    try:
        check_settings(document, Path("node.toml"))
    except SettingsFault as fault:
        assert fault.faults
        assert all(each.setting and each.sentence for each in fault.faults)
        assert len({each.setting for each in fault.faults}) == len(fault.faults)


def test_a_document_from_elsewhere_is_checked_as_a_file_is(tmp_path: Path) -> None:
    file = tmp_path / "later.toml"
    assert check_settings({}, file).node.data_dir == tmp_path / "data"
    with pytest.raises(SettingsFault) as raised:
        check_settings({"retention": {"days": -1}}, file)
    assert raised.value.faults == (
        Fault("retention.days", "must be a number from 0 to 36500, without quotation marks; found -1"),
    )


def test_settings_cannot_be_changed_while_the_node_runs(load: Any) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load("").receiver.port = 1


def test_reading_settings_brings_in_no_other_room() -> None:
    script = (
        "import sys, config.load\n"
        "others = {'dicom_node', 'inference', 'storage', 'torch', 'pydicom'}\n"
        "print(sorted(others & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"


# Final reports


def test_reports_that_nobody_may_send_are_named(faults: Any) -> None:
    assert faults("[hl7_reports]\nenabled = true\n") == {
        "hl7_reports.hosts": "is empty; nobody could send a report: name the addresses that may"
    }


def test_reports_over_tls_need_the_files(faults: Any) -> None:
    found = faults('[hl7_reports]\nenabled = true\ntls = true\nhosts = ["10.1.2.3"]\n')
    assert found["tls.key_file"] == "is missing; hl7_reports.tls = true needs a file in PEM here"


def test_a_code_of_a_report_means_one_thing(faults: Any) -> None:
    assert faults('[hl7_reports]\nnegative = ["52101004^Present^SCT"]\n') == {
        "hl7_reports.negative": "must not have a code that means something else; "
        '"52101004" is in positive, too'
    }


def test_an_order_is_found_by_fields_that_are_there(faults: Any) -> None:
    assert (
        'must be a list of "OBR-2", "OBR-3"'
        in faults('[hl7_reports]\naccession_number = ["OBX-3"]\n').popitem()[1]
    )
