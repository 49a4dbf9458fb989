"""Films that were made to do harm, one after another to a real node: each gets its exact answer, and harms nothing."""

import json
import re
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dsutils import encode
from pynetdicom.pdu_primitives import P_DATA

from config.peers import Source
from config.sections import ReceiverSettings, StorageSettings
from config.settings import Settings
from dicom_node.receiver import Receiver
from inference.decoding import decodable_transfer_syntaxes
from storage import views
from storage.folder import DataFolder
from tests.builders import chest_film, encoded, write
from tests.faults.fuzz_targets import whole_films
from tests.faults.hostile_films import FILMS, Hostile, data_set_of, hostile
from tests.peers import NODE_AE_TITLE, NodeProcess, wait_for

# pydicom warns where a test writes what is wrong
pytestmark = pytest.mark.filterwarnings(
    "ignore:Invalid value for VR", "ignore:The value length", "ignore:Unknown"
)

PIECE = 100_000
MOST_GROWN = 80  # MB, of the node's own process


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node without an archive."""
    folder = tmp_path_factory.mktemp("hostile") / "node"
    folder.mkdir()
    with NodeProcess(folder, None) as made:
        yield made


def association_with(port: int, *syntaxes: str) -> Association:
    entity = AE("PACS")
    entity.add_requested_context(chest_film().SOPClassUID, list(syntaxes))
    made = entity.associate("127.0.0.1", port, ae_title=NODE_AE_TITLE)
    assert made.is_established
    return made


def store(association: Association, sop_instance: str, data_set: bytes) -> Dataset:
    """Send these bytes as a data set, whatever they are, under this name, whatever it is; return the answer."""
    command = Dataset()
    command.AffectedSOPClassUID = chest_film().SOPClassUID
    command.CommandField, command.MessageID, command.Priority, command.CommandDataSetType = 1, 1, 0, 1
    command.add_new(0x00001000, "UI", "")
    command["AffectedSOPInstanceUID"]._value = UID(sop_instance, validation_mode=0)
    command.CommandGroupLength = len(encode(command, True, True) or b"")
    [context] = association.accepted_contexts
    content = BytesIO(data_set)
    pieces = [b"\x03" + (encode(command, True, True) or b"")]
    while piece := content.read(PIECE):
        pieces.append(b"\0" + piece)
    pieces[-1] = b"\2" + pieces[-1][1:]
    for piece in pieces:
        primitive = P_DATA()
        primitive.presentation_data_value_list = [[context.context_id, piece]]
        association.dul.send_pdu(primitive)
    _, answer = association.dimse.get_msg(block=True)
    assert answer is not None, "no answer"
    made = Dataset()
    made.Status, made.ErrorComment = answer.Status, answer.ErrorComment or ""
    return made


def sent(node: NodeProcess, film: Hostile) -> Dataset:
    association = association_with(node.port, film.syntax)
    association._reactor_checkpoint.clear()  # the answer is for us, and not for pynetdicom's own loop
    answer = store(association, film.sop_instance, film.data_set)
    association._reactor_checkpoint.set()
    association.release()
    return answer


def ended(node: NodeProcess, study: str) -> dict[str, object] | None:
    """What became of the only image of a study; None: nothing yet."""
    [image] = known(node, study)
    return image if image["state"] not in ("queued", "running") else None


def known(node: NodeProcess, study: str) -> list[dict[str, object]]:
    """The images of a study, as `dicom-node show` has them."""
    folder = DataFolder(node.folder / "data")
    with folder.database.read() as connection:
        found: list[dict[str, object]] = views.study(connection, study)["instances"]
    folder.close()
    return found


def megabytes_of(node: NodeProcess) -> int:
    assert node._process is not None
    status = Path(f"/proc/{node._process.pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) // 1000


@pytest.mark.parametrize("name", FILMS)
def test_a_hostile_film_gets_its_exact_answer_and_is_never_looked_at_for_ever(
    lonely: NodeProcess, name: str
) -> None:
    film = hostile(name)
    answer = sent(lonely, film)
    assert (answer.Status, answer.ErrorComment) == (film.status, film.comment)
    if film.status:
        assert known(lonely, film.study) == []
        return
    image = wait_for(lambda: ended(lonely, film.study), 120)
    assert image["reason"] == film.reason
    assert image["state"] == ("done" if film.reason is None else "rejected")


def test_after_all_of_them_the_next_good_film_is_analysed_and_nothing_has_grown_or_gone_astray(
    lonely: NodeProcess, tmp_path: Path
) -> None:
    good = chest_film(study="before the hostile ones")
    assert lonely.send(write(good, tmp_path / "good.dcm")) == 0
    wait_for(lambda: ended(lonely, good.StudyInstanceUID), 120)
    before = megabytes_of(lonely)
    for name in FILMS:
        sent(lonely, hostile(name))
    last = chest_film(study="after the hostile ones")
    assert lonely.send(write(last, tmp_path / "last.dcm")) == 0
    image = wait_for(lambda: ended(lonely, last.StudyInstanceUID), 120)
    assert image["state"] == "done"
    assert megabytes_of(lonely) - before < MOST_GROWN
    assert {path.name for path in lonely.folder.iterdir()} == {"data", "node.log", "node.toml"}
    assert {path.name for path in lonely.folder.parent.iterdir()} == {"node"}
    assert list((lonely.folder / "data").rglob("*passwd*")) == []
    assert "Traceback" not in lonely.log
    events = {json.loads(line)["event"] for line in lonely.log.splitlines() if line.startswith("{")}
    assert not events & {"instance_not_stored", "analysis_failed", "message_unreadable"}


@pytest.mark.parametrize("uid", ["../../../etc/passwd", "/etc/passwd", "..", "1.2\0.3", "1." + "2" * 64, ""])
def test_an_instance_announced_by_a_path_is_refused_or_cut_off(
    lonely: NodeProcess, uid: str, tmp_path: Path
) -> None:
    film = chest_film(study=f"announced as {uid!r}")
    association = association_with(lonely.port, "1.2.840.10008.1.2.1")
    association._reactor_checkpoint.clear()
    try:
        assert store(association, uid, data_set_of(encoded(film))).Status in (0xA900, 0xC000, 0x0117)
    except AssertionError as no_answer:
        assert "no answer" in str(no_answer)
    association._reactor_checkpoint.set()
    association.abort()
    assert known(lonely, film.StudyInstanceUID) == []
    good = chest_film(study=f"after {uid!r}")
    assert lonely.send(write(good, tmp_path / "good.dcm")) == 0


@pytest.mark.parametrize("program", [b"\x7fELF\x02\x01\x01", b"MZ\x90\0\x03", b"#!/bin/sh\nrm -rf /\n"])
def test_a_preamble_that_is_a_program_is_not_kept(
    lonely: NodeProcess, program: bytes, tmp_path: Path
) -> None:
    film = chest_film(study=f"program {program!r}")
    path = tmp_path / "program.dcm"
    path.write_bytes(program.ljust(128, b"\0") + encoded(film)[128:])
    assert lonely.send(path) == 0
    image = wait_for(lambda: ended(lonely, film.StudyInstanceUID), 120)
    [kept] = (lonely.folder / "data").rglob(f"{image['object_key']}*")
    assert kept.read_bytes()[:132] == bytes(128) + b"DICM"
    assert not kept.stat().st_mode & 0o111


def test_decoders_run_in_the_analysing_process_alone(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver takes films in every coding, twice, with traps where pixels would be decoded."""

    def trap(*_: object, **__: object) -> None:
        decoded.append(threading.current_thread().name)
        raise AssertionError("decoded")

    decoded: list[str] = []
    films, sop_instance = whole_films(), chest_film().SOPInstanceUID  # drawn from a decoded one
    for place in (
        "gdcm.ImageReader",
        "gdcm.Image",
        "PIL.Image.open",
        "pydicom.pixels.decoders.base.Decoder.as_array",
        "pydicom.pixels.decoders.base.Decoder.iter_array",
        "zlib.decompress",
    ):
        monkeypatch.setattr(place, trap)
    settings = Settings(
        sources=(Source(name="pacs", ae_title="PACS", hosts=("127.0.0.1",)),),  # type: ignore[arg-type]
        receiver=ReceiverSettings(port=0),
        storage=StorageSettings(minimum_free_megabytes=0),
    )
    receiver = Receiver(settings, folder, lambda: None)
    _, port = receiver.start()
    syntaxes = {re.search(rb"\x02\x00\x10\x00UI..([0-9.]+)", film)[1].decode(): film for film in films}  # type: ignore[index]
    assert set(syntaxes) <= set(decodable_transfer_syntaxes())
    for syntax, film in syntaxes.items():
        association = association_with(port, syntax)
        association._reactor_checkpoint.clear()
        for _ in range(2):
            answer = store(association, sop_instance, data_set_of(film))
            assert answer.Status == 0x0000
        association._reactor_checkpoint.set()
        association.release()
    receiver.stop()
    assert decoded == []
