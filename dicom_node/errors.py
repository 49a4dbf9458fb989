"""What can go wrong in this room.

NodeError
├── PortUnavailable          stop: the receiver's port or that of the pages cannot be opened
├── CertificatesUnusable     stop: a file under [tls] cannot be used; at a change of the files the old ones stay
├── HandshakeFailed          reject: a peer that TLS does not let in, or whom it does not let the node trust
├── ExportRefused            stop: films cannot be exported into this folder
├── DataSetRefused           reject: what arrived cannot be stored; carries the exact DIMSE status
├── DataSetEndless           reject: a data set far beyond the limit goes on and on; its sender is disconnected
├── DeliveryFault
│   ├── PeerUnreachable      retry: nobody answers at the destination's address, it went away, or takes nothing now
│   ├── AccessRefused        retry: the destination answers and lets nothing in; an administrator may mend it
│   ├── TransferFailed       retry: the outcome is unknown, or the destination cannot take it now
│   ├── QueryFailed          retry: an archive's answer to a query is a failure, unreadable or without end
│   └── ResultRefused        reject: the destination refuses this object or message for good
├── ModelRefused             stop: the model in the folder is damaged, or another than at the start; films wait
├── AnalysisDied             retry: the analysing process died or was killed at its deadline
└── AnalysisFailed           retry: the analysing process met an error that nobody foresaw
"""

from pathlib import Path


class NodeError(Exception):
    """The room's root."""


class PortUnavailable(NodeError):
    """The node cannot listen on `host` and `port`, which stand in `section`; `fault` is the system's word for it."""

    def __init__(self, section: str, host: str, port: int, fault: str) -> None:
        super().__init__(
            f"cannot listen on {host} port {port}: {fault}; change {section} host or port, or stop what has it"
        )
        self.host = host
        self.port = port
        self.fault = fault


class CertificatesUnusable(NodeError):
    """The file that `setting` names is not to be used; `sentence` names fault and file."""

    def __init__(self, setting: str, sentence: str) -> None:
        super().__init__(f"{setting} {sentence}")
        self.setting = setting
        self.sentence = sentence


class HandshakeFailed(NodeError):
    """There is no TLS with this peer; `reason` says why, in words of the node alone."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ExportRefused(NodeError):
    """Nothing is exported into this folder; `sentence` says why."""

    def __init__(self, folder: Path, sentence: str) -> None:
        super().__init__(f"{folder}: {sentence}")
        self.folder = folder
        self.sentence = sentence


class DataSetRefused(NodeError):
    """The data set is answered with `status` (PS3.4 table B.2-1); `comment` is for Error Comment (0000,0902)."""

    def __init__(self, status: int, comment: str) -> None:
        super().__init__(f"0x{status:04X} {comment}")
        self.status = status
        self.comment = comment


class DataSetEndless(NodeError):
    """More of a data set came than is ever read."""


class DeliveryFault(NodeError):
    """A destination did not do what it was asked; `reason` is what the database and the administrator get to read.

    `status` is the DIMSE status that it answered, or STOW-RS in the same numbers; None where there is none.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class PeerUnreachable(DeliveryFault):
    """No connection, no answer to the request for an association, or a web service that is busy as a whole."""


class AccessRefused(DeliveryFault):
    """The peer rejected the association (PS3.8 section 9.3.4) or all of its presentation contexts; a web service wants
    another URL, token or password, or is not to be trusted.
    """


class TransferFailed(DeliveryFault):
    """What was sent or asked for may or may not have arrived, or the peer cannot take it now; sending it again is safe,
    since it is the same object under the same UID, or the same message under the same control ID.
    """


class QueryFailed(DeliveryFault):
    """What the archive holds is not known: what it answered is not to be used, not even in part."""


class ResultRefused(DeliveryFault):
    """The peer will answer the same the next time: a person has to look."""


class ModelRefused(NodeError):
    """The analysing process must not answer with the model that it found; the text names fault and mend."""


WORKER_DIED = "worker_died"
DEADLINE_EXCEEDED = "deadline_exceeded"
ANSWER_UNREADABLE = "answer_unreadable"


class AnalysisDied(NodeError):
    """The analysing process is gone; `reason` is one of the three above."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AnalysisFailed(NodeError):
    """An unforeseen error in the analysing process: its type and where it was raised, never its text,
    which may hold what a header held.
    """

    def __init__(self, error_type: str, where: tuple[str, ...]) -> None:
        super().__init__(error_type)
        self.error_type = error_type
        self.where = where
