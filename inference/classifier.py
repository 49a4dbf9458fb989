"""A bundle's network, asked about one film at a time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from config.values import EngineName
from inference.card import GRAPH_NAME, load_card
from inference.engine import load_engine
from inference.errors import ModelDamaged
from inference.preprocessing import network_input
from inference.radiograph import Radiograph


@dataclass(frozen=True, slots=True)
class Classification:
    """The calibrated probability, and what each part of the film adds to it.

    `picture` is what the network saw, (side, side), 0..1; `activation` is (rows, columns) over the whole film: positive
    speaks for the finding, negative against it; `features` are the pooled features that the score was made from.
    """

    picture: NDArray[np.float32]
    score: float
    activation: NDArray[np.float32]
    features: NDArray[np.float32]


class Classifier:
    """Loads a bundle once; then score, activation and features of a film from one run of the network.

    Parameters
    ----------
    bundle
        Folder with the model's card, weights and graph.
    engine
        What runs the network; by default what the figures in a card are measured with.

    Attributes
    ----------
    card
        The bundle's.
    choice
        The engine, and why it was taken.
    channels
        How many pooled features its network has.

    Raises
    ------
    ModelDamaged
        The bundle's files are not those of its card, or do not fit each other.
    EngineUnusable
        The engine is not installed, or answers otherwise than the reference.
    """

    def __init__(self, bundle: Path, engine: EngineName = "onnxruntime") -> None:
        self.card = load_card(bundle)
        self._graph = bundle / GRAPH_NAME
        self.choice = load_engine(bundle, self.card, engine)
        # One look at nothing tells before the first film whether the answers are those that the card speaks of.
        side, labels = self.card.input_size, len(self.card.labels)
        shapes = [answer.shape for answer in self._run(np.zeros((side, side), np.float32))]
        if [len(shape) for shape in shapes] != [1, 3, 1] or [*shapes[0], shapes[1][0]] != [labels, labels]:
            raise ModelDamaged(self._graph, f"the network does not answer for the card's {labels} labels")
        self.channels = shapes[2][0]

    def classify(self, radiograph: Radiograph) -> Classification:
        """Look at one film; the same film gives the same answer.

        Raises
        ------
        ModelDamaged
            The network answers with what is no number.
        """
        picture = network_input(radiograph.pixels, self.card.input_size)
        # The first label is pneumonia, whatever else a network may have learnt to tell.
        logits, maps, features = self._run((picture - self.card.mean) / self.card.std)
        score = float(expit(logits[0] / self.card.temperature))
        return Classification(picture, score, maps[0], features)

    def _run(self, picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        answers = self.choice.engine.run(picture)
        if not all(np.isfinite(answer).all() for answer in answers):
            raise ModelDamaged(self._graph, "the network answers with what is no number")
        return answers
