"""How pages write what headers hold."""

import pytest

from dicom_node.web.words import date, person_name, view, wait
from tests.builders import NAMES


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (NAMES["ascii"].text, "Doe, Jane"),
        (NAMES["latin1"].text, "Müller, Jürgen Dr."),
        (NAMES["utf8"].text, "Wang, XiaoDong (王 小东)"),
        (NAMES["japanese"].text, "Yamada, Tarou (山田 太郎)"),
        ("=山田^太郎", "山田 太郎"),
        ("Doe", "Doe"),
        ("^Jane", "Jane"),
        ("", ""),
        ("==", ""),
    ],
)
def test_a_name_is_written_as_a_person_reads_it(written: str, expected: str) -> None:
    assert person_name(written) == expected


def test_a_date_has_its_year_first() -> None:
    assert (date("19560704"), date("")) == ("1956-07-04", "")


def test_a_lateral_view_is_called_so() -> None:
    assert [view(each) for each in ("LL", "lateral", "PA", "")] == ["lateral", "lateral", "PA", ""]


@pytest.mark.parametrize(
    ("seconds", "expected"), [(-3, "under 1 min"), (59.9, "under 1 min"), (60, "1 min"), (3725, "1 h 02")]
)
def test_a_wait_is_told_to_the_minute(seconds: float, expected: str) -> None:
    assert wait(seconds) == expected
