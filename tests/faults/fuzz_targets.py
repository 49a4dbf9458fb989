"""Everything of the node that reads a stranger's bytes, as targets for `tests.faults.fuzzing`."""

import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import AE, evt
from pynetdicom.dsutils import decode, encode

from config.errors import SettingsFault
from config.hl7_reports import Hl7ReportSettings
from config.load import PACKAGED_SETTINGS, load_settings
from config.peers import Source
from config.sections import LimitsSettings, PriorsSettings, ReceiverSettings, RetrySettings, StorageSettings
from config.settings import Settings
from dicom_node import transport
from dicom_node.associations import VERIFICATION
from dicom_node.channels.mllp import read_acknowledgement
from dicom_node.channels.stow import status_of
from dicom_node.child import AnalysisProcess
from dicom_node.commitment import take_answer
from dicom_node.correction import difference
from dicom_node.earlier_films import earlier_films
from dicom_node.errors import AnalysisFailed, DataSetRefused, DeliveryFault, QueryFailed
from dicom_node.final_reports.message import Header, MessageRefused, acknowledgement, findings
from dicom_node.header import read_identity
from dicom_node.https import Answer
from dicom_node.receiver import Receiver
from dicom_node.tasks import AnalysedFilm, StudyTask
from inference.card import SHIPPED, load_card
from inference.codestream import read_frame
from inference.elements import Encoding, elements
from storage.folder import DataFolder
from storage.records import Fetch
from tests.builders import chest_film, encoded
from tests.faults.fuzzing import Target
from tests.peers import wait_for
from tests.report_sender import ABSENT, report

ACKNOWLEDGEMENTS = (
    b"MSH|^~\\&|RIS||NODE||20260301||ACK^R01^ACK|1|P|2.5.1\rMSA|AA|2.25.1\r",
    b"MSH|^~\\&|RIS||NODE||20260301||ACK|1|P|2.3\rMSA|AE|2.25.1|no\rERR|PID^1^3^101&x&HL70357\r",
    b"MSH|^~\\&|RIS\rMSA|AR|2.25.1\rERR||PID^1^3|103^value^HL70357|E\r",
)
REPORTS = (
    report(patient="P7^^^HOSPITAL&1.2.3&ISO~P8"),
    report("A^RIS", ABSENT, status="C", more=["OBR|2||A2", "OBX|1|CWE|233604007||1"]),
    report(header="MSH#*!?%#RIS#HOSPITAL#NODE#RADIOLOGY#20260301101500##ORU*R01#{}#P#2.3").replace(
        b"|", b"#"
    ),
)
STOW_ANSWERS = (
    b'{"00081199": {"vr": "SQ", "Value": [{"00081150": {"vr": "UI", "Value": ["1.2.3"]}}]}}',
    b'{"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [272]}}]}}',
    b'[{"0008119A": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [49152]}}]}}]',
    b"<NativeDicomModel><DicomAttribute/></NativeDicomModel>",
)


def small_films() -> tuple[bytes, ...]:
    """Films of a few kilobytes, in every encoding that pydicom writes."""
    film = chest_film(rows=8, columns=8)
    syntaxes = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless)
    return tuple(encoded(film, syntax) for syntax in syntaxes)


def whole_films() -> tuple[bytes, ...]:
    """Films that are analysed, in every coding that there is an encoder for."""
    film = chest_film(rows=160, columns=140)
    native = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless)
    return (
        *(encoded(film, syntax) for syntax in native),
        *map(_compressed, (JPEGLSLossless, JPEG2000Lossless)),
    )


def _compressed(syntax: Any) -> bytes:
    film = chest_film(rows=160, columns=140)
    film.ensure_file_meta()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.compress(syntax, generate_instance_uid=False)
    file = BytesIO()
    dcmwrite(file, film, enforce_file_format=True)
    return file.getvalue()


