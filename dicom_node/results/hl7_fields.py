"""Values of a radiograph's header as HL7 v2.5.1 fields, escaped.

Texts are decoded by the header's own character set; what it does not explain comes out with replacement characters
and never raises. No control character leaves this module, so nothing in a header can end a field, a segment or the
frame of the transport.
"""

import re
from datetime import datetime

from pydicom.charset import decode_bytes
from pydicom.dataset import Dataset
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from dicom_node.results.source import items_of, text_of, time_zone_of

SHOWN_LENGTH = 64
"""Characters of a name or text, as in DICOM; escaped they fit into 199, the longest string (2.A.74)."""
_NAMESPACE_LENGTH = 20  # HD.1, type IS (2.A.36)
# section 2.7
_ESCAPES = str.maketrans({"|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\\": "\\E\\"})
_REPRESENTATIONS = "AIP"
_MOMENTS = ("Acquisition", "Content", "Series", "Study")
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d)?", re.ASCII)


def escaped(text: str) -> str:
    """Text as it stands in a field (section 2.7.1); line ends and other control characters are spaces."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable.strip().translate(_ESCAPES)


def decoded(header: Dataset, keyword: str) -> str:
    """The first value of a text, decoded by the header's character set; empty where there is none."""
    if keyword not in header:
        return ""
    value = header.get_item(keyword, keep_deferred=True).value
    if isinstance(value, bytes):
        charset = header.original_character_set
        encodings = [charset] if isinstance(charset, str) else list(charset)
        value = decode_bytes(value, encodings, PN_DELIMS | TEXT_VR_DELIMS)
    return str(value or "").split("\\")[0].strip(" \0")


def identifier(header: Dataset, keyword: str) -> str:
    """A number by which something is found, escaped; empty where there is none.

    One that is longer than DICOM allows is left out: cut off it would be another one's.
    """
    text = decoded(header, keyword)
    return escaped(text) if len(text) <= SHOWN_LENGTH else ""


def designator(namespace: str, universal: Dataset | None) -> list[str]:
    """The parts of a hierarchic designator (2.A.36): namespace, universal ID and its type; empty where unknown.

    Parameters
    ----------
    namespace
        An escaped name; one that is too long for a namespace goes where there is room, as a local universal ID.
    universal
        An item with Universal Entity ID (0040,0032) and its type.
    """
    parts = (
        ["", "", ""]
        if universal is None
        else ["", identifier(universal, "UniversalEntityID"), identifier(universal, "UniversalEntityIDType")]
    )
    if not (parts[1] and parts[2]):
        parts = ["", "", ""]
    if len(namespace) <= _NAMESPACE_LENGTH:
        parts[0] = namespace
    elif not parts[1]:
        parts = ["", namespace, "L"]
    return parts


def first_item(header: Dataset, keyword: str) -> Dataset | None:
    """The first item of a sequence, if there is one."""
    return next(iter(items_of(header, keyword)), None)


def patient_identifier(header: Dataset, authority: str) -> str:
    """Patient ID with its issuer as assigning authority (CX, 2.A.14); empty where there is no ID.

    `authority`, a designator, is the issuer where the header names none.
    """
    number = identifier(header, "PatientID")
    if not number:
        return ""
    issuer = designator(
        identifier(header, "IssuerOfPatientID"), first_item(header, "IssuerOfPatientIDQualifiersSequence")
    )
    return f"{number}^^^{'&'.join(issuer if any(issuer) else authority.split('^'))}".rstrip("^&")


def patient_names(header: Dataset) -> list[str]:
    """Patient's Name (XPN, 2.A.88), one for each way of writing it: alphabetic, ideographic, phonetic."""
    names = []
    for group, representation in zip(
        decoded(header, "PatientName").split("="), _REPRESENTATIONS, strict=False
    ):
        family, given, middle, prefix, suffix = (
            [escaped(part[:SHOWN_LENGTH]) for part in group.split("^")] + [""] * 5
        )[:5]
        if any((family, given, middle, prefix, suffix)):
            names.append(f"{family}^{given}^{middle}^{suffix}^{prefix}^^L^{representation}")
    return names or ["^^^^^^U"]  # table 0200: unspecified


def date_of(header: Dataset, keyword: str) -> str:
    """A date (YYYYMMDD); empty where absent or none."""
    text = text_of(header, keyword)
    try:
        return text if datetime.strptime(text, "%Y%m%d").strftime("%Y%m%d") == text else ""
    except ValueError:
        return ""


def imaged_at(header: Dataset) -> str:
    """When the radiograph was taken, as exactly as the header says; empty where it does not."""
    for moment in _MOMENTS:
        date = date_of(header, f"{moment}Date")
        if date:
            time = _TIME.match(text_of(header, f"{moment}Time"))
            if time is None:
                return date
            zone = time_zone_of(header)
            return f"{date}{time[0]}" + ("" if zone is None else text_of(header, "TimezoneOffsetFromUTC"))
    return ""


def code_of(header: Dataset, keyword: str) -> str:
    """The first code of a code sequence (CE, 2.A.10): identifier, text, coding system; empty where there is none."""
    item = first_item(header, keyword)
    if item is None:
        return ""
    code, system = identifier(item, "CodeValue"), identifier(item, "CodingSchemeDesignator")
    meaning = escaped(decoded(item, "CodeMeaning")[:SHOWN_LENGTH])
    return f"{code}^{meaning}^{system}" if code and system else ""
