"""Earlier films of a patient that are to be fetched from an archive: a queue on which nothing else waits.

It has a table of its own, beside the jobs, so that whatever becomes of a fetch, no report waits for it, no study is
kept for it, and nobody has to look.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, Connection, exists, insert, select, update

from storage.records import Fetch, ReceivedInstance
from storage.schema import fetches, instances
from storage.states import State


def queue_fetch(connection: Connection, received: ReceivedInstance, now: float) -> None:
    """Queue the fetch for a study that this instance is the first of, or the first that names this patient.

    Nothing is queued for what is not to be reported, nor where nobody can know which films are the patient's and which
    of them are earlier.
    """
    patient = (received.patient_id, received.issuer_of_patient_id, received.patient_birth_date)
    is_reported = not received.is_prior and received.stored_only is None
    if not (is_reported and received.patient_id and received.patient_birth_date and received.study_date):
        return
    study_instance_uid = received.study_instance_uid
    if connection.execute(
        select(exists().where(fetches.c.study_instance_uid == study_instance_uid, *_is_patient(*patient)))
    ).scalar_one():
        return
    connection.execute(
        insert(fetches).values(
            study_instance_uid=study_instance_uid,
            patient_id=received.patient_id,
            issuer_of_patient_id=received.issuer_of_patient_id,
            patient_birth_date=received.patient_birth_date,
            study_date=received.study_date,
            asked={},
            state=State.QUEUED,
            attempts=0,
            not_before=now,
            queued_at=now,
        )
    )


def ask(connection: Connection, fetch: Fetch, wanted: Mapping[str, str]) -> None:
    """Write down what a fetch asks the archive for, before it does: SOP Instance UIDs with their studies'."""
    connection.execute(update(fetches).where(fetches.c.id == fetch.id).values(asked=dict(wanted)))


def is_asked_for(
    connection: Connection,
    *,
    sop_instance_uid: str,
    study_instance_uid: str,
    patient_id: str,
    issuer_of_patient_id: str,
    patient_birth_date: str,
    study_date: str,
) -> bool:
    """Tell whether a fetch that is under way asked for this instance, and it is the patient's and earlier."""
    asked = connection.execute(
        select(fetches.c.asked).where(
            fetches.c.state == State.RUNNING,
            fetches.c.study_date > study_date,
            *_is_patient(patient_id, issuer_of_patient_id, patient_birth_date),
        )
    ).scalars()
    return bool(study_date) and any(each.get(sop_instance_uid) == study_instance_uid for each in asked)


def not_received(connection: Connection, sop_instance_uids: Collection[str]) -> list[str]:
    """Return which of these instances this node has never received, in their order."""
    known = set(
        connection.execute(
            select(instances.c.sop_instance_uid).where(instances.c.sop_instance_uid.in_(sop_instance_uids))
        ).scalars()
    )
    return [uid for uid in sop_instance_uids if uid not in known]


def _is_patient(
    patient_id: str, issuer_of_patient_id: str, patient_birth_date: str
) -> tuple[ColumnElement[bool], ...]:
    return (
        fetches.c.patient_id == patient_id,
        fetches.c.issuer_of_patient_id == issuer_of_patient_id,
        fetches.c.patient_birth_date == patient_birth_date,
    )
