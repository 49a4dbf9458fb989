"""The link by which a study opens in the hospital's viewer."""

import re
from pathlib import Path

import pytest

from config.errors import SettingsFault
from config.load import PACKAGED_SETTINGS, load_settings
from config.web import WebSettings
from dicom_node.web.study import viewer_link


def examples() -> list[str]:
    return re.findall(r'^#   "(\S+://\S+)"$', PACKAGED_SETTINGS.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_examples_can_be_used() -> None:
    assert [each.split(":")[0] for each in examples()] == ["https", "weasis", "https"]
    for each in examples():
        link = viewer_link(WebSettings(viewer_link=each), "1.2.3", "")
        assert link == each.replace("{study_instance_uid}", "1.2.3")


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ("https://viewer.example.org/", "must hold"),
        ("https://viewer.example.org/{patient_name}", "must hold"),
        ("https://viewer.example.org/{study_instance_uid.__class__}", "must hold"),
        ("https://viewer.example.org/{study_instance_uid!r}", "must hold"),
        ("https://viewer.example.org/{study_instance_uid", "brace"),
        ("javascript://%0Aalert({study_instance_uid})", "must be a URL"),
        ("/studies/{study_instance_uid}", "must be a URL"),
        ("https://viewer.example.org/a b?{study_instance_uid}", "must be a URL"),
        ("weasis://'{study_instance_uid}'", "quotation"),
    ],
)
def test_what_is_no_link_is_refused_in_a_sentence(link: str, fault: str, tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(f'[web]\nviewer_link = "{link}"\n', encoding="utf-8")
    with pytest.raises(SettingsFault) as refused:
        load_settings(file)
    assert fault in str(refused.value)


def test_what_is_put_into_it_stays_one_value() -> None:
    settings = WebSettings(viewer_link="https://viewer.example.org/?a={accession_number}")
    assert (
        viewer_link(settings, "1.2.3", "A 1&b=2/é") == "https://viewer.example.org/?a=A%201%26b%3D2%2F%C3%A9"
    )
    assert viewer_link(settings, "1.2.3", "") is None
    assert viewer_link(WebSettings(), "1.2.3", "A1") is None
