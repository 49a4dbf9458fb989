"""A short run of the fuzzer over everything that reads a stranger's bytes; `trial_fuzzing` has a million cases."""

import logging
import struct
from pathlib import Path

import pytest

from dicom_node.logs import LIBRARIES
from tests.faults import trial_fuzzing
from tests.faults.fuzz_targets import receiver
from tests.faults.fuzzing import Target, cases, fuzz

FEW = {"association, DIMSE and data set": 150, "film in the analysing process": 60}


@pytest.fixture(autouse=True)
def _libraries_are_silent(caplog: pytest.LogCaptureFixture) -> None:
    """As in a node, where they would print what data sets hold: see dicom_node.logs."""
    for name in LIBRARIES:
        caplog.set_level(logging.CRITICAL, logger=name)


@pytest.mark.parametrize("name", trial_fuzzing.CASES)
@pytest.mark.filterwarnings("ignore")  # pydicom's, about what it reads
def test_changed_bytes_are_read_or_refused(name: str, tmp_path: Path) -> None:
    with trial_fuzzing.targets(name, tmp_path) as found:
        [target] = [each for each in found if each.name == name]
        tally = fuzz(target, FEW.get(name, 400), seed=1, crashes=tmp_path / "crashes")
    assert tally.crashes == []
    assert tally.cases == FEW.get(name, 400)


@pytest.mark.filterwarnings("ignore")
def test_a_peer_that_does_not_wait_for_the_answer_to_its_request_ends_no_thread(tmp_path: Path) -> None:
    with receiver(tmp_path) as [target]:
        [conversation] = target.seeds
        request = conversation[: 6 + struct.unpack(">L", conversation[2:6])[0]]
        for _ in range(30):
            target.case(request + b"\x04\0\0\0\0\x06\0\0\0\2\1\0" + b"\xff" * 12)
            target.case(request + request)


def test_the_same_seed_gives_the_same_cases_and_another_one_others() -> None:
    def first(seed: int) -> list[bytes]:
        return [
            case for case, _ in zip(cases((b"one seed", b"another seed"), seed), range(100), strict=False)
        ]

    assert first(1) == first(1) != first(2)
    assert len(set(first(1))) > 90


def test_a_crash_a_refusal_and_its_file(tmp_path: Path) -> None:
    def broken(content: bytes) -> None:
        if len(content) > 4:
            raise KeyError("not foreseen")
        raise ValueError("foreseen")

    tally = fuzz(Target("broken", broken, (b"long enough", b"abc"), (ValueError,)), 2, 1, tmp_path)
    assert (tally.cases, tally.refused, len(tally.crashes)) == (2, 1, 1)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"long enough"]
