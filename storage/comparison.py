"""A candidate beside the model in service: how often they agreed, and where they did not."""

from typing import Any

from sqlalchemy import Connection, RowMapping, and_, func, select

from storage.schema import instances, predictions, shadow_answers

_MODELS = (
    predictions.c.model_sha256.label("in_service_sha256"),
    shadow_answers.c.model_name.label("name"),
    shadow_answers.c.model_version.label("version"),
    shadow_answers.c.model_sha256.label("sha256"),
)
_BOTH = shadow_answers.join(predictions, predictions.c.instance_id == shadow_answers.c.instance_id)


def comparisons(connection: Connection, most: int) -> list[dict[str, Any]]:
    """Compare every candidate with the model that was in service beside it, the latest first.

    Returns
    -------
    For each two models: which they are; `answers`, how many films got which answer in service and in shadow;
    `unanswered`, how many got none in shadow, by reason; and at most `most` `disagreements`, the films with different
    answers whose scores are farthest apart.
    """
    latest = func.max(shadow_answers.c.id)
    models = connection.execute(
        select(*_MODELS).select_from(_BOTH).group_by(*_MODELS).order_by(latest.desc())
    ).mappings()
    return [_comparison(connection, pair, most) for pair in models.all()]


def _comparison(connection: Connection, pair: RowMapping, most: int) -> dict[str, Any]:
    of_pair = and_(*(column.element == pair[column.name] for column in _MODELS))
    in_service, in_shadow = predictions.c.answer, shadow_answers.c.answer
    answers = connection.execute(
        select(in_service.label("in_service"), in_shadow.label("in_shadow"), func.count().label("films"))
        .select_from(_BOTH)
        .where(of_pair, in_shadow.is_not(None))
        .group_by(in_service, in_shadow)
    ).mappings()
    unanswered = connection.execute(
        select(shadow_answers.c.reason, func.count().label("films"))
        .select_from(_BOTH)
        .where(of_pair, in_shadow.is_(None))
        .group_by(shadow_answers.c.reason)
    ).mappings()
    apart = func.abs(predictions.c.score - shadow_answers.c.score)
    disagreements = connection.execute(
        select(
            instances.c.sop_instance_uid,
            in_service.label("in_service"),
            in_shadow.label("in_shadow"),
            predictions.c.score.label("in_service_score"),
            shadow_answers.c.score.label("in_shadow_score"),
        )
        .select_from(_BOTH.join(instances, instances.c.id == shadow_answers.c.instance_id))
        .where(of_pair, in_service != in_shadow)
        .order_by(apart.desc(), instances.c.id)
        .limit(most)
    ).mappings()
    return {
        **pair,
        "answers": [dict(row) for row in answers],
        "unanswered": [dict(row) for row in unanswered],
        "disagreements": [dict(row) for row in disagreements],
    }
