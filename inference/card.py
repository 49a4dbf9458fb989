"""The model card: what the shipped weights are, what they were trained on and how well they did.

Preprocessing constants travel with the weights (timm's habit): nothing about a model is written twice.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.errors import ModelDamaged
from inference.prediction import Band

CARD_NAME = "card.json"
WEIGHTS_NAME = "weights.safetensors"
SHIPPED = Path(__file__).parent / "models" / "pneumonia"
"""The bundle inside the package: card and weights."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of one set of weights.

    `mean` and `std` normalise a grey image in 0..1; `input_size` is the side of the square input in pixels;
    `temperature` divides the logit before the sigmoid. `threshold` parts the scores in two for the figures;
    `uncertain` is the band around it that the three answers come from (`prediction.answer_of`). `training` and
    `figures` are for people: free JSON.

    Raises
    ------
    ValueError
        The band does not lie in 0..1 with the threshold in it.
    """

    name: str
    version: str
    architecture: str
    sha256: str
    labels: tuple[str, ...]
    input_size: int
    mean: float
    std: float
    temperature: float
    threshold: float
    uncertain: Band
    training: dict[str, Any]
    figures: dict[str, Any]

    def __post_init__(self) -> None:
        lower, upper = self.uncertain
        if not 0 <= lower <= self.threshold <= upper <= 1:
            raise ValueError("the band of uncertain scores must lie in 0 to 1 and hold the threshold")


def load_card(bundle: Path) -> ModelCard:
    """Read a bundle's card and check that the weights beside it are the ones it describes.

    Does not load the weights, so the parent process can refuse a damaged model before any port is opened.

    Raises
    ------
    ModelDamaged
        The card or the weights are missing, unreadable, or the weights' SHA-256 is not the card's.
    """
    try:
        fields = json.loads((bundle / CARD_NAME).read_text(encoding="utf-8"))
        pairs = {name: tuple(fields[name]) for name in ("labels", "uncertain")}
        card = ModelCard(**{**fields, **pairs})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelDamaged(bundle / CARD_NAME, "the model card is missing or unreadable") from error
    try:
        with (bundle / WEIGHTS_NAME).open("rb") as weights:
            digest = hashlib.file_digest(weights, "sha256").hexdigest()
    except OSError as error:
        raise ModelDamaged(bundle / WEIGHTS_NAME, "the weights cannot be read") from error
    if digest != card.sha256:
        raise ModelDamaged(bundle / WEIGHTS_NAME, "the weights' SHA-256 is not the one in the model card")
    return card
