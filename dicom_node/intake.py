"""The one door for instances, whoever brings them: file durable, row durable, and only then 0x0000.

A data set goes from the socket to a file in the store's `incoming` folder as it came (pynetdicom 3.0.4 writes it
in pieces when `STORE_RECV_CHUNKED_DATASET` is set).
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import structlog
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import _config, dimse_messages, evt

from config.settings import Settings
from dicom_node.arrival import OUT_OF_RESOURCES, ArrivingFile
from dicom_node.correction import difference
from dicom_node.errors import DataSetRefused
from dicom_node.header import Identity, read_identity
from dicom_node.logs import where_raised
from dicom_node.results.equipment import MANUFACTURER
from storage import audit, fetches, reception, retention
from storage.errors import DatabaseBusy, ObjectMissing, StorageError, StorageUnavailable
from storage.folder import DataFolder
from storage.objects import discard
from storage.records import OWN_RESULT, Difference, KnownObject, Receipt, ReceivedInstance
from storage.steps import Step
from storage.together import Together, Transaction

SUCCESS = 0x0000
NOT_AUTHORIZED = 0x0124

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Origin:
    """Who sends, and what follows from that.

    Parameters
    ----------
    source
        What logs and commands call who sends.
    ae_title, address
        What it calls itself, and where it is.
    quiet_seconds
        The study is reported when no image of it came for so long.
    analyse_secondary_capture
        Its Secondary Captures are radiographs, too.
    is_prior
        What comes is an earlier film of a patient that the node asked for: anything else is refused.
    from_archive
        Who sends gets results, too: it may correct the data of images that others have sent.
    is_urgent
        Who sends is in haste (the request's Priority is HIGH); so may be who ordered the image, by its header.
    """

    source: str
    ae_title: str
    address: str
    quiet_seconds: float
    analyse_secondary_capture: bool = False
    is_prior: bool = False
    from_archive: bool = False
    is_urgent: bool = False


class Intake:
    """Takes what comes by C-STORE. `received` is called after each instance that brings new work."""

    def __init__(self, settings: Settings, folder: DataFolder, received: Callable[[], None]) -> None:
        self._settings = settings
        self._folder = folder
        self._received = received
        self._stopping = False
        self._comparing = threading.Lock()
        self._entering = Together(folder.database, Step.INSTANCE_RECEIVED)
        # pynetdicom has no argument for these two: the first is its module's setting, the second is what it writes
        # to, which must lie on the disk of the object store for a rename to be atomic.
        _config.STORE_RECV_CHUNKED_DATASET = True
        vars(dimse_messages)["NamedTemporaryFile"] = self._arriving

    def take(self, settings: Settings) -> None:
        """Go by these settings from now on."""
        self._settings = settings

    def stop(self) -> None:
        """Take nothing more: what is not answered is sent again."""
        self._stopping = True

    def store(self, event: evt.Event, origin: Origin) -> int | Dataset:
        """Answer one C-STORE request (PS3.4 B.2.3); whatever keeps it from being stored, it may be sent again."""
        path = Path(event.dataset_path)
        try:
            self._take(path, cast(ArrivingFile, event.request._dataset_file), origin)
        except DataSetRefused as refusal:
            _log.warning(
                "instance_refused", source=origin.source, status=refusal.status, comment=refusal.comment
            )
            return _status(refusal.status, refusal.comment)
        except Exception as error:  # noqa: BLE001 - never 0x0000, and never 0xCxxx, for what is our own trouble
            where = where_raised(error)
            _log.error(
                "instance_not_stored", source=origin.source, error_type=type(error).__name__, where=where
            )
            return _status(OUT_OF_RESOURCES, "cannot be stored now")
        finally:
            discard(path)  # gone already where it was stored
        return SUCCESS

    def _take(self, path: Path, arrived: ArrivingFile, origin: Origin) -> None:
        started = time.perf_counter()
        if arrived.refusal is not None:
            raise arrived.refusal
        self._require_room()
        identity = read_identity(path, self._settings.limits)
        if origin.is_prior:
            self._require_asked_for(identity)
        is_urgent = not origin.is_prior and (origin.is_urgent or identity.is_ordered_urgently)
        stored = self._folder.objects.adopt(path, known_key=arrived.key)
        instance = ReceivedInstance(
            sop_instance_uid=identity.sop_instance_uid,
            sop_class_uid=identity.sop_class_uid,
            transfer_syntax_uid=identity.transfer_syntax_uid,
            study_instance_uid=identity.study_instance_uid,
            series_instance_uid=identity.series_instance_uid,
            accession_number=identity.accession_number,
            object_key=stored.key,
            size=stored.size,
            source=origin.source,
            stored_only=stored_only(identity, analyse_secondary_capture=origin.analyse_secondary_capture),
            patient_id=identity.patient_id,
            issuer_of_patient_id=identity.issuer_of_patient_id,
            patient_birth_date=identity.patient_birth_date,
            patient_name=identity.patient_name,
            study_date=identity.study_date,
            view_position=identity.view_position,
            device=identity.device,
            is_prior=origin.is_prior,
        )
        try:
            receipt = self._enter(instance, origin, is_urgent=is_urgent)
        except DatabaseBusy:
            raise  # the sweep finds the file: who stood in line once more would let the sender hang up
        except Exception:
            with suppress(StorageError, OSError):  # as above
                retention.take_back(self._folder.database, self._folder.objects, stored.key)
            raise
        log = _log.warning if receipt is Receipt.CONFLICT else _log.info
        log(
            "instance_stored",
            receipt=receipt,
            source=origin.source,
            sop_class_uid=identity.sop_class_uid,
            sop_instance_uid=identity.sop_instance_uid,
            bytes=instance.size,
            urgent=is_urgent,
            reason=instance.stored_only,
            milliseconds=round((time.perf_counter() - started) * 1000, 1),
        )
        if receipt in (Receipt.NEW, Receipt.CORRECTED):
            self._received()

    def _arriving(self, **_mode: object) -> ArrivingFile:
        """Begin the file of a data set; where there is no room for one, the disk is spared it."""
        return ArrivingFile(
            self._folder.objects.incoming, self._settings.limits.data_set_bytes, self._require_room
        )

    def _require_room(self) -> None:
        if self._stopping:
            raise DataSetRefused(OUT_OF_RESOURCES, "node is stopping")
        if self._folder.objects.free_bytes() < self._settings.storage.minimum_free_bytes:
            raise DataSetRefused(OUT_OF_RESOURCES, "disk is almost full")

    def _require_asked_for(self, identity: Identity) -> None:
        with self._folder.database.read() as connection:
            is_asked_for = fetches.is_asked_for(
                connection,
                sop_instance_uid=identity.sop_instance_uid,
                study_instance_uid=identity.study_instance_uid,
                patient_id=identity.patient_id,
                issuer_of_patient_id=identity.issuer_of_patient_id,
                patient_birth_date=identity.patient_birth_date,
                study_date=identity.study_date,
            )
        if not is_asked_for:
            raise DataSetRefused(NOT_AUTHORIZED, "not what was asked for")

    def _enter(self, instance: ReceivedInstance, origin: Origin, *, is_urgent: bool) -> Receipt:
        now = time.time()
        compared: KnownObject | None = None
        differs = Difference.NONE

        def enter(connection: Transaction) -> tuple[Receipt | None, KnownObject | None]:
            if not self._folder.objects.holds(instance.object_key):
                raise StorageUnavailable("what came is gone again")  # swept as nobody's: rare
            known = reception.known_object(connection, instance.sop_instance_uid)
            is_same = known is None or known.key == instance.object_key
            if not is_same and known != compared:
                return None, known
            receipt = reception.receive(
                connection,
                instance,
                origin.quiet_seconds,
                now,
                Difference.NONE if is_same else differs,
                from_archive=origin.from_archive,
                is_urgent=is_urgent,
            )
            if self._settings.priors.archive and receipt in (Receipt.NEW, Receipt.CORRECTED):
                fetches.queue_fetch(connection, instance, now)
            audit.append(
                connection,
                now,
                "instance_stored",
                receipt=receipt,
                source=instance.source,
                ae_title=origin.ae_title,
                address=origin.address,
                sop_class_uid=instance.sop_class_uid,
                sop_instance_uid=instance.sop_instance_uid,
                study_instance_uid=instance.study_instance_uid,
            )
            return receipt, known

        while True:
            receipt, known = self._entering.write(enter)
            if receipt is not None:
                return receipt
            # other bytes than those that count now: comparing them takes too long for a transaction
            compared, differs = known, self._difference(known, instance)

    def _difference(self, known: KnownObject | None, instance: ReceivedInstance) -> Difference:
        if known is None:
            return Difference.NONE
        objects = self._folder.objects
        try:
            kept = objects.require(known.key)
        except ObjectMissing:
            return Difference.LOST if known.is_kept else Difference.IMAGE
        with self._comparing:  # a header may take a hundred megabytes
            return difference(kept, objects.path(instance.object_key), self._settings.limits)


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


def remove_partial(event: evt.Event) -> None:
    """Delete the file of a data set whose connection ended in the middle (EVT_CONN_CLOSE)."""
    message = event.assoc.dimse.message
    if message is None or message._data_set_file is None:  # pynetdicom tells nobody else
        return
    message._data_set_file.close()
    discard(Path(message._data_set_file.name))


def _status(status: int, comment: str) -> Dataset:
    answer = Dataset()
    answer.Status = status
    answer.ErrorComment = comment[:64]
    return answer
