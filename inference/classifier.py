"""The shipped network, asked about one film at a time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from inference.card import WEIGHTS_NAME, load_card
from inference.network import load_network
from inference.preprocessing import network_input
from inference.radiograph import Radiograph


@dataclass(frozen=True, slots=True)
class Classification:
    """The calibrated probability, and what each part of the film adds to it.

    `activation` is (rows, columns) over the whole film: positive speaks for the finding, negative against it;
    `features` are the pooled features that the score was made from.
    """

    score: float
    activation: NDArray[np.float32]
    features: NDArray[np.float32]


class Classifier:
    """Loads a bundle once; then 20 to 40 ms a film on one core, score and activation from one forward pass.

    Raises
    ------
    ModelDamaged
        The bundle's weights are not those of its card, or do not fit its architecture.
    """

    def __init__(self, bundle: Path) -> None:
        self.card = load_card(bundle)
        # A film is too little work for two threads, and torch's threads spin: under load they make each other
        # twenty times slower. More films at once are for more processes.
        torch.set_num_threads(1)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = load_network(
            self.card.architecture, len(self.card.labels), bundle / WEIGHTS_NAME
        ).to(self._device)

    def classify(self, radiograph: Radiograph) -> Classification:
        """Look at one film; the same film gives the same answer."""
        picture = torch.from_numpy(network_input(radiograph.pixels, self.card.input_size))[None, None].to(
            self._device
        )
        with torch.inference_mode():
            logits, maps, features = self._network((picture - self.card.mean) / self.card.std)
        score = torch.sigmoid(logits[0, 0] / self.card.temperature)
        return Classification(float(score), maps[0, 0].cpu().numpy(), features[0].cpu().numpy())
