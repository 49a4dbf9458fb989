"""Instances as the receiver hands them to the ledger, and the way of a study up to a given step."""

from storage import ledger, queue, reception
from storage.folder import DataFolder
from storage.records import Delivery, Job, JobKind, Receipt, ReceivedInstance, Result, StoredPrediction
from storage.steps import Step

NOW = 1_800_000_000.0
OWNER = "here:1"
PREDICTION = StoredPrediction(
    "sha",
    0.91,
    0.35,
    0.65,
    "likely",
    "right",
    {"rows": 1, "columns": 1, "values": [1.0]},
    [[1, 2, 3, 4]],
)


def instance(number: int = 1, study: str = "1.2.3", **changes: object) -> ReceivedInstance:
    values: dict[str, object] = {
        "sop_instance_uid": f"{study}.{number}",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "study_instance_uid": study,
        "series_instance_uid": f"{study}.0",
        "accession_number": "ACC1",
        "object_key": f"{number:064x}",
        "size": 1000,
        "source": "pacs",
        "stored_only": None,
    }
    return ReceivedInstance(**{**values, **changes})  # type: ignore[arg-type]


def receive(
    folder: DataFolder,
    arrived: ReceivedInstance,
    now: float = NOW,
    quiet: float = 2.0,
    *,
    is_urgent: bool = False,
) -> Receipt:
    with folder.database.write(Step.BY_HAND) as connection:
        return reception.receive(connection, arrived, quiet, now, is_urgent=is_urgent)


def claim(folder: DataFolder, kind: JobKind, now: float = NOW, owner: str = OWNER) -> Job | None:
    with folder.database.write(Step.BY_HAND) as connection:
        return queue.claim_job(connection, [kind], owner, now, 60.0, retries=False) or queue.claim_job(
            connection, [kind], owner, now, 60.0, retries=True
        )


def claimed(folder: DataFolder, kind: JobKind, now: float = NOW, owner: str = OWNER) -> Job:
    job = claim(folder, kind, now, owner)
    assert job is not None
    return job


def analyse(folder: DataFolder, now: float = NOW) -> None:
    job = claimed(folder, JobKind.ANALYSE, now)
    with folder.database.write(Step.BY_HAND) as connection:
        ledger.predicted(connection, job, OWNER, PREDICTION, now)


def result(number: int = 1, kind: str = "structured_report") -> Result:
    return Result(kind, "1.2.840.10008.5.1.4.1.1.88.34", f"2.25.{number}", "2.25.9", f"{number + 500:064x}")


def message(number: int = 1) -> Result:
    return Result("hl7_message", "", f"2.25.{number}", "", f"{number + 500:064x}")


def report(
    folder: DataFolder, made: list[Result], destinations: tuple[str, ...] = ("pacs",), now: float = NOW + 10
) -> Job:
    job = claimed(folder, JobKind.REPORT, now)
    with folder.database.write(Step.BY_HAND) as connection:
        ledger.reported(connection, job, OWNER, [(each, destinations) for each in made], now)
    return job


def claim_delivery(folder: DataFolder, destination: str = "pacs", now: float = NOW + 10) -> Delivery | None:
    with folder.database.write(Step.BY_HAND) as connection:
        return queue.claim_delivery(connection, destination, OWNER, now, 60.0)
