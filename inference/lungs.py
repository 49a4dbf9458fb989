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

PICTURE_SIDE: Final = 224
"""Pixels a side of the pictures that the finder was taught on, and is best given."""
INPUT_SIDE: Final = 112
"""Pixels a side of what the network sees of them."""
CELLS: Final = 56
"""Cells a side of what it answers."""

_FEWEST: Final = 0.01  # of the film: a lung that takes less of it is none (a whole one takes 5 % and more)


@dataclass(frozen=True, slots=True)
class Lungs:
    """The lungs of one film by their place in the picture, whatever its header says of how it hangs.

    Attributes
    ----------
    right, left
        (CELLS, CELLS) over the whole film, True inside that lung; a lung that was not found is False everywhere. They
        are named as in a film that hangs as usual: `right`, the patient's right lung there, is on the picture's left.
    """

    right: NDArray[np.bool_]
    left: NDArray[np.bool_]

    @property
    def both(self) -> NDArray[np.bool_]:
        """(CELLS, CELLS), True inside either lung."""
        return self.right | self.left

    @property
    def found(self) -> bool:
        """Whether both lungs are there, as in every frontal chest."""
        return bool(self.right.any() and self.left.any())


class LungFinder:
    """Loads a bundle once; then about 2 ms a film on one core.

    Raises
    ------
    ModelDamaged
        The bundle's files are not those of its card, or not a lung finder's.
    """

    def __init__(self, bundle: Path = SHIPPED) -> None:
        self._engine = _load(bundle)

    def find(self, picture: NDArray[np.float32]) -> Lungs:
        """Find the lungs in one picture.

        Parameters
        ----------
        picture
            (side, side), 0..1, as `inference.preprocessing.network_input` makes it; best of PICTURE_SIDE.
        """
        seen = Image.fromarray(picture).resize((INPUT_SIDE, INPUT_SIDE), Image.Resampling.BOX)
        [logits] = self._engine.run(np.asarray(seen))
        right, left = (_largest(lung > 0.5) for lung in expit(logits))
        return Lungs(right, left)


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
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelDamaged(bundle / CARD_NAME, "the lung finder's card is missing or unreadable") from error
    check_file(bundle / WEIGHTS_NAME, weights)
    check_file(bundle / GRAPH_NAME, graph)
    engine = OnnxEngine(bundle / GRAPH_NAME, bundle / WEIGHTS_NAME, INPUT_SIDE)
    blank = np.zeros((INPUT_SIDE, INPUT_SIDE), np.float32)
    if [answer.shape for answer in engine.run(blank)] != [(2, CELLS, CELLS)]:
        raise ModelDamaged(bundle / GRAPH_NAME, "the graph does not answer where two lungs are")
    return engine
