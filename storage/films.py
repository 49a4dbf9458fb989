"""What is seen of one study: its radiographs, what was said of each, and where its results went."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from storage.schema import deliveries, instances, jobs, predictions, results


@dataclass(frozen=True, slots=True)
class SeenFilm:
    """A radiograph and what the model in service said of it; what it did not say is None.

    `is_kept`: its object is still here. `attention` and `regions` are as `storage.records.StoredPrediction` has them.
    """

    sop_instance_uid: str
    object_key: str
    is_kept: bool
    received_at: float
    view_position: str
    device: str
    state: str
    reason: str | None
    score: float | None
    uncertain_from: float | None
    likely_from: float | None
    answer: str | None
    side: str | None
    attention: dict[str, Any] | None
    regions: list[list[int]] | None
    model_sha256: str | None


@dataclass(frozen=True, slots=True)
class SentResult:
    """A result of a study and what became of it at one destination."""

    kind: str
    revision: int
    destination: str
    state: str
    reason: str | None
    delivered_at: float | None


def films_of(connection: Connection, study_instance_uid: str) -> list[SeenFilm]:
    """Return a study's radiographs, the one with the highest score first."""
    rows = connection.execute(
        select(
            instances.c.sop_instance_uid,
            instances.c.object_key,
            instances.c.object_removed_at.is_(None),
            instances.c.received_at,
            instances.c.view_position,
            instances.c.device,
            jobs.c.state,
            jobs.c.reason,
            predictions.c.score,
            predictions.c.uncertain_from,
            predictions.c.likely_from,
            predictions.c.answer,
            predictions.c.side,
            predictions.c.attention,
            predictions.c.regions,
            predictions.c.model_sha256,
        )
        .join(jobs, jobs.c.instance_id == instances.c.id)
        .outerjoin(predictions, predictions.c.instance_id == instances.c.id)
        .where(instances.c.study_instance_uid == study_instance_uid)
        .order_by(instances.c.id)
    )
    films = [SeenFilm(*row) for row in rows]
    return sorted(films, key=lambda film: -1.0 if film.score is None else film.score, reverse=True)


def sent_of(connection: Connection, study_instance_uid: str) -> list[SentResult]:
    """Return what was made of a study and where it went, the latest report first."""
    rows = connection.execute(
        select(
            results.c.kind,
            results.c.revision,
            deliveries.c.destination,
            deliveries.c.state,
            deliveries.c.reason,
            deliveries.c.delivered_at,
        )
        .join(deliveries, deliveries.c.result_id == results.c.id)
        .where(results.c.study_instance_uid == study_instance_uid)
        .order_by(results.c.revision.desc(), deliveries.c.id)
    )
    return [SentResult(*row) for row in rows]
