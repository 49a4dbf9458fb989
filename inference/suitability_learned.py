"""Is this picture a film like those that the classifier learnt from? Seen in the picture, whatever its header says.

Two questions, both asked of what the network made of the film on its way to a score (its pooled features):

- Which of `KINDS` is it? A linear classifier, which also sees the film averaged to a few blocks: the network was
  trained not to care much where something lies, and turned or inverted lungs are seen best from far away.
- How far is it from the training films of the nearest source? The Mahalanobis distance, its covariance that of
  probabilistic principal components (Tipping and Bishop, J. R. Stat. Soc. B 61, 1999): so that what nobody thought of
  is refused too.

Fitted by `inference.training.suitability` to one network's features, and kept beside its weights.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from inference.errors import ImageRejected, ModelDamaged
from inference.prediction import Reason
from inference.radiograph import Radiograph
from inference.suitability import BLOCKS, block_means

KINDS: Final = (
    None,
    Reason.INVERTED,
    Reason.TURNED,
    Reason.CROPPED,
    Reason.LATERAL_VIEW,
    Reason.NOT_A_CHEST,
)
"""What a picture can be: a frontal chest as it should be (None), or the reason why it is not analysable."""

_FLATTEST: Final = 1e-3  # grey: a picture whose blocks differ less is not stretched further

Array = NDArray[np.float32]


def described(radiograph: Radiograph, features: Array) -> Array:
    """What is judged of a film: its features, then its blocks.

    Square roots keep the few strong features from deciding alone; blocks are told in standard deviations from their
    mean, so that the exposure does not matter.

    Parameters
    ----------
    features
        (channels,), as in `Classification`.

    Returns
    -------
    (channels + 256,)
    """
    blocks = block_means(radiograph).ravel()
    relief = (blocks - blocks.mean()) / max(float(blocks.std()), _FLATTEST)
    return np.concatenate([np.sign(features) * np.sqrt(np.abs(features)), relief]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class LearnedSuitability:
    """What a bundle has learnt of suitable films; each field is a tensor of its file.

    Attributes
    ----------
    centre, scale
        (channels + 256,): what standardises a description before the classifier.
    weights, biases
        (kinds, channels + 256) and (kinds,): the classifier. The largest answer names the kind.
    sources
        (sources, channels): the mean of each source's films.
    axes, variances, remainder
        (components, channels), (components,), (1,): the directions in which films of a source differ most, by how
        much, and the mean variance in all others.
    limit
        (1,): the farthest that a suitable film may be.
    """

    centre: Array
    scale: Array
    weights: Array
    biases: Array
    sources: Array
    axes: Array
    variances: Array
    remainder: Array
    limit: Array

    @classmethod
    def load(cls, path: Path, channels: int) -> Self:
        """Read what `save` wrote, for a network of so many features.

        Raises
        ------
        ModelDamaged
            The file is missing, holds something else, or was fitted to another network.
        """
        try:
            learned = cls(**load_file(path))
        except (OSError, TypeError, SafetensorError) as error:
            raise ModelDamaged(path, "what is suitable cannot be read") from error
        if learned.biases.shape != (len(KINDS),):
            raise ModelDamaged(path, "tells other kinds of films apart than this version; fit it again")
        tensors = {field.name: getattr(learned, field.name) for field in fields(learned)}
        sources, components = learned.sources.size // channels, learned.variances.size
        wanted = {
            "centre": (channels + BLOCKS**2,),
            "scale": (channels + BLOCKS**2,),
            "weights": (len(KINDS), channels + BLOCKS**2),
            "biases": (len(KINDS),),
            "sources": (sources, channels),
            "axes": (components, channels),
            "variances": (components,),
            "remainder": (1,),
            "limit": (1,),
        }
        if not sources or {name: tensor.shape for name, tensor in tensors.items()} != wanted:
            raise ModelDamaged(path, f"is not for a network of {channels} features; fit it again")
        # A kind that nobody supplied has the bias -inf: it never has the largest answer.
        if any(np.isnan(tensor).any() for tensor in tensors.values()):
            raise ModelDamaged(path, "holds what is no number; fit it again")
        return learned

    def save(self, path: Path) -> None:
        """Write everything to a safetensors file."""
        path.write_bytes(save({field.name: getattr(self, field.name) for field in fields(self)}))

    def check(self, radiograph: Radiograph, features: Array) -> None:
        """Reject a film that is none that the classifier was made for.

        Raises
        ------
        ImageRejected
            By its kind, or as UNLIKE_TRAINING where it is far from all that was learnt from, or no number says how far.
        """
        description = described(radiograph, features)[None]
        kind = KINDS[int(self.answers(description)[0].argmax())]
        if kind is not None:
            raise ImageRejected(kind)
        if not self.distances(description)[0] <= self.limit[0]:
            raise ImageRejected(Reason.UNLIKE_TRAINING)

    def answers(self, descriptions: Array) -> Array:
        """The classifier's answer for each kind: (films, described) to (films, kinds)."""
        standardised: Array = np.divide(descriptions - self.centre, self.scale)
        answers: Array = standardised @ self.weights.T + self.biases
        return answers

    def distances(self, descriptions: Array) -> Array:
        """The distance from the nearest source's films, about 1 for its usual ones: (films, described) to (films,)."""
        features = descriptions[:, : self.sources.shape[1]]
        distances: list[Array] = []
        for source in self.sources:
            offsets = features - source
            along = offsets @ self.axes.T
            across = np.square(offsets).sum(axis=1) - np.square(along).sum(axis=1)
            distance: Array = np.square(along) @ (1 / self.variances) + across / self.remainder
            distances.append(distance)
        nearest: Array = np.stack(distances).min(axis=0) / np.float32(features.shape[1])
        return nearest
