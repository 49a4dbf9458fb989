"""The Storage SCP: who may send, and over what; what then comes in is for `dicom_node.intake` to keep."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

from pydicom.dataset import Dataset
from pynetdicom import AE, DEFAULT_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.dimse_primitives import C_STORE

from config.settings import Settings
from dicom_node.admission import TOO_MANY_CONNECTIONS, Admission
from dicom_node.associations import UNCOMPRESSED, VERIFICATION
from dicom_node.bounds import end
from dicom_node.commitment import STORAGE_COMMITMENT, take_answer
from dicom_node.errors import PortUnavailable
from dicom_node.handshake import secure_requested
from dicom_node.intake import Intake, Origin, remove_partial
from dicom_node.listener import Listener, give_up_waiting, stop_waiting, wait_for_request
from dicom_node.loop import Loop
from dicom_node.refusals import Refusals
from dicom_node.tls import Tls
from dicom_node.transport import take
from inference.radiograph import decodable_transfer_syntaxes
from storage.folder import DataFolder

HIGH_PRIORITY = 0x0001  # PS3.7 9.1.1.1.5
MAXIMUM_PDU_SIZE = 131072  # what dcmtk and Orthanc use at most
REQUEST_SECONDS = 10.0  # a connection that asks for nothing within these is a port scan
CONNECTIONS = 10_000
"""pynetdicom counts connections that have not asked for anything yet; the limit that counts is our own."""
STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """A SOP class that the node accepts, in which transfer syntaxes, and whether it is its provider or its user."""

    sop_class: str
    transfer_syntaxes: tuple[str, ...]
    role: Literal["SCP", "SCU"] = "SCP"


def accepted_contexts() -> list[AcceptedContext]:
    """Return everything that a peer may propose and have accepted."""
    storage = tuple(decodable_transfer_syntaxes())
    return [
        AcceptedContext(VERIFICATION, tuple(map(str, DEFAULT_TRANSFER_SYNTAXES))),
        # archives answer requests for storage commitment as its SCP over an association of their own (PS3.4 J.3.3)
        AcceptedContext(STORAGE_COMMITMENT, tuple(UNCOMPRESSED), "SCU"),
        *(
            AcceptedContext(str(context.abstract_syntax), storage)
            for context in AllStoragePresentationContexts
        ),
    ]


class Receiver:
    """Takes radiographs over the network. `received` is called after each instance that brings new work."""

    def __init__(self, settings: Settings, folder: DataFolder, received: Callable[[], None]) -> None:
        self._settings = settings
        self._folder = folder
        self._intake = Intake(settings, folder, received)
        self._admission = Admission(settings)
        self._refusals = Refusals(folder, self._is_known, self._tell_refusals)
        self._telling = Loop("refusals", self._refusals.step)
        self._server: Listener | None = None

    def start(self) -> tuple[str, int]:
        """Open the port and return the address that it is open on.

        Raises
        ------
        PortUnavailable
            The address is in use, not this machine's, or not for this user.
        CertificatesUnusable
            It shall speak TLS, and the files under `[tls]` are not to be used.
        """
        receiver = self._settings.receiver
        entity = AE(self._settings.node.ae_title)
        entity.require_called_aet = True
        entity.maximum_associations = CONNECTIONS
        entity.maximum_pdu_size = MAXIMUM_PDU_SIZE
        entity.network_timeout = receiver.network_timeout_seconds
        entity.acse_timeout = min(REQUEST_SECONDS, receiver.network_timeout_seconds)
        entity.dimse_timeout = receiver.network_timeout_seconds
        for context in accepted_contexts():
            roles = {"scu_role": False, "scp_role": True} if context.role == "SCU" else {}
            entity.add_supported_context(context.sop_class, list(context.transfer_syntaxes), **roles)
        handlers: list[evt.EventHandlerType] = [
            *self._securing(entity.acse_timeout),
            (evt.EVT_CONN_OPEN, take, [receiver.network_timeout_seconds, self._write_refusal]),
            (evt.EVT_CONN_OPEN, wait_for_request),
            (evt.EVT_CONN_CLOSE, remove_partial),
            (evt.EVT_CONN_CLOSE, give_up_waiting),
            (evt.EVT_CONN_CLOSE, self._note_asked),
            (evt.EVT_REQUESTED, stop_waiting),
            (evt.EVT_REQUESTED, self._note_asked),
            (evt.EVT_REQUESTED, self._admit),
            (evt.EVT_REJECTED, self._note_refusal),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_EVENT_REPORT, self._take_commitment),
        ]
        try:
            server: Listener = entity.make_server(  # type: ignore[assignment] # pynetdicom's types say less
                (receiver.host, receiver.port),
                evt_handlers=handlers,
                server_class=Listener,
                may_connect=self._may_connect,
            )
        except OSError as error:
            raise PortUnavailable(
                "[receiver]", receiver.host, receiver.port, error.strerror or "unknown error"
            ) from error
        self._server = server
        threading.Thread(target=server.serve_forever, name="accept", daemon=True).start()
        self._telling.start()
        host, port = server.server_address[:2]
        return str(host), int(port)

    def take(self, settings: Settings) -> None:
        """Go by these settings from the next association or image on: who may send, how long a study is quiet."""
        self._settings = settings
        self._intake.take(settings)
        self._admission.take(settings)

    def _securing(self, seconds: float) -> list[evt.EventHandlerType]:
        if not self._settings.receiver.tls:
            return []
        tls = Tls(self._settings.tls)
        tls.server()
        return [(evt.EVT_CONN_OPEN, secure_requested, [tls.server, seconds, self._write_refusal])]

    def stop(self) -> None:
        """Take no more associations, and end those that are open: what was not answered is sent again."""
        self._intake.stop()
        if self._server is not None:
            self._server.shutdown()
            end(self._server.active_associations)
            self._server = None
            self._telling.stop(STOP_SECONDS)
            self._refusals.tell_all()

    def _admit(self, event: evt.Event) -> None:
        """Refuse strangers, and known sources beyond the limits."""
        rejection = self._admission.rejection(event.assoc, *_caller(event))
        if rejection is None:
            return
        event.assoc.acse.send_reject(rejection.result, rejection.source, rejection.diagnostic)
        self._write_refusal(event, rejection.reason)
        event.assoc.kill()

    def _may_connect(self, address: str, port: int) -> bool:
        may_ask = self._admission.may_ask(address, port)
        if not may_ask:
            self._refusals.note("", address, TOO_MANY_CONNECTIONS)
        return may_ask

    def _is_known(self, address: str) -> bool:
        return self._settings.has_source_at(address)

    def _note_asked(self, event: evt.Event) -> None:
        requestor = event.assoc.requestor
        self._admission.has_asked(str(requestor.address), int(requestor.port))

    def _tell_refusals(self) -> None:
        self._telling.wake()

    def _note_refusal(self, event: evt.Event) -> None:
        """Write down the one refusal that is left to pynetdicom."""
        self._write_refusal(event, "called AE title is not this node's")

    def _write_refusal(self, event: evt.Event, reason: str) -> None:
        self._refusals.note(*_caller(event), reason)

    def _store(self, event: evt.Event) -> int | Dataset:
        title, address = _caller(event)
        settings = self._settings  # which may be others for the next image
        source = settings.source_of(title, address)
        origin = Origin(
            source.name if source else title,
            title.strip(" "),
            address,
            settings.quiet_seconds(source),
            analyse_secondary_capture=bool(source and source.analyse_secondary_capture),
            is_prior=self._is_moved_here(event),
            is_urgent=cast(C_STORE, event.request).Priority == HIGH_PRIORITY,
            from_archive=settings.is_archive(source),
        )
        return self._intake.store(event, origin)

    def _is_moved_here(self, event: evt.Event) -> bool:
        """Whether the archive sends this because the node asked it to, by C-MOVE (PS3.7 9.1.1.1.6)."""
        originator = cast(C_STORE, event.request).MoveOriginatorApplicationEntityTitle
        is_asking = bool(self._settings.priors.archive) and self._settings.priors.method == "move"
        return is_asking and (originator or "").strip(" ") == self._settings.node.ae_title

    def _take_commitment(self, event: evt.Event) -> tuple[int, None]:
        return take_answer(event, self._folder, self._settings.retry, time.time())


def _caller(event: evt.Event) -> tuple[str, str]:
    """Return the calling AE title and the address that the association comes from."""
    request = event.assoc.requestor.primitive
    return (request.calling_ae_title if request else ""), str(event.assoc.requestor.address)
