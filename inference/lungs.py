"""Where the lungs are in a frontal chest radiograph: a tiny network of its own, whichever classifier is in service.

It answers for the whole of both lungs, with what lies behind the heart and in an opacity. In a picture that is no
upright frontal chest it finds none. Made by `inference.lung_training.train`; what it was made from stands in its card.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.special import expit

from inference.card import CARD_NAME, GRAPH_NAME, WEIGHTS_NAME, check_file
from inference.errors import ModelDamaged
from inference.onnx_engine import OnnxEngine

SHIPPED: Final = Path(__file__).parent / "models" / "lungs"
"""The bundle inside the package: card, weights and graph."""

INPUT_SIDE: Final = 112
"""Pixels a side of what the network sees: half of what the classifier does."""
CELLS: Final = 56
"""Cells a side of what it answers."""

_FEWEST: Final = 0.01  # of the film: a lung that takes less of it is none (a whole one takes 5 % and more)


@dataclass(frozen=True, slots=True)
class Lungs:
    """The lungs of one film, the patient's right one on the left of the picture.

    Attributes
    ----------
    right, left
        (CELLS, CELLS) over the whole film, True inside that lung; a lung that was not found is False everywhere.
    certainty
        0..1: how clearly the network told the found lungs from what is around them; 0 where none was found.
    """

    right: NDArray[np.bool_]
    left: NDArray[np.bool_]
    certainty: float

    @property
    def both(self) -> NDArray[np.bool_]:
        """(CELLS, CELLS), True inside either lung."""
        return self.right | self.left

    @property
    def found(self) -> bool:
        """Whether both lungs are there, as in every frontal chest."""
        return bool(self.right.any() and self.left.any())

    def cut_off(self) -> bool:
        """Whether the film ends where a lung goes on: more than a tenth of the outer cells of a side are lung."""
        both = self.both
        return any(edge.mean() > 0.1 for edge in (both[0], both[-1], both[:, 0], both[:, -1]))


class LungFinder:
    """Loads a bundle once; then about 2 ms a film on one core.

    Raises
    ------
    ModelDamaged
        The bundle's weights are not those of its card, or do not fit the network.
    """

    def __init__(self, bundle: Path = SHIPPED) -> None:
        self._engine = _load(bundle)

    def find(self, picture: NDArray[np.float32]) -> Lungs:
        """Find the lungs in one picture.

        Parameters
        ----------
        picture
            (side, side), 0..1, as `inference.preprocessing.network_input` makes it; 224 is what it was trained on.
        """
        seen = Image.fromarray(picture).resize((INPUT_SIDE, INPUT_SIDE), Image.Resampling.BOX)
        [logits] = self._engine.run(np.asarray(seen))
        answer = expit(logits)
        right, left = (_largest(lung > 0.5) for lung in answer)
        clear = np.abs(2 * answer - 1)[np.stack([right, left])]
        return Lungs(right, left, float(clear.mean()) if clear.size else 0.0)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part, with its holes filled; empty where that is too small for a lung."""
    parts, count = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, parts, range(1, count + 1))
    if not count or sizes.max() < _FEWEST * mask.size:
        return np.zeros_like(mask)
    whole: NDArray[np.bool_] = ndimage.binary_fill_holes(parts == 1 + int(sizes.argmax()))
    return whole


def _load(bundle: Path) -> OnnxEngine:
    try:
        card = json.loads((bundle / CARD_NAME).read_text(encoding="utf-8"))
        weights, graph = card["sha256"], card["graph_sha256"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelDamaged(bundle / CARD_NAME, "the lung finder's card is missing or unreadable") from error
    check_file(bundle / WEIGHTS_NAME, weights)
    check_file(bundle / GRAPH_NAME, graph)
    return OnnxEngine(bundle / GRAPH_NAME, bundle / WEIGHTS_NAME, INPUT_SIDE)
