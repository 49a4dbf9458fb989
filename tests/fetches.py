"""A patient with an earlier film in an archive, and what becomes of it in a node."""

from typing import Any

from pydicom.dataset import Dataset
from sqlalchemy import select

from storage import fetches, reception
from storage.folder import DataFolder
from storage.records import Receipt
from storage.schema import fetches as fetches_table
from storage.schema import instances
from storage.steps import Step
from tests.builders import chest_film
from tests.instances import NOW, instance
from tests.query_archive import as_archived

PATIENT = {"patient_id": "P1", "issuer_of_patient_id": "HOSPITAL", "patient_birth_date": "19500102"}
STUDY = "1.2.3"


def film_on(date: str, key: str = "1", study: str = "", **changes: Any) -> Dataset:
    """A film of the patient, small: nobody looks at it here."""
    identity = {"PatientID": "P1", "IssuerOfPatientID": "HOSPITAL", "PatientBirthDate": "19500102"}
    attributes = {**identity, "StudyDate": date, **changes}
    return as_archived(chest_film(key, study=study or f"study on {date}", rows=64, columns=64, **attributes))


EARLIER = film_on("20240301")


def arrive(folder: DataFolder, number: int = 1, **changes: Any) -> Receipt:
    """A film that is to be reported, of a study on 2025-03-01."""
    arrived = instance(number, STUDY, **{**PATIENT, "study_date": "20250301", **changes})
    with folder.database.write(Step.BY_HAND) as connection:
        receipt = reception.receive(connection, arrived, 2.0, NOW)
        fetches.queue_fetch(connection, arrived, NOW)
    return receipt


def fetched(folder: DataFolder) -> list[str]:
    """The SOP Instance UIDs of the earlier films that came."""
    with folder.database.read() as connection:
        return list(
            connection.execute(select(instances.c.sop_instance_uid).where(instances.c.is_prior)).scalars()
        )


def outcomes(folder: DataFolder) -> list[tuple[str, str | None, int | None]]:
    """State, reason and number of images of each fetch."""
    columns = (fetches_table.c.state, fetches_table.c.reason, fetches_table.c.fetched)
    with folder.database.read() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).order_by(fetches_table.c.id))]
