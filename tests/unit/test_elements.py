"""Elements are found where pydicom finds them, and no data set makes the walk long, deep or large."""

from io import BytesIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from inference.elements import UNDEFINED, BeyondLimits, Element, Encoding, elements

EXPLICIT, IMPLICIT, BIG_ENDIAN = Encoding(False), Encoding(True), Encoding(False, False)
texts = st.text("ABC xyz", max_size=16)


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 3) -> Dataset:
    """Elements of several kinds, and sequences in sequences, some of undefined length."""
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 100"
    made.StudyDescription = draw(texts)
    made.Rows = draw(st.integers(0, 65535))
    made.add_new(0x00110010, "LO", "MAKER")
    made.add_new(0x00111001, "UN", draw(st.binary(max_size=10)))
    if depth:
        made.RequestAttributesSequence = Sequence(draw(st.lists(data_sets(depth - 1), max_size=2)))
        made["RequestAttributesSequence"].is_undefined_length = draw(st.booleans())
        for item in made.RequestAttributesSequence:
            item.is_undefined_length_sequence_item = draw(st.booleans())
    made.RequestedProcedurePriority = draw(texts)
    return made


def written(data_set: Dataset, encoding: Encoding) -> bytes:
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = encoding.is_implicit, encoding.is_little_endian
    data_set.set_original_encoding(encoding.is_implicit, encoding.is_little_endian)
    write_dataset(file, data_set)
    return file.getvalue()


def walked(content: bytes, encoding: Encoding, most: int = 10_000, deepest: int = 10) -> list[Element]:
    return list(elements(BytesIO(content), encoding, most, deepest))


def flat(data_set: Dataset, depth: int = 0, within: int = 0) -> list[tuple[int, int, int]]:
    """Tag, depth and sequence of each element."""
    found = []
    for element in data_set:
        found.append((int(element.tag), depth, within))
        if element.VR == "SQ":
            for item in element.value:
                found += flat(item, depth + 1, int(element.tag))
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data_set=data_sets(), encoding=st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN]))
def test_each_element_is_found_once_with_its_depth_and_value(data_set: Dataset, encoding: Encoding) -> None:
    content = written(data_set, encoding)
    found = walked(content, encoding)
    assert [(each.tag, each.depth, each.within) for each in found] == flat(data_set)
    [description] = [each for each in found if each.tag == 0x00081030 and not each.depth]
    value = content[description.value : description.value + description.length].decode().rstrip()
    assert value == data_set.StudyDescription.rstrip()


NESTED = b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"


def explicitly_nested(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        item = b"\xfe\xff\x00\xe0" + len(content).to_bytes(4, "little") + content
        content = b"\x40\x00\x75\x02SQ\0\0" + len(item).to_bytes(4, "little") + item
    return content


@pytest.mark.parametrize("make", [lambda depth: NESTED * depth, explicitly_nested])
def test_sequences_are_followed_to_the_limit_and_no_deeper(make: object) -> None:
    assert max(each.depth for each in walked(make(10), EXPLICIT)) == 9  # type: ignore[operator]
    for depth in (11, 10_000):
        with pytest.raises(BeyondLimits, match="deeper than 10"):
            walked(make(depth), EXPLICIT)  # type: ignore[operator]


@pytest.mark.parametrize(
    "content",
    [
        b"\x10\x00\x10\x00PN\0\0" * 101,
        NESTED + b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\x00\xe0\0\0\0\0" * 100,
    ],
    ids=["elements", "items"],
)
def test_no_more_elements_and_items_are_read_than_the_limit(content: bytes) -> None:
    with pytest.raises(BeyondLimits, match="more than 100 elements"):
        walked(content, EXPLICIT, most=100)


@pytest.mark.parametrize("length", [0xFFFFFFF0, 0xFFFFFFFE, 0x7FFFFFFF])
def test_a_length_of_four_gigabytes_reads_nothing(length: int) -> None:
    content = b"\x10\x00\x10\x00UN\0\0" + length.to_bytes(4, "little") + b"value"
    [element] = walked(content, EXPLICIT)
    assert element.length == length != UNDEFINED


@pytest.mark.parametrize(
    "content",
    [
        b"\xfe\xff\x0d\xe0\0\0\0\0",
        b"\xfe\xff\xdd\xe0\0\0\0\0",
        NESTED + b"\xfe\xff\xdd\xe0\0\0\0\0",
        NESTED[:12] + b"\x10\x00\x10\x00PN\0\0",
    ],
)
def test_what_is_no_element_where_one_must_be_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="no item or element"):
        walked(content + bytes(8), EXPLICIT)
