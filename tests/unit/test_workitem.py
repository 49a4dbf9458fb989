"""The workitem of a study that is to be looked at first, and its way to a worklist's manager."""

from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt

from config.peers import Destination, ResultKind
from dicom_node.channels.channel import Delivered
from dicom_node.channels.storage import StorageChannel
from dicom_node.errors import AccessRefused, DeliveryFault, ResultRefused, TransferFailed
from dicom_node.results import encode
from dicom_node.results.study import Film, StudyReading
from dicom_node.results.workitem import build_workitem
from tests.builders import NAMES, chest_film
from tests.hostile_headers import CASES, Case
from tests.readings import (
    LATERAL,
    film,
    header_of,
    likely,
    reading,
    results_of,
    uncertain,
    unlikely,
)
from tests.ups_manager import SUCCESS, UPS_PUSH, Manager, faults_of

EVERYTHING = frozenset(ResultKind)


def workitem_of(study: StudyReading) -> Dataset:
    made = results_of(study, EVERYTHING)[ResultKind.REVIEW_WORKITEM]
    return dcmread(BytesIO(encode(made)))


def channel_to(manager: Manager, *objects: ResultKind) -> StorageChannel:
    wanted = objects or (ResultKind.REVIEW_WORKITEM,)
    return StorageChannel(
        "CXR_NODE",
        Destination(
            name="worklist", ae_title="WORKLIST", host="127.0.0.1", port=manager.port, objects=wanted
        ),
    )


def sent(workitem: Dataset, manager: Manager) -> Delivered:
    channel = channel_to(manager)
    try:
        return channel.send(encode(workitem))
    finally:
        channel.close()


@pytest.mark.parametrize(
    ("outcomes", "is_made"),
    [
        ([likely()], True),
        ([unlikely(), likely()], True),
        ([LATERAL, likely()], True),
        ([uncertain()], False),
        ([unlikely()], False),
        ([LATERAL], False),
        ([None], False),
    ],
)
def test_only_a_study_in_which_pneumonia_is_likely_asks_for_a_review(
    outcomes: list[object], is_made: bool
) -> None:
    study = reading(*(film(outcome, str(key)) for key, outcome in enumerate(outcomes)))  # type: ignore[arg-type]
    assert (ResultKind.REVIEW_WORKITEM in results_of(study, EVERYTHING)) == is_made


def test_a_study_asks_once_and_under_the_same_uid_whoever_asks_again() -> None:
    first = reading(film(likely(), "1"))
    later = reading(film(likely(), "1"), film(likely(), "2"), revision=2)
    assert workitem_of(first).SOPInstanceUID == workitem_of(later).SOPInstanceUID
    assert build_workitem(replace(later, has_workitem=True), None) is None
    other = reading(film(likely(), study="another"))
    assert workitem_of(other).SOPInstanceUID != workitem_of(first).SOPInstanceUID


def test_it_says_to_people_what_it_is_and_how_urgent() -> None:
    workitem = workitem_of(reading(film(likely(0.873))))
    assert workitem.SOPClassUID == UPS_PUSH
    assert workitem.ScheduledProcedureStepPriority == "HIGH"
    assert workitem.ProcedureStepLabel == "AI finding to review"
    assert workitem.InputReadinessState == "READY"
    assert workitem.ScheduledProcedureStepStartDateTime == "20260302003005+0100"
    assert "ScheduledProcedureStepExpirationDateTime" not in workitem
    [code] = workitem.ScheduledWorkitemCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning) == (
        "110005",
        "DCM",
        "Interpretation",
    )
    comment = workitem.CommentsOnTheScheduledProcedureStep
    assert comment.startswith("PNEUMONIA LIKELY, score 87.3%")
    assert comment.endswith("AI result, not for primary diagnosis. Not verified by a physician.")


def test_it_points_to_the_flagged_films_and_to_the_report() -> None:
    films = film(likely(), "1"), film(uncertain(), "2"), film(unlikely(), "3")
    results = results_of(reading(*films), EVERYTHING)
    named = {
        str(reference.ReferencedSOPInstanceUID)
        for item in results[ResultKind.REVIEW_WORKITEM].InputInformationSequence
        for reference in item.ReferencedSOPSequence
    }
    report = results[ResultKind.STRUCTURED_REPORT]
    assert named == {str(each.header.SOPInstanceUID) for each in films[:2]} | {str(report.SOPInstanceUID)}


def test_it_does_not_point_to_a_report_that_its_receiver_does_not_get() -> None:
    study = reading(film(likely()))
    [workitem] = results_of(study, frozenset({ResultKind.REVIEW_WORKITEM})).values()
    [item] = workitem.InputInformationSequence
    assert len(item.ReferencedSOPSequence) == 1


