"""STOW-RS, against services that answer as archives do on their good and bad days."""

import json
from contextlib import suppress
from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage

from dicom_node.channels.stow import StowChannel, status_of
from dicom_node.errors import DeliveryFault, PeerUnreachable, ResultRefused, TransferFailed
from dicom_node.https import Answer
from dicom_node.results import as_comprehensive_sr, encode
from dicom_node.results.structured_report import build_structured_report
from tests.readings import film, likely, reading
from tests.web_peer import WebPeer

STORED = {"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["2.25.1"]}}]}}


def failed(reason: int, sequence: str = "00081198") -> dict[str, object]:
    return {sequence: {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [reason]}}]}}


def warned(reason: int) -> dict[str, object]:
    return {"00081199": {"vr": "SQ", "Value": [{"00081196": {"vr": "US", "Value": [reason]}}]}}


@pytest.fixture(scope="module")
def report() -> Dataset:
    return build_structured_report(reading(film(likely())), None)


@pytest.mark.parametrize(
    ("http_status", "said", "status"),
    [
        (200, STORED, 0x0000),
        (200, {}, 0x0000),
        (200, warned(0xB000), 0xB000),
        (202, warned(0xB007), 0xB007),
        (200, warned(0xA900), 0x0000),
        (200, {**STORED, "00081198": {"vr": "SQ"}}, 0x0000),
        (200, [STORED], 0x0000),
        (409, failed(0x0111), 0x0111),
    ],
)
def test_an_object_that_the_service_has_is_delivered(
    report: Dataset, http_status: int, said: object, status: int
) -> None:
    peer = WebPeer([(http_status, json.dumps(said).encode())])
    with peer.listening():
        sent = StowChannel(peer.destination()).send(encode(report))
    assert (sent.status, sent.sent_sop_instance_uid) == (status, None)


@pytest.mark.parametrize(
    ("http_status", "said", "fault", "reason"),
    [
        (409, failed(0x0110), TransferFailed, "STOW-RS answered 0x0110"),
        (409, failed(0xA700), TransferFailed, "STOW-RS answered 0xA700"),
        (409, failed(0xA900), ResultRefused, "STOW-RS answered 0xA900"),
        (409, failed(0xC122), ResultRefused, "STOW-RS answered 0xC122"),
        (409, failed(0x0122), ResultRefused, "STOW-RS answered 0x0122"),
        (409, failed(0xA900, "0008119A"), ResultRefused, "STOW-RS answered 0xA900"),
        (200, failed(0xA900), ResultRefused, "STOW-RS answered 0xA900"),
        (202, failed(0xA700), TransferFailed, "STOW-RS answered 0xA700"),
        (200, failed(0xB000), TransferFailed, "STOW-RS answered HTTP 200 without a failure reason"),
        (202, {}, TransferFailed, "STOW-RS answered HTTP 202 without a failure reason"),
        (409, {}, TransferFailed, "STOW-RS answered HTTP 409 without a failure reason"),
        (500, {}, TransferFailed, "STOW-RS answered HTTP 500 without a failure reason"),
        (507, {}, TransferFailed, "STOW-RS answered HTTP 507 without a failure reason"),
        (503, {}, PeerUnreachable, "HTTP 503: it takes nothing now"),
        (429, {}, PeerUnreachable, "HTTP 429: it takes nothing now"),
        (400, {}, ResultRefused, "STOW-RS answered HTTP 400"),
        (413, {}, ResultRefused, "STOW-RS answered HTTP 413"),
        (415, {}, ResultRefused, "STOW-RS answered HTTP 415"),
    ],
)
def test_each_refusal_says_what_to_do_about_it(
    report: Dataset, http_status: int, said: object, fault: type[DeliveryFault], reason: str
) -> None:
    peer = WebPeer([(http_status, json.dumps(said).encode())])
    with peer.listening(), pytest.raises(fault) as raised:
        StowChannel(peer.destination()).send(encode(report))
    assert raised.value.reason == reason


def test_what_is_posted_is_one_part_with_the_bytes_that_were_made(report: Dataset) -> None:
    peer = WebPeer([(200, b"")])
    with peer.listening():
        StowChannel(peer.destination()).send(encode(report))
    [request] = peer.requests
    assert (request.method, request.path) == ("POST", f"/dicom-web/studies/{report.StudyInstanceUID}")
    assert request.headers["Accept"] == "application/dicom+json"
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    [part] = message_from_bytes(head + request.content).get_payload()
    assert part.get_content_type() == "application/dicom"
    assert encode(report) in request.content


def test_a_service_that_refuses_the_3d_object_gets_the_comprehensive_one(report: Dataset) -> None:
    peer = WebPeer([(409, json.dumps(failed(0x0122)).encode()), (200, b"")])
    with peer.listening():
        sent = StowChannel(peer.destination()).send(encode(report))
    assert sent.sent_sop_instance_uid == as_comprehensive_sr(report).SOPInstanceUID
    assert [_object_in(request.content).SOPClassUID for request in peer.requests] == [
        Comprehensive3DSRStorage,
        ComprehensiveSRStorage,
    ]


def test_no_word_of_the_service_gets_into_the_reason(report: Dataset) -> None:
    peer = WebPeer([(500, b"CANARY^Yellow could not be stored")])
    with peer.listening(), pytest.raises(TransferFailed) as raised:
        StowChannel(peer.destination()).send(encode(report))
    assert "CANARY" not in str(raised.value)


def test_an_answer_that_is_longer_than_any_is_not_read(
    report: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.https.LONGEST_ANSWER", 100)
    peer = WebPeer([(409, json.dumps(failed(0xA900)).encode() + b" " * 100)])
    with peer.listening(), pytest.raises(TransferFailed, match="without a failure reason"):
        StowChannel(peer.destination()).send(encode(report))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["00081198", "00081199", "00081197", "00081196", "Value", "vr"]), inner
        )
    ),
)


@given(status=st.sampled_from([200, 202, 400, 409, 500]), said=JSON)
def test_nothing_that_a_service_says_is_more_than_an_answer(status: int, said: object) -> None:
    with suppress(ResultRefused, TransferFailed):
        assert 0 <= status_of(Answer(status, json.dumps(said).encode())) <= 0xFFFF


@pytest.mark.parametrize(
    "said", [b"", b" ", b'<?xml version="1.0"?><NativeDicomModel/>', b'{"00081190": {}}']
)
def test_a_service_that_says_little_is_believed_by_its_http_status(said: bytes) -> None:
    assert status_of(Answer(200, said)) == 0x0000
    with pytest.raises(TransferFailed):
        status_of(Answer(409, said))


@pytest.mark.parametrize(
    "said", [b"<html>log in", b"[" * 100_000, b"\xff\xfe", b'{"welcome": 1}', b'{"error": "no"}', b"[]", None]
)
def test_a_page_that_is_no_services_is_no_success_whatever_its_http_status(said: bytes | None) -> None:
    for status in (200, 202, 409):
        with pytest.raises(TransferFailed):
            status_of(Answer(status, said))


def _object_in(content: bytes) -> Dataset:
    return dcmread(DicomBytesIO(content[content.index(b"\r\n\r\n") + 4 :]), force=True)
