"""How pages say what the database holds: in a person's words, with a sign beside each colour."""

from inference.prediction import Reason
from storage.states import State
from storage.studies import Progress

ANSWERS = {
    "likely": ("▲", "pneumonia likely"),
    "uncertain": ("◆", "uncertain"),
    "unlikely": ("▽", "pneumonia unlikely"),
    None: ("○", "no answer"),
}
"""Sign and words of an answer."""
PROGRESS = {
    Progress.WAITING: ("…", "waiting"),
    Progress.BEING_ANALYSED: ("◌", "being analysed"),
    Progress.REPORTED: ("→", "reported"),
    Progress.DELIVERED: ("✓", "delivered"),
    Progress.NOT_ANALYSABLE: ("⊘", "not analysable"),
    Progress.FAILED: ("⚠", "failed"),
}
"""Sign and words of how far the node is with a study."""
STATES = {
    State.QUEUED: ("…", "waits"),
    State.RUNNING: ("◌", "is being done"),
    State.DELIVERED: ("→", "delivered"),
    State.COMMITTED: ("✔", "committed"),
    State.DONE: ("✓", "done"),
    State.REJECTED: ("⊘", "rejected"),
    State.FAILED: ("⚠", "failed"),
    State.DISMISSED: ("✕", "given up"),
}
"""Sign and words of where a job, a delivery or a fetch stands."""
_KINDS = {
    "analyse": "analysis",
    "fetch": "fetching of earlier films",
    "presentation_state": "regions",
    "review_workitem": "workitem",
    "hl7_message": "message",
}
_LATERAL = frozenset({"LL", "RL", "LAT", "LATERAL", "LLD", "RLD"})


def person_name(written: str) -> str:
    """Write a DICOM name (PS3.5 6.2.1) as a person reads it: "Yamada, Tarou (山田 太郎)"."""
    alphabetic, *others = (_group(part) for part in written.split("="))
    others = [each.replace(",", "") for each in others if each]
    if not alphabetic:
        return others[0] if others else ""
    return f"{alphabetic} ({others[0]})" if others else alphabetic


def _group(written: str) -> str:
    family, *others = (part.strip() for part in written.split("^"))
    return ", ".join(filter(None, (family, " ".join(filter(None, others)))))


def date(written: str) -> str:
    """Write a DICOM date (YYYYMMDD) so that nobody takes the month for the day."""
    return f"{written[:4]}-{written[4:6]}-{written[6:]}" if len(written) == 8 else written


def view(position: str) -> str:
    """Write a View Position (PS3.3 C.8.1.2) as reports do."""
    return "lateral" if position.upper() in _LATERAL else position


def reason_sentence(reason: str) -> str:
    """Say why an image is not analysable; another reason is returned as it is."""
    return Reason(reason).sentence if reason in set(Reason) else reason


def wait(seconds: float) -> str:
    """Write how long something waits, to the minute: what is seen need not change every second."""
    minutes = max(0, int(seconds)) // 60
    if not minutes:
        return "under 1 min"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d}"


def kind(name: str) -> str:
    """Write what a job or a result is."""
    return _KINDS.get(name, name.replace("_", " "))