def test_it_names_the_order_and_without_one_the_accession_number() -> None:
    ordered = workitem_of(reading(film(likely(), AccessionNumber="ACC-1")))
    [request] = ordered.ReferencedRequestSequence
    source = chest_film().RequestAttributesSequence[0]
    assert request.RequestedProcedureID == source.RequestedProcedureID
    assert "ReferencedStudySequence" not in request
    header = header_of(chest_film(AccessionNumber="ACC-2"))
    del header.RequestAttributesSequence
    [request] = workitem_of(reading(Film(header, likely()))).ReferencedRequestSequence
    assert (request.AccessionNumber, request.RequestedProcedureID) == ("ACC-2", "")
    assert request.StudyInstanceUID == header.StudyInstanceUID


def test_a_worklists_manager_takes_it_and_holds_what_was_sent() -> None:
    manager = Manager()
    study = reading(film(likely(), name=NAMES["japanese"]))
    with manager.listening():
        assert sent(workitem_of(study), manager).status == SUCCESS
    [(uid, held)] = manager.worklist.items()
    assert (manager.faults, uid) == ({}, workitem_of(study).SOPInstanceUID)
    assert str(held.PatientName) == NAMES["japanese"].text
    for item in held.InputInformationSequence:
        assert item.DICOMRetrievalSequence[0].RetrieveAETitle == "WORKLIST"


def test_what_is_sent_twice_is_one_workitem() -> None:
    manager = Manager()
    workitem = workitem_of(reading(film(likely())))
    with manager.listening():
        assert [sent(workitem, manager).status for _ in range(2)] == [0x0000, 0x0111]
    assert len(manager.worklist) == 1


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # reading such files is the reader's affair
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_manager_takes_the_workitem_of_any_header(case: Case) -> None:
    header = header_of(chest_film())
    case.change(header)
    workitem = workitem_of(reading(Film(header, likely())))
    del workitem.SOPClassUID, workitem.SOPInstanceUID
    assert set(faults_of(workitem)) <= {"DICOMRetrievalSequence"}  # which the channel adds


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_either_transfer_syntax_carries_it(syntax: str) -> None:
    manager = Manager()
    with manager.listening(syntax=syntax):
        sent(workitem_of(reading(film(likely(), name=NAMES["cyrillic"]))), manager)
    [held] = manager.worklist.values()
    assert str(held.PatientName) == NAMES["cyrillic"].text


@pytest.mark.parametrize("status", [0x0000, 0x0001, 0x0107, 0x0111, 0x0116, 0xB300, 0xB305])
def test_a_workitem_that_the_manager_has_is_delivered(status: int) -> None:
    manager = Manager()
    with manager.listening(lambda _event: status):
        delivered = sent(workitem_of(reading(film(likely()))), manager)
    assert (delivered.status, delivered.awaits_commitment) == (status, False)


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (0x0110, TransferFailed),
        (0x0124, TransferFailed),
        (0x0213, TransferFailed),
        (0xA700, TransferFailed),
        (0x0105, ResultRefused),
        (0x0106, ResultRefused),
        (0x0120, ResultRefused),
        (0x0121, ResultRefused),
        (0x0122, ResultRefused),
        (0x0211, ResultRefused),
        (0xC309, ResultRefused),
    ],
)
def test_a_manager_that_refuses_says_whether_to_try_again(status: int, fault: type[DeliveryFault]) -> None:
    manager = Manager()
    with manager.listening(lambda _event: status), pytest.raises(fault) as raised:
        sent(workitem_of(reading(film(likely()))), manager)
    assert (raised.value.reason, raised.value.status) == (f"N-CREATE answered 0x{status:04X}", status)


def test_a_manager_that_goes_away_leaves_the_outcome_open_and_is_asked_again() -> None:
    manager, workitem = Manager(), workitem_of(reading(film(likely())))

    def abort(event: evt.Event) -> int:
        event.assoc.abort()
        return SUCCESS

    with manager.listening(abort), pytest.raises(TransferFailed, match="not known"):
        sent(workitem, manager)
    with manager.listening():
        sent(workitem, manager)
    assert len(manager.worklist) == 1


def test_a_peer_that_takes_nothing_else_than_workitems_gets_them_and_names_what_it_refuses() -> None:
    manager, results = Manager(), results_of(reading(film(likely())), EVERYTHING)
    channel = channel_to(manager, *results)
    with manager.listening():
        for kind, result in results.items():
            if kind is ResultKind.REVIEW_WORKITEM:
                assert channel.send(encode(result)).status == SUCCESS
            else:
                with pytest.raises(ResultRefused, match="presentation context refused"):
                    channel.send(encode(result))
        channel.close()


def test_a_peer_without_a_worklist_says_so() -> None:
    from pynetdicom import AE

    manager = Manager()
    entity = AE("WORKLIST")
    entity.add_supported_context("1.2.840.10008.1.1")
    server = entity.start_server(("127.0.0.1", manager.port), block=False)
    with pytest.raises(AccessRefused, match="none of its presentation contexts"):
        sent(workitem_of(reading(film(likely()))), manager)
    server.shutdown()
