"""The model card: what the shipped weights are, what they were trained on and how well they did.

Preprocessing constants travel with the weights (timm's habit): nothing about a model is written twice.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from inference.errors import ModelDamaged
from inference.prediction import Band

CARD_NAME = "card.json"
WEIGHTS_NAME = "weights.safetensors"
GRAPH_NAME = "network.onnx"
SUITABILITY_NAME = "suitability.safetensors"
SHIPPED = Path(__file__).parent / "models" / "pneumonia"
"""The bundle inside the package: card, weights and graph."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of one set of weights.

    `sha256` is of the weights, `graph_sha256` of the graph that they are put into (`inference.onnx_engine`).
    `mean` and `std` normalise a grey image in 0..1; `input_size` is the side of the square input in pixels;
    `temperature` divides the logit before the sigmoid. `threshold` parts the scores in two for the figures;
    `uncertain` is the band around it that the three answers come from (`prediction.answer_of`). `training` and
    `figures` are for people: free JSON. `suitability_sha256` is of what is known of suitable films
    (`inference.suitability_learned`); None where that is still to be fitted, and nothing is refused by it.

    Raises
    ------
    ValueError
        A value is of another kind than this, or out of its range: the band lies in 0..1 with the threshold in it,
        `std` and `temperature` are above 0, and there is a label.
    """

    name: str
    version: str
    architecture: str
    sha256: str
    graph_sha256: str
    labels: tuple[str, ...]
    input_size: int
    mean: float
    std: float
    temperature: float
    threshold: float
    uncertain: Band
    training: dict[str, Any]
    figures: dict[str, Any]
    suitability_sha256: str | None = None

    def __post_init__(self) -> None:
        texts = (self.name, self.version, self.architecture, self.sha256, self.graph_sha256, *self.labels)
        if not self.labels or not all(isinstance(text, str) and text for text in texts):
            raise ValueError("names, version, hashes and labels must be texts, and there must be a label")
        if not isinstance(self.input_size, int) or self.input_size < 1:
            raise ValueError("the side of the input must be a whole number of pixels")
        if not all(math.isfinite(number) for number in (self.mean, self.std, self.temperature)):
            raise ValueError("mean, std and temperature must be finite")
        if self.std <= 0 or self.temperature <= 0:
            raise ValueError("std and temperature must be above 0")
        if not isinstance(self.training, dict) or not isinstance(self.figures, dict):
            raise ValueError("training and figures must be JSON objects")  # noqa: TRY004 - one kind of fault
        lower, upper = self.uncertain
        if not 0 <= lower <= self.threshold <= upper <= 1:
            raise ValueError("the band of uncertain scores must lie in 0 to 1 and hold the threshold")


def load_card(bundle: Path) -> ModelCard:
    """Read a bundle's card and check that the weights and the graph beside it are the ones it describes.

    Does not load them, so the parent process can refuse a damaged model before any port is opened.

    Raises
    ------
    ModelDamaged
        A file is missing or unreadable, its SHA-256 is not the card's, or the card says what none can.
    """
    try:
        fields = json.loads((bundle / CARD_NAME).read_text(encoding="utf-8"))
        pairs = {name: tuple(fields[name]) for name in ("labels", "uncertain")}
        card = ModelCard(**{**fields, **pairs})
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ModelDamaged(bundle / CARD_NAME, "the model card is missing or unreadable") from error
    check_file(bundle / WEIGHTS_NAME, card.sha256)
    check_file(bundle / GRAPH_NAME, card.graph_sha256)
    if card.suitability_sha256 is not None:
        check_file(bundle / SUITABILITY_NAME, card.suitability_sha256)
    return card


def identity(card: ModelCard) -> ModelCard:
    """Return what of a card decides on answers; what it tells people may be written anew at any time."""
    return replace(card, training={}, figures={})


def write_card(bundle: Path, card: ModelCard) -> None:
    """Write a bundle's card, for people and for `load_card`."""
    text = json.dumps(asdict(card), indent=2, ensure_ascii=False)
    (bundle / CARD_NAME).write_text(text + "\n", encoding="utf-8")


def check_file(path: Path, sha256: str) -> None:
    """Refuse a file that is not the one in the card beside it.

    Raises
    ------
    ModelDamaged
        It is missing or unreadable, or has another SHA-256.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelDamaged(path, "the file cannot be read") from error
    if digest != sha256:
        raise ModelDamaged(path, "the file's SHA-256 is not the one in the model card")
