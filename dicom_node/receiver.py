"""The Storage SCP: who may send, what is kept, and the one answer that means *it is safe here*.

A data set goes from the socket to a file in the store's `incoming` folder as it came (pynetdicom 3.0.4 writes it
in pieces when `STORE_RECV_CHUNKED_DATASET` is set). Then: file durable, row durable, and only then 0x0000.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import structlog
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, AllStoragePresentationContexts, _config, evt
from pynetdicom.transport import ThreadedAssociationServer

from config.settings import Settings, Source
from dicom_node.associations import VERIFICATION
from dicom_node.commitment import STORAGE_COMMITMENT, TRANSFER_SYNTAXES, take_answer
from dicom_node.correction import difference
from dicom_node.errors import DataSetRefused, PortUnavailable
from dicom_node.header import Identity, read_identity
from dicom_node.logs import where_raised
from dicom_node.results.equipment import MANUFACTURER
from dicom_node.transport import bound, end
from inference.radiograph import decodable_transfer_syntaxes
from storage import audit, ledger
from storage.errors import StorageError
from storage.folder import DataFolder
from storage.records import OWN_RESULT, Difference, Receipt, ReceivedInstance

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
REJECTED_PERMANENT, BY_USER, CALLING_AE_TITLE_NOT_RECOGNISED = 0x01, 0x01, 0x03
REJECTED_TRANSIENT, BY_PRESENTATION, LOCAL_LIMIT_EXCEEDED = 0x02, 0x03, 0x02
MAXIMUM_PDU_SIZE = 131072  # what dcmtk and Orthanc use at most
REQUEST_SECONDS = 10.0  # a connection that asks for nothing within these is a port scan
CONNECTIONS = 10_000
"""pynetdicom counts connections that have not asked for anything yet; the limit that counts is our own."""

_log = structlog.get_logger()


class Receiver:
    """Takes radiographs over the network. `received` is called after each instance that brings new work."""

    def __init__(self, settings: Settings, folder: DataFolder, received: Callable[[], None]) -> None:
        self._settings = settings
        self._folder = folder
        self._received = received
        self._server: ThreadedAssociationServer | None = None
        self._stopping = False

    def start(self) -> tuple[str, int]:
        """Open the port and return the address that it is open on.

        Raises
        ------
        PortUnavailable
            The address is in use, not this machine's, or not for this user.
        """
        # pynetdicom has no argument for these two: the first is its module's setting, the second decides where
        # its NamedTemporaryFile lies, which must be the disk of the object store for a rename to be atomic.
        _config.STORE_RECV_CHUNKED_DATASET = True
        tempfile.tempdir = str(self._folder.objects.incoming)
        receiver = self._settings.receiver
        entity = AE(self._settings.node.ae_title)
        entity.require_called_aet = True
        entity.maximum_associations = CONNECTIONS
        entity.maximum_pdu_size = MAXIMUM_PDU_SIZE
        entity.network_timeout = receiver.network_timeout_seconds
        entity.acse_timeout = min(REQUEST_SECONDS, receiver.network_timeout_seconds)
        entity.dimse_timeout = receiver.network_timeout_seconds
        syntaxes = list(decodable_transfer_syntaxes())
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(str(context.abstract_syntax), syntaxes)
        entity.add_supported_context(VERIFICATION)
        # archives answer requests for storage commitment as its SCP over an association of their own (PS3.4 J.3.3)
        entity.add_supported_context(STORAGE_COMMITMENT, TRANSFER_SYNTAXES, scu_role=False, scp_role=True)
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_CONN_OPEN, bound, [receiver.network_timeout_seconds]),
            (evt.EVT_CONN_CLOSE, _remove_partial),
            (evt.EVT_REQUESTED, self._admit),
            (evt.EVT_REJECTED, self._note_refusal),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_EVENT_REPORT, self._take_commitment),
        ]
        try:
            server = cast(
                ThreadedAssociationServer,
                entity.start_server((receiver.host, receiver.port), block=False, evt_handlers=handlers),
            )
        except OSError as error:
            raise PortUnavailable(receiver.host, receiver.port, error.strerror or "unknown error") from error
        self._server = server
        host, port = server.server_address[:2]
        return str(host), int(port)

    def stop(self) -> None:
        """Take no more associations, and end those that are open: what was not answered is sent again."""
        self._stopping = True
        if self._server is not None:
            self._server.shutdown()
            end(self._server.active_associations)
            self._server = None

    def _admit(self, event: evt.Event) -> None:
        """Refuse strangers, and known sources beyond the limit.

        A source is an AE title together with the addresses that it may call from.
        """
        title, address = _caller(event)
        if self._settings.receiver.require_known_source and not self._settings.source_of(title, address):
            refusal = (REJECTED_PERMANENT, BY_USER, CALLING_AE_TITLE_NOT_RECOGNISED)
            reason = "no source has this AE title and address"
        elif self._established() >= self._settings.receiver.maximum_associations:
            refusal = (REJECTED_TRANSIENT, BY_PRESENTATION, LOCAL_LIMIT_EXCEEDED)
            reason = "too many associations"
        else:
            return
        event.assoc.acse.send_reject(*refusal)
        self._write_refusal(event, reason)
        event.assoc.kill()

    def _established(self) -> int:
        server = self._server
        return 0 if server is None else sum(each.is_established for each in server.active_associations)

    def _note_refusal(self, event: evt.Event) -> None:
        """Write down the one refusal that is left to pynetdicom."""
        self._write_refusal(event, "called AE title is not this node's")

    def _write_refusal(self, event: evt.Event, reason: str) -> None:
        title, address = _caller(event)
        _log.warning("association_refused", ae_title=title, address=address, reason=reason)
        try:
            with self._folder.database.write() as connection:
                audit.append(
                    connection,
                    time.time(),
                    "association_refused",
                    ae_title=title,
                    address=address,
                    reason=reason,
                )
        except StorageError as error:
            _log.error("audit_unavailable", error_type=type(error).__name__)

    def _store(self, event: evt.Event) -> int | Dataset:
        """Answer one C-STORE request (PS3.4 B.2.3); whatever keeps it from being stored, it may be sent again."""
        title, address = _caller(event)
        source = self._settings.source_of(title, address)
        source_name = source.name if source else title
        path = Path(event.dataset_path)
        try:
            self._take(path, source, source_name)
        except DataSetRefused as refusal:
            _log.warning(
                "instance_refused", source=source_name, status=refusal.status, comment=refusal.comment
            )
            return _status(refusal.status, refusal.comment)
        except Exception as error:  # noqa: BLE001 - never 0x0000, and never 0xCxxx, for what is our own trouble
            where = where_raised(error)
            _log.error(
                "instance_not_stored", source=source_name, error_type=type(error).__name__, where=where
            )
            return _status(OUT_OF_RESOURCES, "cannot be stored now")
        finally:
            path.unlink(missing_ok=True)  # gone already where it was stored
        return SUCCESS

    def _take_commitment(self, event: evt.Event) -> tuple[int, None]:
        return take_answer(event, self._folder, self._settings.retry, time.time())

    def _take(self, path: Path, source: Source | None, source_name: str) -> None:
        """Make file and row durable, in this order."""
        started = time.perf_counter()
        self._require_room()
        identity = read_identity(path)
        analyse_secondary_capture = bool(source and source.analyse_secondary_capture)
        instance = self._keep(path, identity, source_name, secondary_capture=analyse_secondary_capture)
        receipt = self._enter(instance, self._settings.quiet_seconds(source))
        log = _log.warning if receipt is Receipt.CONFLICT else _log.info
        log(
            "instance_stored",
            receipt=receipt,
            source=source_name,
            sop_class_uid=identity.sop_class_uid,
            sop_instance_uid=identity.sop_instance_uid,
            bytes=instance.size,
            reason=instance.stored_only,
            milliseconds=round((time.perf_counter() - started) * 1000, 1),
        )
        if receipt in (Receipt.NEW, Receipt.CORRECTED):
            self._received()

    def _require_room(self) -> None:
        needed = self._settings.storage.minimum_free_megabytes * 1_000_000
        if self._stopping:
            raise DataSetRefused(OUT_OF_RESOURCES, "node is stopping")
        if self._folder.objects.free_bytes() < needed:
            raise DataSetRefused(OUT_OF_RESOURCES, "disk is almost full")

    def _keep(
        self, path: Path, identity: Identity, source_name: str, *, secondary_capture: bool
    ) -> ReceivedInstance:
        stored = self._folder.objects.adopt(path)
        return ReceivedInstance(
            sop_instance_uid=identity.sop_instance_uid,
            sop_class_uid=identity.sop_class_uid,
            transfer_syntax_uid=identity.transfer_syntax_uid,
            study_instance_uid=identity.study_instance_uid,
            series_instance_uid=identity.series_instance_uid,
            accession_number=identity.accession_number,
            object_key=stored.key,
            size=stored.size,
            source=source_name,
            stored_only=stored_only(identity, analyse_secondary_capture=secondary_capture),
            patient_id=identity.patient_id,
            issuer_of_patient_id=identity.issuer_of_patient_id,
            patient_birth_date=identity.patient_birth_date,
            study_date=identity.study_date,
        )

    def _enter(self, instance: ReceivedInstance, quiet_seconds: float) -> Receipt:
        now = time.time()
        with self._folder.database.read() as connection:
            known = ledger.known_object(connection, instance.sop_instance_uid)
        differs = Difference.NONE
        if known not in (None, instance.object_key):
            objects = self._folder.objects
            differs = difference(objects.path(known), objects.path(instance.object_key))
        with self._folder.database.write() as connection:
            receipt = ledger.receive(connection, instance, quiet_seconds, now, differs)
            audit.append(
                connection,
                now,
                "instance_stored",
                receipt=receipt,
                source=instance.source,
                sop_instance_uid=instance.sop_instance_uid,
                study_instance_uid=instance.study_instance_uid,
            )
        return receipt


def stored_only(identity: Identity, *, analyse_secondary_capture: bool) -> str | None:
    """Return why an instance is kept and never analysed, or None where it is to be analysed.

    Every class whose name in PS3.4 table B.5-1 says *Image Storage* is looked at, so that a CT that was routed
    here by mistake gets its answer; reports, key objects, presentation states and the like are only kept.
    """
    name = UID(identity.sop_class_uid).name
    if identity.manufacturer == MANUFACTURER:
        return OWN_RESULT
    if "Image Storage" not in name:
        return "not_an_image"
    if "Secondary Capture" in name and not analyse_secondary_capture:
        return "secondary_capture"
    return None


def _caller(event: evt.Event) -> tuple[str, str]:
    """Return the calling AE title and the address that the association comes from."""
    request = event.assoc.requestor.primitive
    return (request.calling_ae_title if request else ""), str(event.assoc.requestor.address)


def _remove_partial(event: evt.Event) -> None:
    """Delete the file of a data set whose connection ended in the middle."""
    message = event.assoc.dimse.message
    partial = None if message is None else message._data_set_path  # pynetdicom tells nobody else
    if isinstance(partial, Path):
        partial.unlink(missing_ok=True)


def _status(status: int, comment: str) -> Dataset:
    answer = Dataset()
    answer.Status = status
    answer.ErrorComment = comment[:64]
    return answer
