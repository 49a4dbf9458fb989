"""The DICOM conformance statement (PS3.2) of a node as it is set: written from what it negotiates, not beside it.

The tables are made of the same values that the receiver opens its port with and that associations are requested with;
the prose between them says what the code promises.
"""

import re
import ssl
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom import sop_class

from config.peers import Destination, ResultKind
from config.sections import PriorsSettings
from config.settings import Settings
from dicom_node.associations import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    IDLE_SECONDS,
    LEAST_PDU,
    UNCOMPRESSED,
    VERIFICATION,
)
from dicom_node.bounds import LONGEST_PDU
from dicom_node.channels.storage import proposed
from dicom_node.commitment import ASK_AGAIN_SECONDS, STORAGE_COMMITMENT
from dicom_node.earlier_films import IMAGE_CLASSES
from dicom_node.fetcher import LONGEST_SECONDS, RETRIEVE
from dicom_node.find import STUDY_ROOT_FIND
from dicom_node.receiver import MAXIMUM_PDU_SIZE, REQUEST_SECONDS, accepted_contexts
from dicom_node.results.encoding import IMPLEMENTATION_CLASS_UID, implementation_version_name
from dicom_node.tls import CIPHERS
from dicom_node.version import package_version
from inference.decoding import decodable_transfer_syntaxes

COLUMNS = 118
"""Of the Markdown."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A presentation context that the node proposes, and what for."""

    purpose: str
    sop_class: str
    transfer_syntaxes: tuple[str, ...]
    role: str = "SCU"


def proposals(destination: Destination, priors: PriorsSettings) -> list[Proposal]:
    """Return every presentation context that is proposed to a destination, by what it is asked for."""
    found = [Proposal("`dicom-node echo`", VERIFICATION, (str(ImplicitVRLittleEndian),))]
    found += [Proposal("results", uid, tuple(syntaxes)) for uid, syntaxes in proposed(destination).items()]
    if destination.storage_commitment:
        found.append(Proposal("storage commitment", STORAGE_COMMITMENT, tuple(UNCOMPRESSED)))
    found.append(Proposal("proof of delivery", STUDY_ROOT_FIND, tuple(UNCOMPRESSED)))
    if destination.name == priors.archive:
        for uid in (STUDY_ROOT_FIND, RETRIEVE[priors.method]):
            found.append(Proposal("earlier films", uid, tuple(UNCOMPRESSED)))
        if priors.method == "get":
            syntaxes = decodable_transfer_syntaxes()
            found += [Proposal("earlier films", uid, syntaxes, "SCP") for uid in IMAGE_CLASSES]
    return found


def statement(settings: Settings) -> str:
    """Write the statement of a node with these settings, as Markdown."""
    chapters = (_overview, _receiving, _sending, _by_the_web, _objects, _security)
    parts = [part for chapter in chapters for part in chapter(settings)]
    return "\n\n".join(map(_wrapped, parts)) + "\n"


def _overview(settings: Settings) -> Iterator[str]:
    yield "# DICOM conformance statement"
    yield (
        f"Of DICOM node {package_version()}, by PS3.2, written by `dicom-node conformance` from its settings. "
        "It takes radiographs as a Storage SCP, and sends what a neural network found in them back into the same "
        "study. It assists, it does not diagnose."
    )
    yield _table(
        ("network service", "as user (SCU)", "as provider (SCP)"),
        [
            ("Verification", "yes (`dicom-node echo`)", "yes"),
            ("Storage", "yes", "yes"),
            (
                "Storage Commitment Push",
                _yes(any(each.storage_commitment for each in settings.destinations)),
                "no",
            ),
            ("Query/Retrieve, Study Root FIND", _yes(bool(settings.destinations)), "no"),
            *(
                (
                    f"Query/Retrieve, Study Root {method.upper()}",
                    _yes(bool(settings.priors.archive) and settings.priors.method == method),
                    "no",
                )
                for method in RETRIEVE
            ),
            (
                "Unified Procedure Step Push",
                _yes(any(ResultKind.REVIEW_WORKITEM in each.objects for each in settings.destinations)),
                "no",
            ),
            ("STOW-RS and QIDO-RS (DICOMweb)", _yes(bool(settings.web_destinations)), "no"),
        ],
    )
    yield "## Implementation"
    yield _table(
        ("", ""),
        [
            ("Application Entity title", f"`{settings.node.ae_title}`, for everything that it does"),
            ("Implementation Class UID of its files", f"`{IMPLEMENTATION_CLASS_UID}`"),
            ("Implementation Version Name of its files", f"`{implementation_version_name()}`"),
            ("Association negotiation", "pynetdicom, with its own Implementation Class UID"),
        ],
    )