def answers() -> tuple[bytes, ...]:
    """Data sets as peers answer, in Implicit VR Little Endian."""
    report, study = Dataset(), Dataset()
    report.TransactionUID = "2.25.4711"
    report.ReferencedSOPSequence = [_reference(1), _reference(2)]
    report.FailedSOPSequence = [_reference(3)]
    report.FailedSOPSequence[0].FailureReason = 0x0112
    study.StudyInstanceUID, study.SeriesInstanceUID, study.SOPInstanceUID = "1.2.3", "1.2.3.4", "1.2.3.4.5"
    study.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    study.PatientID, study.IssuerOfPatientID, study.PatientBirthDate = "MRN", "", "19560704"
    study.StudyDate, study.Modality, study.ModalitiesInStudy = "20250301", "DX", ["DX", "SR"]
    return tuple(encode(each, True, True) or b"" for each in (report, study))


def _reference(number: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", f"2.25.{number}"
    return item


def parsers(scratch: Path) -> list[Target]:
    """What runs in the node's own process, without a network."""
    films = small_films()
    file, kept = scratch / "film.dcm", scratch / "kept.dcm"
    kept.write_bytes(films[0])
    limits = LimitsSettings()

    def identity(content: bytes) -> None:
        file.write_bytes(content)
        read_identity(file)

    def compare(content: bytes) -> None:
        file.write_bytes(content)
        difference(kept, file)

    def walk(content: bytes) -> None:
        for encoding in (Encoding(is_implicit=False), Encoding(is_implicit=True), Encoding(False, False)):
            for _ in elements(BytesIO(content), encoding, limits.header_elements, limits.sequence_depth):
                continue

    def settings(content: bytes) -> None:
        file.write_bytes(content)
        load_settings(file)

    def stow(content: bytes) -> None:
        for status in (200, 202, 409):
            status_of(Answer(status, content))

    bare = tuple(each[132:] for each in films[:2])
    return [
        Target("identity of a data set", identity, films, (DataSetRefused,)),
        Target("comparison of two data sets", compare, films),
        Target("elements of a data set", walk, bare, (ValueError,)),
        Target("compressed frame", _frame, _frames(), (ValueError,)),
        Target("answer to C-FIND", _query, answers(), (QueryFailed,)),
        Target("HL7 acknowledgement", _acknowledge, ACKNOWLEDGEMENTS),
        Target("HL7 final report", _read_report, REPORTS, (MessageRefused,)),
        Target("answer to STOW-RS", stow, STOW_ANSWERS, (DeliveryFault,)),
        Target("settings file", settings, (PACKAGED_SETTINGS.read_bytes(),), (SettingsFault,)),
    ]


def _frame(content: bytes) -> None:
    read_frame(content + b"\xff\xd9")


def _acknowledge(content: bytes) -> None:
    read_acknowledgement(content)


def _read_report(content: bytes) -> None:
    header = Header(content)
    answer = acknowledgement(header, "AA")
    assert b"\x0b" not in answer, answer
    assert b"\x1c" not in answer, answer
    findings(content, header, Hl7ReportSettings())


def _frames() -> tuple[bytes, ...]:
    return tuple(film[film.index(b"\xe0\x7f\x10\x00") + 28 :] for film in whole_films()[4:])


def _query(content: bytes) -> None:
    def answer(*_: object) -> Iterator[tuple[Dataset, Dataset | None]]:
        pending, success = Dataset(), Dataset()
        pending.Status, success.Status = 0xFF00, 0x0000
        try:
            found = decode(BytesIO(content), True, True)
        except Exception:  # noqa: BLE001 - as pynetdicom 3.0.4 does
            found = None
        yield pending, found
        yield success, None

    association: Any = SimpleNamespace(send_c_find=answer, abort=lambda: None)
    earlier_films(association, _fetch(), PriorsSettings())


def _fetch() -> Fetch:
    return Fetch(
        id=1,
        study_instance_uid="1.2.9",
        patient_id="MRN",
        issuer_of_patient_id="",
        patient_birth_date="19560704",
        study_date="20260301",
        asked={},
        attempts=1,
        queued_at=0.0,
    )


@contextmanager
def commitment(scratch: Path) -> Iterator[list[Target]]:
    """The answer to a request for storage commitment, with the database that it is written to."""
    folder = DataFolder(scratch / "data")
    folder.database.migrate()

    class Event:
        def __init__(self, content: bytes) -> None:
            self._content = content

        @property
        def event_information(self) -> Dataset:
            return decode(BytesIO(self._content), True, True)

    def case(content: bytes) -> None:
        event: Any = Event(content)
        status, _ = take_answer(event, folder, RetrySettings(), 1e9)
        assert status in (0x0000, 0x0115), hex(status)

    yield [Target("answer of storage commitment", case, answers())]
    folder.close()


@contextmanager
def receiver(scratch: Path) -> Iterator[list[Target]]:
    """The receiver over a real connection, which gets a changed conversation; whose threads must not die of it."""
    folder = DataFolder(scratch / "data")
    folder.database.migrate()
    settings = Settings(
        sources=(Source(name="pacs", ae_title="PACS", hosts=("127.0.0.1",)),),  # type: ignore[arg-type]
        receiver=ReceiverSettings(port=0, network_timeout_seconds=10.0),
        limits=LimitsSettings(data_set_megabytes=1),
        storage=StorageSettings(minimum_free_megabytes=0),
    )
    transport.switch(on=settings.node.fast_transport)
    opened = Receiver(settings, folder, lambda: None)
    address = opened.start()
    seed = recorded(address)
    died: list[str] = []

    def note(what: threading.ExceptHookArgs) -> None:
        died.append(f"a thread died: {what.exc_type.__name__}: {what.exc_value}")

    before, threading.excepthook = threading.excepthook, note

    def case(content: bytes) -> None:
        with socket.create_connection(address, timeout=20) as peer:
            try:
                peer.sendall(content)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    continue
            except ConnectionError:  # it hung up on us
                pass
            except OSError as error:
                if error.errno != errno.ENOTCONN:  # it hung up before we had said all
                    raise
        if died:
            raise RuntimeError(died.pop())

    threads = threading.active_count()
    yield [Target("association, DIMSE and data set", case, (seed,))]
    wait_for(lambda: threading.active_count() <= threads, why="threads are left over")
    wait_for(lambda: not list(folder.objects.incoming.iterdir()), why="files are left over")
    threading.excepthook = before
    opened.stop()
    folder.close()


def recorded(address: tuple[str, int]) -> bytes:
    """What a peer sends: an association, a C-ECHO, a C-STORE and the release."""
    sent = bytearray()

    def record(event: evt.Event) -> None:
        sent.extend(event.data)

    film = chest_film(rows=8, columns=8)
    film.ensure_file_meta()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    entity = AE("PACS")
    for sop_class in (VERIFICATION, film.SOPClassUID):
        entity.add_requested_context(sop_class, ExplicitVRLittleEndian)
    handlers: list[Any] = [(evt.EVT_DATA_SENT, record)]
    association = entity.associate(*address, ae_title="CXR_NODE", evt_handlers=handlers)
    assert association.send_c_echo().Status == 0x0000
    assert association.send_c_store(film).Status == 0x0000
    association.release()
    return bytes(sent)


@contextmanager
def analysing_process(scratch: Path) -> Iterator[list[Target]]:
    """The whole way of a film in the analysing process: its answer, and the report on it."""
    process = AnalysisProcess(Settings(), load_card(SHIPPED), 0)
    path = scratch / "film.dcm"

    def case(content: bytes) -> None:
        path.write_bytes(content)
        try:
            read_identity(path)
        except DataSetRefused:
            return  # it never comes so far
        try:
            outcome = process.analyse(path, 60.0)
            process.report(StudyTask((AnalysedFilm(path, outcome),), 1, 1.8e9, None), 60.0)
        except AnalysisFailed as failure:
            if failure.error_type != "MemoryError":  # what a decoder may take has an end: that is no crash
                raise

    yield [Target("film in the analysing process", case, whole_films())]
    process.stop()
