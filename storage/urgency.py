"""How urgent a study is: what is urgent goes before everything else, in every queue."""

from sqlalchemy import Connection, func, select, update

from storage.records import Priority
from storage.schema import deliveries, jobs, results


def study_priority(connection: Connection, study_instance_uid: str) -> Priority:
    """Return how urgent a study is: as the most urgent of its jobs, and routine where there is none yet."""
    most_urgent = select(func.min(jobs.c.priority)).where(jobs.c.study_instance_uid == study_instance_uid)
    return priority_of_study(connection.execute(most_urgent).scalar_one())


def priority_of_study(most_urgent: int | None) -> Priority:
    """Return how urgent a study is whose most urgent job is so; None: it has no jobs yet."""
    return Priority.ROUTINE if most_urgent is None else min(Priority.ROUTINE, Priority(most_urgent))


def hasten(connection: Connection, study_instance_uid: str) -> None:
    """Let everything of a study go before what is not urgent: its images, its reports and what is sent of them."""
    of_study = select(results.c.id).where(results.c.study_instance_uid == study_instance_uid)
    for table, condition in (
        (jobs, jobs.c.study_instance_uid == study_instance_uid),
        (deliveries, deliveries.c.result_id.in_(of_study)),
    ):
        connection.execute(
            update(table)
            .where(condition, table.c.priority != Priority.URGENT)
            .values(priority=Priority.URGENT)
        )
