"""Every sentence that a result says to a person, so that report and picture never say different things.

All of it is ASCII: a result is written in its source's character set, and ASCII is part of every one (PS3.5
section 6.1). Nothing here comes from an image's header but the digits of a date.
"""

from collections import Counter
from collections.abc import Iterable

from dicom_node.header import is_date
from dicom_node.results.source import text_of
from dicom_node.results.study import Film, PriorAnswer, StudyReading
from inference.prediction import Answer, NotAnalysable, Prediction, Side

BURNED_IN_DISCLAIMER = "AI - NOT FOR PRIMARY DIAGNOSIS"
DISCLAIMER = "AI result, not for primary diagnosis. Not verified by a physician."
ATTENTION_CAPTION = "colours and outlines show model attention, not anatomy"
FAILED = "analysis failed; waits for a person"

# Worklists and viewers show about 18 characters of a series' description: the answer comes first, and only the
# alarming one is written in capitals, so that a cut-off "unlikely" is not read as "likely".
_FLAGS = {
    Answer.LIKELY: "PNEUMONIA LIKELY",
    Answer.UNCERTAIN: "Pneumonia uncertain",
    Answer.UNLIKELY: "Pneumonia unlikely",
    None: "Not analysable",
}
# What follows the answer, so that nobody takes it for more than it is.
_CAUTIONS = {
    Answer.LIKELY: "",
    Answer.UNCERTAIN: " Neither confirms nor excludes disease.",
    Answer.UNLIKELY: " Does not exclude disease.",
}
_SIDES = {Side.LEFT: "the left lung", Side.RIGHT: "the right lung", Side.BILATERAL: "both lungs"}
_LONG_STRING = 64


def plain_text(text: str, limit: int = _LONG_STRING) -> str:
    """Text of a model card or a setting, fit for any character set and a string of `limit` characters."""
    return text.encode("ascii", "replace").decode("ascii").replace("\\", "/")[:limit].strip()


def percent(share: float) -> str:
    """A share of 0..1 in words, to a tenth of a percent."""
    return f"{share * 100:.1f}%"


def flag(answer: Answer | None) -> str:
    """The answer as a reader sees it first; None is *not analysable*."""
    return _FLAGS[answer]


def series_description(answer: Answer | None, what: str, revision: int) -> str:
    """Series Description (0008,103E), at most 64 characters, for a series of `what` ("report", "heatmap").

    A further report has its number in it, as far as there is room: the earlier ones stay in the archive beside it.
    """
    number = "" if revision == 1 else f" {revision}" if revision < 10 else " +"
    return f"{flag(answer)} (AI {what}{number}) - not for primary diagnosis"


def reason_of(film: Film) -> str | None:
    """Why the film was not analysed; None where it was."""
    if isinstance(film.outcome, NotAnalysable):
        return film.outcome.reason.sentence
    return FAILED if film.outcome is None else None


def not_analysed(count: int, reason: str) -> str:
    """A sentence that says how many images ended with `reason`."""
    return f"{_images(count)} not analysed: {reason}."


def not_analysed_statement(count: int, reason: str) -> str:
    """The same for a reader who sees nothing else of the report."""
    return f"AI: {not_analysed(count, reason)}"


def score_statement(prediction: Prediction) -> str:
    """The score, and the limits that make its answer of it."""
    lower, upper = (percent(limit) for limit in prediction.uncertain)
    limits = {
        Answer.LIKELY: f"likely from {upper}",
        Answer.UNCERTAIN: f"uncertain from {lower} to {upper}",
        Answer.UNLIKELY: f"unlikely below {lower}",
    }
    return f"score {percent(prediction.score)}, {limits[prediction.answer]}"


def side_statement(side: Side) -> str:
    """Where the model looked; a side is always the patient's."""
    return f"attention on {_SIDES[side]}"


def answer_statement(prediction: Prediction) -> str:
    """The answer to one image as a sentence, with its score, its side and what it does not say."""
    side = "" if prediction.side is None else f", {side_statement(prediction.side)}"
    score = score_statement(prediction)
    return f"AI: pneumonia {prediction.answer} ({score}){side}.{_CAUTIONS[prediction.answer]}"


def summary(study: StudyReading) -> str:
    """The report in a few sentences: the answer, what it rests on, and every image without one."""
    prediction = study.leading_film.prediction
    sentences = [answer_statement(prediction) if prediction else "AI: not analysable, no result."]
    counts = {answer: len(study.films_answered(answer)) for answer in Answer}
    predicted = sum(counts.values())
    if predicted:
        answers = ", ".join(f"{count} {answer}" for answer, count in counts.items() if count)
        sentences.append(f"{_images(predicted)} analysed: {answers}.")
    sentences += [not_analysed(count, reason) for reason, count in count_reasons(study.films).items()]
    if len({_patient(film) for film in study.films}) > 1:
        sentences.append("WARNING: the images of this study do not all name the same patient.")
    if study.revision > 1:
        sentences.append(f"Revision {study.revision}, replaces the earlier report.")
    return " ".join(sentences)


def _patient(film: Film) -> tuple[str, str]:
    return text_of(film.header, "PatientID"), text_of(film.header, "IssuerOfPatientID")


def comparison(study: StudyReading) -> str | None:
    """The scores of the patient's earlier studies beside this one's; None where there are none.

    Two versions of a model score differently, so a score of another one is marked as not comparable.
    """
    if not study.priors:
        return None
    prediction = study.leading_film.prediction
    now = [] if prediction is None else [f"score {percent(prediction.score)} now"]
    return f"Comparison: {'; '.join([*now, *map(_earlier, study.priors)])}."


def count_reasons(films: Iterable[Film]) -> dict[str, int]:
    """How many of the films were not analysed, by reason, in the order of the films."""
    return Counter(reason for film in films if (reason := reason_of(film)) is not None)


def _earlier(prior: PriorAnswer) -> str:
    version = "" if prior.same_model else ", by another version of the model, not comparable"
    return f"{percent(prior.score)} ({prior.answer}{version}) on {_date(prior.study_date)}"


def _date(written: str) -> str:
    """A DICOM date (PS3.5 section 6.2) as people write it; it comes from a header and may be anything."""
    if not is_date(written):
        return "an unknown date"
    return f"{written[:4]}-{written[4:6]}-{written[6:]}"


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"