def _receiving(settings: Settings) -> Iterator[str]:
    receiver = settings.receiver
    yield "## Associations that it accepts"
    who = (
        "from the AE titles and addresses of `[[sources]]` alone; others are rejected as *calling AE title not "
        "recognized* (permanent)"
        if receiver.require_known_source
        else "from everybody (`[receiver] require_known_source = false`)"
    )
    yield (
        f"On port {receiver.port} of {receiver.host}, called `{settings.node.ae_title}`, {who}. "
        "Another called AE title is rejected as *called AE title not recognized*. At most "
        f"{receiver.maximum_associations} at a time, {receiver.maximum_associations_per_source} of one source; "
        "one more is rejected as *local limit exceeded* (transient)."
    )
    yield _table(
        ("", ""),
        [
            ("Maximum PDU length", f"{MAXIMUM_PDU_SIZE} bytes; a peer's PDU may have {LONGEST_PDU}"),
            ("Asynchronous operations", "not supported"),
            ("Association request awaited", f"{min(REQUEST_SECONDS, receiver.network_timeout_seconds):g} s"),
            ("Silence ends an association after", f"{receiver.network_timeout_seconds:g} s"),
        ],
    )
    yield "### Presentation contexts accepted"
    yield (
        "Of the transfer syntaxes that are proposed together, the first in the proposal that is listed here is "
        "accepted. Storage is at level 2 (full): every attribute of a data set is kept, in the bytes that arrived."
    )
    by_syntaxes: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for context in accepted_contexts():
        by_syntaxes.setdefault((context.transfer_syntaxes, context.role), []).append(context.sop_class)
    for number, ((syntaxes, role), sop_classes) in enumerate(by_syntaxes.items(), start=1):
        yield f"**Group {number}**, role {role}, in any of these transfer syntaxes:"
        yield _table(("transfer syntax", "UID"), [(_name(each), f"`{each}`") for each in syntaxes])
        yield _table(("SOP class", "UID"), [(_name(each), f"`{each}`") for each in sop_classes])
    yield "### What C-STORE is answered"
    yield _table(
        ("status", "when"),
        [
            ("0x0000", "file and database row are durable; also for what was received before"),
            ("0x0124", "it comes by the node's own C-MOVE, and is not, or no longer, what was asked for"),
            ("0xA700", "the disk is almost full, or disk or database answer with an error: send it again"),
            ("0xA900", "the data set is not of the SOP class or instance that the request named"),
            ("0xC000", "the data set cannot be read, or has no valid Study, Series or SOP Instance UID"),
        ],
    )
    yield (
        "An instance that comes again with the same pixels and other patient, study or image data counts as "
        "corrected where it comes from who sent it first, or from a destination: it is analysed and its study "
        "reported again. From others, and with other pixels under a known UID, it is kept aside, and answered "
        "0x0000. N-EVENT-REPORT (storage commitment) is answered 0x0000, 0x0115 where it "
        "answers nothing that was asked, and 0x0110 where it cannot be written down now."
    )


def _sending(settings: Settings) -> Iterator[str]:
    yield "## Associations that it requests"
    if not settings.destinations:
        yield "None: there is no destination."
        return
    yield (
        "One for results, kept open while there are some, and one for each other purpose. "
        f"A connection is awaited for {CONNECT_SECONDS:g} s, an answer for {ANSWER_SECONDS:g} s; idle for "
        f"{IDLE_SECONDS:g} s, an association is released. A peer that takes PDUs of less than {LEAST_PDU} bytes is not "
        "sent to."
    )
    for destination in settings.destinations:
        yield f"### To {destination.name}: `{destination.ae_title}` at {destination.host} port {destination.port}"
        yield _table(
            ("for", "SOP class", "UID", "transfer syntaxes", "role"),
            [
                (
                    each.purpose,
                    _name(each.sop_class),
                    f"`{each.sop_class}`",
                    "<br>".join(_name(syntax) for syntax in each.transfer_syntaxes),
                    each.role,
                )
                for each in proposals(destination, settings.priors)
            ],
        )
    yield "### What the answers mean"
    yield _table(
        ("C-STORE answered", "the result is"),
        [
            ("0x0000, 0x0111, 0xBxxx", "delivered; a warning is kept"),
            (
                "0x0122 for a Comprehensive 3D SR",
                "sent as Comprehensive SR, with a SOP Instance UID of its own",
            ),
            ("0x0122, 0xA9xx, 0xCxxx", "refused: it waits for a person"),
            (
                "anything else, or nothing",
                f"sent again, for {settings.retry.deliver_give_up_days:g} days; the same bytes under the same UID",
            ),
        ],
    )
    yield (
        "**Proof of delivery** asks by C-FIND at IMAGE level with Study and Series Instance UID, for the SOP Instance "
        "UIDs in the node's own series; no other key is used."
    )
    if settings.priors.archive:
        yield (
            "**Earlier films** of a patient are asked for once for each study that arrives, by C-FIND at STUDY, "
            f"SERIES and IMAGE level and C-{settings.priors.method.upper()} at IMAGE level, for at most "
            f"{LONGEST_SECONDS:g} s. The answers are checked as if the archive had ignored the keys of the query. Of a "
            "SOP class each transfer syntax is proposed for itself, so that an image is sent as it is kept. What is "
            "matched at STUDY level: Patient ID, Issuer of Patient ID, Patient's Birth Date, a range of Study Date; "
            "Modalities in Study is asked for."
        )
    if any(each.storage_commitment for each in settings.destinations):
        yield (
            "**Storage commitment**: asked for after each delivery by N-ACTION; the answer is taken over the same "
            "association or over one that the archive opens. What it says it has not got is sent again; without an "
            f"answer it is asked again after {ASK_AGAIN_SECONDS:g} s, with another Transaction UID."
        )


