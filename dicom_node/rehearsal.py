"""What would become of a DICOM file if it were sent to the node: every rule that it meets, in their order.

Nothing is kept and nothing is sent. What is said comes from where it is decided when a film really comes: the same
header is read, the same analysing process looks at it, and the objects named are those that it made of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from config.peers import ResultKind
from config.settings import Settings
from dicom_node.admission import STRANGER
from dicom_node.child import AnalysisProcess
from dicom_node.errors import DataSetRefused
from dicom_node.header import Identity, read_identity
from dicom_node.intake import stored_only
from dicom_node.receiver import accepted_contexts
from dicom_node.results.wording import answer_statement
from dicom_node.tasks import AnalysedFilm, StudyTask
from inference.prediction import NotAnalysable, Outcome
from storage.records import OWN_RESULT

STORED_ONLY = {
    OWN_RESULT: "it was made by this node; it is kept, and not analysed",
    "not_an_image": "it is no image; it is kept, and not analysed",
    "secondary_capture": "it is a Secondary Capture, and this source does not say analyse_secondary_capture; it is "
    "kept, and not analysed",
}


class Verdict(StrEnum):
    """How a rule went."""

    PASSED = "passed"
    NOTED = "noted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule that a file meets, and what came of it, in a sentence."""

    name: str
    verdict: Verdict
    sentence: str


def rehearse(
    settings: Settings, path: Path, ae_title: str, address: str, process: AnalysisProcess, now: float
) -> Iterator[Rule]:
    """Yield the rules that a file meets, to the one that ends its way.

    Parameters
    ----------
    ae_title, address
        Who would send it.
    process
        Looks at it; as `AnalysisProcess.analyse` raises so does this.
    """
    source = settings.source_of(ae_title, address)
    if source is not None:
        sentence = f"{ae_title} at {address} is the source {source.name}"
        yield Rule("association", Verdict.PASSED, sentence)
    elif settings.receiver.require_known_source:
        sentence = f"{STRANGER.reason}: A-ASSOCIATE-RJ. What follows would happen if it were one"
        yield Rule("association", Verdict.REFUSED, sentence)
    else:
        sentence = "no source has this AE title and address, and strangers may send"
        yield Rule("association", Verdict.NOTED, sentence)
    size, limit = path.stat().st_size, settings.limits.data_set_bytes
    if size > limit:
        sentence = f"0xC000: it has {size} bytes; [limits] data_set_megabytes allows {limit}"
        yield Rule("size", Verdict.REFUSED, sentence)
        return
    try:
        identity = read_identity(path, settings.limits)
    except DataSetRefused as refusal:
        yield Rule("data set", Verdict.REFUSED, f"0x{refusal.status:04X}: {refusal.comment}")
        return
    yield _context(identity)
    yield Rule("data set", Verdict.PASSED, f"0x0000: it is stored; {size} bytes")
    kept = stored_only(identity, analyse_secondary_capture=bool(source and source.analyse_secondary_capture))
    if kept is not None:
        yield Rule("analysis", Verdict.NOTED, STORED_ONLY[kept])
        return
    outcome = process.analyse(path, settings.model.deadline_seconds)
    yield _answer(outcome)
    quiet = settings.quiet_seconds(source)
    urgent = ", before others: it was ordered as urgent" if identity.is_ordered_urgently else ""
    sentence = f"{quiet:g} s after the last image of its study{urgent}"
    yield Rule("report", Verdict.PASSED, sentence)
    film = AnalysedFilm(path, outcome)
    made = process.report(StudyTask((film,), 1, now, None), settings.model.deadline_seconds)
    got: dict[str, list[ResultKind]] = {}
    for each in made:
        for destination in each.destinations:
            got.setdefault(destination, []).append(each.kind)
    if not got:
        yield Rule("results", Verdict.NOTED, "there is no destination, so results stay here")
    for destination, kinds in got.items():
        things = ", ".join(kind.replace("_", " ") for kind in kinds)
        yield Rule(f"results to {destination}", Verdict.PASSED, things)
    for destination in {to.name for to in (*settings.all_destinations, *settings.hl7)} - got.keys():
        yield Rule(f"results to {destination}", Verdict.NOTED, "nothing of this film")


def _context(identity: Identity) -> Rule:
    syntaxes = {each.sop_class: each.transfer_syntaxes for each in accepted_contexts()}.get(
        identity.sop_class_uid, ()
    )
    if not syntaxes:
        sentence = f"SOP class {identity.sop_class_uid} is not accepted"
    elif identity.transfer_syntax_uid not in syntaxes:
        sentence = (
            f"transfer syntax {identity.transfer_syntax_uid} is not accepted: the sender has to convert it"
        )
    else:
        return Rule("presentation context", Verdict.PASSED, "SOP class and transfer syntax are accepted")
    return Rule("presentation context", Verdict.REFUSED, sentence)


def _answer(outcome: Outcome) -> Rule:
    if isinstance(outcome, NotAnalysable):
        return Rule("analysis", Verdict.NOTED, f"not analysable: {outcome.reason.sentence}")
    return Rule("analysis", Verdict.PASSED, answer_statement(outcome))
