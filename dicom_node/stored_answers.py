"""Answers as they stand in the database's rows, and back."""

from dicom_node.results.study import PriorAnswer
from inference.card import ModelCard
from inference.prediction import Answer, Attention, NotAnalysable, Outcome, Prediction, Reason, Region, Side
from storage.records import AnalysedInstance, PriorPrediction, StoredPrediction
from storage.states import CAME_TO_NOTHING


def stored_prediction(prediction: Prediction, card: ModelCard) -> StoredPrediction:
    """Return the row of a prediction by the model with this card."""
    attention = prediction.attention
    uncertain_from, likely_from = prediction.uncertain
    return StoredPrediction(
        card.sha256,
        prediction.score,
        uncertain_from,
        likely_from,
        prediction.answer,
        prediction.side,
        {"rows": attention.rows, "columns": attention.columns, "values": list(attention.values)},
        [[region.left, region.top, region.right, region.bottom] for region in prediction.regions],
    )


def prior_answer(prediction: PriorPrediction, card: ModelCard) -> PriorAnswer:
    """Return the answer to an earlier study as a report tells it."""
    return PriorAnswer(
        prediction.study_date,
        prediction.score,
        Answer(prediction.answer),
        same_model=prediction.model_sha256 == card.sha256,
    )


def outcome_of(instance: AnalysedInstance) -> Outcome | None:
    """Return what the analysis found, from its row; None where it failed."""
    if instance.state in CAME_TO_NOTHING:
        return None
    stored = instance.prediction
    if stored is None:
        return NotAnalysable(Reason(instance.reason or ""))
    attention = stored.attention
    return Prediction(
        stored.score,
        (stored.uncertain_from, stored.likely_from),
        Attention(attention["rows"], attention["columns"], tuple(attention["values"])),
        tuple(Region(*box) for box in stored.regions),
        None if stored.side is None else Side(stored.side),
    )