def _by_the_web(settings: Settings) -> Iterator[str]:
    if not settings.web_destinations:
        return
    yield "## Services that it asks by the web"
    yield (
        "Over HTTP/1.1, each request on a connection of its own; redirects are not followed. By https the certificate "
        "is checked against the system's authorities, `ca_file` and `[tls]`, and the node shows its own where it is "
        "asked for it. `Authorization` is a bearer token, or a user with password, where the settings name a file, and "
        "else left out."
    )
    yield _table(
        ("for", "request", "what is sent or wanted"),
        [
            (
                "results",
                "POST `/studies/{study}`",
                'one object: `multipart/related; type="application/dicom"`, in Explicit VR Little Endian; '
                "`Accept: application/dicom+json`",
            ),
            (
                "proof of delivery",
                "GET `/instances`",
                "matched: `StudyInstanceUID`, `SeriesInstanceUID`, `limit`; wanted: SOP Instance UID",
            ),
            ("`dicom-node echo`", "GET `/studies`", "`limit=1`"),
        ],
    )
    yield _table(("to", "below"), [(to.name, f"`{to.url}`") for to in settings.web_destinations])


def _objects(settings: Settings) -> Iterator[str]:
    yield "## Objects that it makes"
    made = {
        ResultKind.STRUCTURED_REPORT: (
            "Comprehensive 3D SR by TID 1500, or a Comprehensive SR of the same content",
            "for every study: likely, uncertain, unlikely, not analysable",
        ),
        ResultKind.HEATMAP: ("Secondary Capture, RGB, 8 bit", "where pneumonia is likely or uncertain"),
        ResultKind.KEY_OBJECTS: (
            "Key Object Selection by TID 2010",
            "where pneumonia is likely or uncertain",
        ),
        ResultKind.PRESENTATION_STATE: (
            "Grayscale Softcopy Presentation State",
            "where pneumonia is likely or uncertain",
        ),
        ResultKind.REVIEW_WORKITEM: ("Unified Procedure Step", "once, where pneumonia is likely"),
    }
    rows = []
    for kind, (what, when) in made.items():
        to = [each.name for each in settings.all_destinations if kind in each.objects]
        rows.append((what, when, ", ".join(to) or "nobody, as it is set"))
    yield _table(("object", "when", "to"), rows)
    yield (
        "They lie in the study of the radiograph, each kind in a series of its own. Patient, study and clinical trial "
        "attributes are copied from the radiograph as the bytes that they are, with its Specific Character Set. "
        "UIDs are `2.25.` and a UUID made of what the object was made of, so that an object that is made or sent "
        "twice is one object. An object is written in Explicit VR Little Endian."
    )
    yield "## Character sets, media"
    yield (
        "Every Specific Character Set is kept; the text of the node's own is ASCII. Media interchange is not supported."
    )


def _security(settings: Settings) -> Iterator[str]:
    yield "## Security"
    yield (
        "Where the settings say `tls = true`, an association is opened or accepted over TLS alone, by the *BCP 195 RFC "
        "8996, 9325 TLS Secure Transport Connection Profile* (PS3.15 B.12): TLS 1.2 and 1.3; under 1.2 the cipher "
        "suites that follow. Both sides show a certificate; the node checks a peer's against the authorities in its "
        "settings, a destination's also against the host that it calls, and both against lists of revoked "
        "certificates where it has some. Without TLS, keep the node and its peers in a network of their own."
    )
    yield _table(
        ("connection", "over TLS"),
        [
            ("associations that it accepts", _yes(settings.receiver.tls)),
            *((f"associations to {to.name}", _yes(to.tls)) for to in settings.destinations),
        ],
    )
    audited = settings.audit
    where = f"to a syslog server over {audited.syslog_protocol.upper()}" if audited.syslog_host else "nowhere"
    yield (
        "An audit trail is kept. As it is set, it is sent "
        + where
        + ", as messages of the *Audit Trail Message Format "
        "Profile* (PS3.15 A.5) by RFC 5424. They name a study by its UID and a patient as `unknown`."
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers(CIPHERS)
    suites = [each["name"] for each in context.get_ciphers() if each["protocol"] == "TLSv1.2"]
    yield _table(("cipher suites of TLS 1.2, as OpenSSL calls them",), [(f"`{each}`",) for each in suites])


def _name(uid: str) -> str:
    """Its name in PS3.6; of a class that pydicom 3.0 does not know yet, pynetdicom's word for it, taken apart."""
    if UID(uid).name != uid:
        return UID(uid).name
    keyword = next(
        name for name, value in vars(sop_class).items() if value == uid and not name.startswith("_")
    )
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", keyword)


def _yes(is_used: bool) -> str:
    return "yes" if is_used else "no, as it is set"


def _wrapped(part: str) -> str:
    return part if part.startswith(("|", "#")) else textwrap.fill(part, COLUMNS, break_long_words=False)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
