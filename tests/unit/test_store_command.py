"""What C-STORE's commands are as bytes: the same as pynetdicom reads and writes, and nothing that it would not read."""

import struct
from io import BytesIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from pynetdicom.dimse_messages import C_STORE_RQ, C_STORE_RSP, DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import create_file_meta
from pynetdicom.pdu_primitives import P_DATA

from dicom_node.store_command import file_start, read_request, response

CONTEXT = 3
SOP_CLASS, COMMAND, MESSAGE_ID, PRIORITY, DATA_SET, STATUS = 0x0002, 0x0100, 0x0110, 0x0700, 0x0800, 0x0900
SOP_INSTANCE, MOVE_TITLE, MOVE_ID = 0x1000, 0x1030, 0x1031
FIELDS = (
    "MessageID",
    "Priority",
    "AffectedSOPClassUID",
    "AffectedSOPInstanceUID",
    "MoveOriginatorApplicationEntityTitle",
    "MoveOriginatorMessageID",
)


def request(**fields: object) -> C_STORE:
    asked = C_STORE()
    asked.MessageID = 7
    asked.Priority = 2
    asked.AffectedSOPClassUID = DigitalXRayImageStorageForPresentation
    asked.AffectedSOPInstanceUID = "1.2.840.99.1"
    asked.DataSet = BytesIO(b"data")
    for name, value in fields.items():
        setattr(asked, name, value)
    return asked


def as_pynetdicom_writes(asked: C_STORE) -> bytes:
    message = C_STORE_RQ()
    message.primitive_to_message(asked)
    command, _data_set = message.encode_msg(CONTEXT, 0)
    [[_, value]] = command.presentation_data_value_list
    assert value[0] == 0x03
    return bytes(value[1:])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Priority": 0, "MessageID": 65535},
        {"Priority": 1},
        {"AffectedSOPInstanceUID": "1." + "2" * 62},
        {"AffectedSOPInstanceUID": "1.23"},
        {"MoveOriginatorApplicationEntityTitle": "OTHER", "MoveOriginatorMessageID": 9},
        {"MoveOriginatorApplicationEntityTitle": "SIXTEEN LETTERS!", "MoveOriginatorMessageID": 0},
    ],
)
def test_a_request_is_read_as_pynetdicom_reads_it(fields: dict[str, object]) -> None:
    content = as_pynetdicom_writes(request(**fields))
    message = DIMSEMessage()
    primitive = P_DATA()
    primitive.presentation_data_value_list = [[CONTEXT, b"\x03" + content], [CONTEXT, b"\x02data"]]
    assert message.decode_msg(primitive)
    expected = message.message_to_primitive()
    found = read_request(content)
    assert found is not None
    assert [getattr(found, name) for name in FIELDS] == [getattr(expected, name) for name in FIELDS]


def changed(element: int, value: bytes | None) -> bytes:
    """A request whose element (0000,element) has another value; None: it is missing."""
    content, elements = as_pynetdicom_writes(request()), {}
    while content:
        _, number, length = struct.unpack_from("<HHL", content)
        elements[number] = content[8 : 8 + length]
        content = content[8 + length :]
    elements.pop(element, None)
    if value is not None:
        elements[element] = value
    return b"".join(
        struct.pack("<HHL", 0, number, len(elements[number])) + elements[number]
        for number in sorted(elements)
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 8,
        as_pynetdicom_writes(request())[:-1],
        as_pynetdicom_writes(request()) + b"\0",
        as_pynetdicom_writes(request()) * 2,
        changed(COMMAND, b"\x30\0"),
        changed(COMMAND, b"\x01\x80"),
        changed(COMMAND, b"\x01\0\0\0"),
        changed(DATA_SET, b"\x01\x01"),
        changed(PRIORITY, b"\x03\0"),
        changed(PRIORITY, None),
        changed(MESSAGE_ID, None),
        changed(MESSAGE_ID, b""),
        changed(SOP_CLASS, None),
        changed(SOP_INSTANCE, None),
        changed(SOP_INSTANCE, b""),
        changed(SOP_INSTANCE, b"1.2.x\0"),
        changed(SOP_INSTANCE, b"1.02"),
        changed(SOP_INSTANCE, b"1." + b"2" * 63 + b"\0"),
        changed(SOP_INSTANCE, b"1.2\\1.3\0"),
        changed(MOVE_TITLE, b"    "),
        changed(MOVE_TITLE, b"SEVENTEEN LETTERS"),
        changed(MOVE_ID, b"\x01"),
        changed(STATUS, b"\0\0"),
    ],
)
def test_whatever_is_not_as_everybody_sends_it_is_left_to_pynetdicom(content: bytes) -> None:
    assert read_request(content) is None


@given(st.binary(max_size=300))
@example(as_pynetdicom_writes(request()))
def test_whatever_comes_is_a_request_or_none(content: bytes) -> None:
    found = read_request(content)
    assert found is None or found.AffectedSOPInstanceUID


@given(st.data())
def test_a_request_with_other_bytes_in_it_is_read_or_left(data: st.DataObject) -> None:
    content = bytearray(as_pynetdicom_writes(request()))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    read_request(bytes(content))


@pytest.mark.parametrize(
    ("status", "comment"), [(0x0000, ""), (0xA700, "disk is almost full"), (0xC000, "x")]
)
def test_a_response_says_what_pynetdicoms_own_would(status: int, comment: str) -> None:
    asked = request(AffectedSOPInstanceUID="1.2.3")
    expected = C_STORE()
    expected.MessageIDBeingRespondedTo = asked.MessageID
    expected.AffectedSOPClassUID = asked.AffectedSOPClassUID
    expected.AffectedSOPInstanceUID = asked.AffectedSOPInstanceUID
    expected.Status = status
    if comment:
        expected.ErrorComment = comment
    message = C_STORE_RSP()
    message.primitive_to_message(expected)
    [command] = message.encode_msg(CONTEXT, 0)
    [[_, value]] = command.presentation_data_value_list
    assert response(asked, status, comment) == value[1:]


@pytest.mark.parametrize("length", [18, 19])
def test_a_file_starts_as_pynetdicoms_own(length: int) -> None:
    uid = generate_uid()[:length].rstrip(".")
    asked = request(AffectedSOPInstanceUID=uid)
    expected = BytesIO()
    expected.write(bytes(128) + b"DICM")
    write_file_meta_info(
        expected,
        create_file_meta(
            sop_class_uid=DigitalXRayImageStorageForPresentation,
            sop_instance_uid=asked.AffectedSOPInstanceUID,  # type: ignore[arg-type]
            transfer_syntax=ExplicitVRLittleEndian,
        ),
    )
    assert file_start(asked, ExplicitVRLittleEndian) == expected.getvalue()
