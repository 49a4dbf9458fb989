"""Why something was not analysed or has not arrived: every reason that the node writes down, in words, with its mend.

A row's `reason` is a code or a few words, so that machines and logs can count it. What it means to the person who has
to mend it stands here, in one table; `tests/unit/test_explanations.py` finds every reason in the code and looks for it.
"""

import re
from dataclasses import dataclass

from inference.prediction import Reason


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happened, and what to do about it."""

    sentence: str
    mend: str


TRIED_AGAIN = "The node tries again by itself; where it goes on, look at"
ITS_CERTIFICATE = (
    "Have the other side's certificate mended, or name its authority under [tls] in the settings."
)
OWN_CERTIFICATE = (
    "Let the other side trust this node's certificate, or get another one: [tls] certificate_file."
)
SETTINGS_FILE = "Mend the file that is named; it is read again at the next attempt."
NETWORK = "Check host and port in the settings, whether that system runs, and the network between; it is tried again."
RESEND = "Send the image again from its source; then the node takes it up by itself."
BY_HAND = "Mend the cause and retry; or give it up, where it need not arrive."
ANSWERED = "Nothing to mend: this is the node's answer. Retry it only where the settings have changed since."
LATER = "Nothing to do: it waits its turn again, and no attempt is counted."
TAKEN_BY_OTHERS = "Ask the other side's administrator why, and let it take what this node sends; then retry."
ONLY_COMPARED = "Nothing to mend: the report compares without the earlier films."

OF_IMAGES = {
    Reason.UNDECODABLE_PIXELS: "Look at the image in the PACS; where it is whole there, send it again.",
    Reason.UNREADABLE_FILE: "Look at the image in the PACS; where it is whole there, send it again.",
    Reason.TOO_LARGE: "[limits] in the settings says how large an image may be; retry after a change.",
    Reason.AGE: "[model] minimum_age_years in the settings says so; retry after a change.",
}
"""The other reasons of an image that is not analysable need no mend."""

STATUSES = (
    (0x0105, 0xFFFF, "it knows no such attribute", TAKEN_BY_OTHERS),
    (0x0106, 0xFFFF, "it does not accept a value", TAKEN_BY_OTHERS),
    (0x0110, 0xFFFF, "it failed while it processed the request", f"{TRIED_AGAIN} its log."),
    (0x0111, 0xFFFF, "it has an object of this UID", "Nothing to mend: it has what was sent."),
    (0x0112, 0xFFFF, "it has no such object", "The node sends it again where it is wanted."),
    (0x0117, 0xFFFF, "the UID is none that it takes", TAKEN_BY_OTHERS),
    (0x0118, 0xFFFF, "it knows no such SOP class", TAKEN_BY_OTHERS),
    (0x0119, 0xFFFF, "the UID belongs to an object of another class there", TAKEN_BY_OTHERS),
    (0x0120, 0xFFFE, "it misses an attribute or a value", TAKEN_BY_OTHERS),
    (
        0x0122,
        0xFFFF,
        "it takes no objects of this kind",
        "Let it take them, or leave them out of its objects ([[destinations]]).",
    ),
    (0x0124, 0xFFFF, "this node is not allowed to do that", TAKEN_BY_OTHERS),
    (0x0131, 0xFFFF, "it knows this transaction already", "The node asks again under a new one."),
    (0x0210, 0xFFFF, "it saw the same request twice", f"{TRIED_AGAIN} its log."),
    (0x0211, 0xFFFF, "it does not know this operation", TAKEN_BY_OTHERS),
    (0x0212, 0xFFFF, "it does not understand the request", TAKEN_BY_OTHERS),
    (0x0213, 0xFFFF, "it is at a limit of its resources", f"{TRIED_AGAIN} its disk and memory."),
    (
        0xA801,
        0xFFFF,
        "it does not know where to move images to",
        "Let it know this node's AE title, host and port.",
    ),
    (0xA700, 0xFF00, "it is out of resources", f"{TRIED_AGAIN} its disk."),
    (0xA900, 0xFF00, "it finds that the object does not match its class", TAKEN_BY_OTHERS),
    (0xB000, 0xF000, "it did it, with a warning", "Nothing to mend."),
    (0xC000, 0xF000, "it cannot understand or process the object", TAKEN_BY_OTHERS),
    (0xFE00, 0xFFFF, "it was cancelled there", f"{TRIED_AGAIN} its log."),
    (0x0000, 0xFFFF, "it says that all went well", f"{TRIED_AGAIN} its log."),
    (0x0000, 0x0000, "a failure that the standard has no words for", f"{TRIED_AGAIN} its log."),
)
"""DIMSE statuses (PS3.7 annex C, PS3.4 tables B.2-1, C.4-1 to C.4-3, CC.2.5-4; reasons of STOW-RS and of storage
commitment are of the same numbers): number, the bits of it that count, what it means, what to do. The first counts.
"""

_STATUS = re.compile(r".*(?: answered|:) 0x([0-9A-F]{4})\b.*")

REASONS: tuple[tuple[str, str, str], ...] = (
    # of jobs
    (
        "worker_died",
        "The process that worked on it ended or was killed, each time that it was tried.",
        "Look at the log and at the machine's memory; retry. Where an image does it again, give it up and tell us.",
    ),
    (
        "deadline_exceeded",
        "It took longer than [model] deadline_seconds, and was stopped.",
        "Retry when the machine has less to do; where it happens again, look at the image in the PACS.",
    ),
    (
        "answer_unreadable",
        "The analysing process answered nonsense, and was stopped.",
        f"{TRIED_AGAIN} the log.",
    ),
    (
        "object_missing",
        "Bytes that it needs are missing on this node's disk, or were altered.",
        f"Look at the disk (`dicom-node verify`). {RESEND}",
    ),
    (
        "storage_unavailable",
        "The disk or the database could not be written.",
        "Make room, or look at the disk; it is tried again.",
    ),
    ("node_stopped", "The node was stopped while it was being done.", LATER),
    (
        "images are analysed by a new model",
        "Another model answered its images; the one in service looks first.",
        LATER,
    ),
    # of deliveries: who cannot be reached
    ("host name is not known", "The name of its host is not known here.", NETWORK),
    ("no answer from this host and port", "Its host does not answer.", NETWORK),
    ("nobody listens at this host and port", "Its host is there, and nobody listens at the port.", NETWORK),
    ("host cannot be reached", "Its host cannot be reached.", NETWORK),
    ("no connection to this host and port", "There is no connection to its host and port.", NETWORK),
    ("no DICOM answer at this host and port", "Nobody answers by DICOM at its host and port.", NETWORK),
    (
        "connection closed without a DICOM answer: (.+)",
        r"It hung up without an answer: \1.",
        "Let both sides speak TLS, or neither: `tls` in the settings.",
    ),
    (
        "no TLS handshake at this host and port: it may speak no TLS",
        "It does not answer by TLS.",
        "Let both sides speak TLS, or neither: `tls` in the settings.",
    ),
    (
        "HTTP ([0-9]+): it takes nothing now",
        r"The web service takes nothing now (HTTP \1).",
        f"{TRIED_AGAIN} that service.",
    ),
    # who lets nothing in
    (
        "association rejected: (.+)",
        r"It rejects the association: \1.",
        "Check both AE titles in the settings, and let it know this node's AE title, host and port; it is tried again.",
    ),
    (
        "association accepted, but none of its presentation contexts",
        "It takes none of the objects that it is to get.",
        TAKEN_BY_OTHERS,
    ),
    (
        "peer takes PDUs of ([0-9]+) bytes only",
        r"It takes messages of \1 bytes only: too small to be meant so.",
        TAKEN_BY_OTHERS,
    ),
    (
        "TLS: it refuses this node's certificate: (.+)",
        r"It refuses this node's certificate: \1.",
        OWN_CERTIFICATE,
    ),
    ("TLS: (.+)", r"There is no TLS with it: \1.", ITS_CERTIFICATE),
    ("(certificate_file|key_file|authorities_file|revoked_file|ca_file) (.+)", r"\1 \2.", SETTINGS_FILE),
    ("(token_file|password_file) (.+)", r"\1 \2.", SETTINGS_FILE),
    (
        "HTTP ([0-9]+): (.+)",
        r"The web service refuses (HTTP \1): \2.",
        "Check URL, token or password in the settings; it is tried again.",
    ),
    # what may not have arrived
    ("association ended before (.+)", r"It ended the association before \1.", f"{TRIED_AGAIN} its log."),
    (
        "no answer to ([A-Z-]+)(:.+)?",
        r"It gave no answer to \1\2.",
        f"{TRIED_AGAIN} its log and the network.",
    ),
    (
        "no answer to the request for storage commitment",
        "It did not answer when it was asked to promise.",
        f"{TRIED_AGAIN} its log.",
    ),
    (
        "(connection lost|connection closed without an acknowledgement|answer is too long"
        "|answer is no acknowledgement of this message|no acknowledgement within [0-9]+ seconds): .+",
        r"The receiver of messages did not acknowledge: \1.",
        f"{TRIED_AGAIN} its log.",
    ),
    (
        "answered (AR|CR)(.*)",
        r"The receiver of messages rejects it for now (\1\2).",
        f"{TRIED_AGAIN} its log.",
    ),
    (
        "STOW-RS answered HTTP ([0-9]+) without a failure reason",
        r"The web service failed (HTTP \1).",
        f"{TRIED_AGAIN} its log.",
    ),
    # what is refused for good
    (
        "presentation context refused: (.+)",
        r"It takes no \1.",
        "Let it take them, or leave them out of its objects ([[destinations]]); then retry.",
    ),
    (
        "answered (AE|CE)(.*)",
        r"The receiver of messages finds an error in it (\1\2).",
        "Compare with docs/hl7.md what it expects, set [[hl7]] accordingly, and report the study again.",
    ),
    ("STOW-RS answered HTTP ([0-9]+)", r"The web service refuses it for good (HTTP \1).", TAKEN_BY_OTHERS),
    (
        "a later message has arrived",
        "A later message of the study has arrived: this one would have been out of date.",
        "Nothing to mend; give it up.",
    ),
    # promises to keep
    (
        "not committed yet: (.+)",
        r"It has it, and has not promised to keep it: \1.",
        f"{TRIED_AGAIN} its log.",
    ),
    (
        "delivered, and never committed",
        "It said that it has it, and never promised to keep it.",
        "Give it up where the archive has it, else retry. It never promises? Set storage_commitment = false.",
    ),
    (
        "delivered, and by the settings no longer to be committed",
        "It has it; by the settings no promise is asked for.",
        "Nothing to mend.",
    ),
    (
        "answered with Success and missing when asked",
        "The archive had it, and has lost it.",
        "Nothing to do: it is sent again.",
    ),
    # of fetches
    (
        "waited too long: the report is out",
        "The report was out before the earlier films could be fetched.",
        ONLY_COMPARED,
    ),
    (
        "the patient's ID has characters that cannot be asked for",
        "The patient's ID cannot be asked for.",
        ONLY_COMPARED,
    ),
    (
        "the study's date or the birth date is none",
        "Study date or birth date are missing or no dates.",
        ONLY_COMPARED,
    ),
    (
        "not finished within [0-9]+ seconds",
        "The archive was too slow.",
        f"{ONLY_COMPARED} Look at the archive's log.",
    ),
    (
        "more data than is fetched",
        "The archive sent more than is ever fetched.",
        f"{ONLY_COMPARED} Look at the archive's log.",
    ),
    (
        "C-FIND (has more than [0-9]+ answers|was not finished within [0-9]+ seconds)",
        r"The archive's answer \1.",
        f"{ONLY_COMPARED} Look at the archive's log.",
    ),
    (
        "an answer to C-FIND cannot be read",
        "An answer of the archive cannot be read.",
        f"{ONLY_COMPARED} Look at the archive's log.",
    ),
    (
        "no answer to C-FIND is of a patient with this ID, issuer and birth date",
        "The archive answered with other patients' studies.",
        f"{ONLY_COMPARED} Let it match ID, issuer and birth date.",
    ),
    ("QIDO-RS answered (.+)", r"The archive answered a query by \1.", f"{TRIED_AGAIN} its log."),
    # whatever nobody foresaw
    (
        "[A-Z][A-Za-z]+",
        r"The node met an error that nobody foresaw (\g<0>).",
        "Look at the log of that time, and tell us; retry when it is mended.",
    ),
)
"""Patterns of reasons, what they mean, what to do. The first that fits counts."""

_PATTERNS = [(re.compile(pattern), sentence, mend) for pattern, sentence, mend in REASONS]


def explained(reason: str) -> Explanation | None:
    """Return what a reason means and what to do about it; None where this version of the node never writes it."""
    if reason in Reason.__members__.values():
        of_image = Reason(reason)
        return Explanation(f"Not analysable: {of_image.sentence}.", OF_IMAGES.get(of_image, ANSWERED))
    status = _STATUS.fullmatch(reason)
    if status is not None:
        words, mend = status_explained(int(status[1], 16))
        return Explanation(f"{reason[0].upper()}{reason[1:]}: {words}.", mend)
    for pattern, sentence, mend in _PATTERNS:
        found = pattern.fullmatch(reason)
        if found is not None:
            return Explanation(found.expand(sentence), mend)
    return None


def status_explained(status: int) -> tuple[str, str]:
    """Return what a DIMSE status means and what to do about it."""
    return next((words, mend) for number, bits, words, mend in STATUSES if status & bits == number)
