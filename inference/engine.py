"""What runs the network, and which of those that are installed does it soonest on this machine.

    onnxruntime   always installed; on a CPU it is the reference: the figures in the model card are its
    openvino      an extra of the installation; on some CPUs a little sooner
    torch         for a GPU; on a CPU half as fast

Whichever is chosen, the answers are the reference's: an engine that differs on this machine by more than TOLERANCE is
refused. So a film may be analysed by one engine today and by another tomorrow.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from config.values import EngineName
from inference.card import GRAPH_NAME, WEIGHTS_NAME, ModelCard
from inference.errors import EngineUnusable, ModelDamaged
from inference.installed import installed_engines, require_installed
from inference.onnx_engine import OnnxEngine, gpu_providers

TOLERANCE: Final = 0.001
"""How far an engine's numbers may lie from the reference's: so much, and so much of the number itself.

By it a score moves by less than 0.001. Engines that compute in single precision, as the reference does, differ by a
tenth of it at most. openvino 2026.4.1, left to itself, computes in bfloat16 where the CPU can: a logit moves by 0.08.
"""
LOOKS: Final = 5
"""A measurement is the shortest of so many looks: what else runs on the machine only adds."""

Answers = tuple[NDArray[np.float32], ...]
"""What a network answers for one picture, in its order."""

_DEVICES: Final = Path("/dev")


class Engine(Protocol):
    """A network that is loaded and ready to be asked, by one thread at a time.

    Attributes
    ----------
    name
        For people: the setting's word, and the device.
    """

    name: str

    def run(self, picture: NDArray[np.float32]) -> Answers:
        """Run the network once.

        Parameters
        ----------
        picture
            (side, side), normalised. One at a time: on a CPU a picture takes longer in a stack than alone.

        """
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine, and why it was taken.

    Attributes
    ----------
    milliseconds
        What each engine took for a picture, by name; empty where there was nothing to choose.
    refused
        Why others were not asked, a sentence for each.
    """

    engine: Engine
    milliseconds: dict[str, float] = field(default_factory=dict)
    refused: tuple[str, ...] = ()


def load_engine(bundle: Path, card: ModelCard, wanted: EngineName) -> Choice:
    """Load a bundle's network into the engine of that name, or for "auto" into the fastest one here.

    "auto" leaves out torch where it has no GPU: importing it takes longer than everything else until the first answer.

    Raises
    ------
    ModelDamaged
        The weights do not fit the graph or the architecture, or the graph is not one that may be run.
    EngineUnusable
        The engine that is wanted is not installed, or does not give the reference's answers here.
    """
    require_installed(wanted)
    reference = OnnxEngine(bundle / GRAPH_NAME, bundle / WEIGHTS_NAME, card.input_size)
    others = _others(bundle, card, wanted)
    if not others:
        return Choice(reference)
    picture = _reference_picture(card.input_size)
    answers = reference.run(picture)
    engines: list[Engine] = [reference]
    refused = []
    for name, load in others.items():
        try:
            engines.append(_agreeing(name, load, picture, answers))
        except (EngineUnusable, ModelDamaged) as error:
            if name == wanted:
                raise
            refused.append(str(error))
    if wanted != "auto":
        return Choice(engines[-1])
    milliseconds = _measured(engines, picture)
    return Choice(min(engines, key=lambda engine: milliseconds[engine.name]), milliseconds, tuple(refused))


def _agreeing(
    name: str, load: Callable[[], Engine], picture: NDArray[np.float32], answers: Answers
) -> Engine:
    """Load an engine, and have it answer for this picture as the reference did."""
    try:
        engine = load()
    except ImportError as error:
        raise EngineUnusable(name, "cannot be loaded; install it again, or choose another") from error
    if not agree(engine.run(picture), answers):
        raise EngineUnusable(
            engine.name,
            f"its answers here differ from onnxruntime's by more than {TOLERANCE}; choose another",
        )
    return engine


def agree(found: Answers, wanted: Answers) -> bool:
    """Whether an engine's answers are those of another, within TOLERANCE."""
    return [each.shape for each in found] == [each.shape for each in wanted] and all(
        np.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)
        for ours, theirs in zip(found, wanted, strict=True)
    )


def _others(bundle: Path, card: ModelCard, wanted: EngineName) -> dict[str, Callable[[], Engine]]:
    """Return how to load whatever is to be asked beside the reference, by the setting's words."""

    def onnxruntime_on_gpu() -> Engine:
        return OnnxEngine(bundle / GRAPH_NAME, bundle / WEIGHTS_NAME, card.input_size, gpu_providers())

    def openvino() -> Engine:
        from inference.openvino_engine import OpenVinoEngine  # noqa: PLC0415 - an extra

        return OpenVinoEngine(bundle / GRAPH_NAME, bundle / WEIGHTS_NAME, card.input_size)

    def torch() -> Engine:
        from inference.torch_engine import TorchEngine  # noqa: PLC0415 - two seconds, and 300 MB

        return TorchEngine(card.architecture, len(card.labels), bundle / WEIGHTS_NAME)

    offered = {
        "onnxruntime": (onnxruntime_on_gpu, bool(gpu_providers())),
        "openvino": (openvino, "openvino" in installed_engines()),
        "torch": (torch, wanted == "torch" or (wanted == "auto" and _has_gpu_for_torch())),
    }
    return {name: load for name, (load, here) in offered.items() if here and wanted in ("auto", name)}


def _has_gpu_for_torch() -> bool:
    """Whether torch has a GPU; it is imported to ask only where NVIDIA's driver shows one."""
    if not any(_DEVICES.glob("nvidia[0-9]*")) or "torch" not in installed_engines():
        return False
    from inference.torch_engine import gpu_works  # noqa: PLC0415 - two seconds, and 300 MB

    return gpu_works()


def _reference_picture(side: int) -> NDArray[np.float32]:
    """Noise of every size, in the range of a film: it stirs every part of a network, and is always the same."""
    noise = np.random.default_rng(0)
    picture = np.zeros((side, side), np.float32)
    for cell in (1, 8, 64):
        cells = -(-side // cell)
        coarse = noise.standard_normal((cells, cells), np.float32)
        picture += np.kron(coarse, np.ones((cell, cell), np.float32))[:side, :side]
    return np.clip(picture / 2, -1, 1)


def _measured(engines: list[Engine], picture: NDArray[np.float32]) -> dict[str, float]:
    """The shortest of some looks of each engine, taken in turns; each has looked before."""
    shortest = dict.fromkeys([engine.name for engine in engines], float("inf"))
    for _ in range(LOOKS):
        for engine in engines:
            begin = time.perf_counter()
            engine.run(picture)
            shortest[engine.name] = min(shortest[engine.name], (time.perf_counter() - begin) * 1000)
    return {name: round(milliseconds, 1) for name, milliseconds in shortest.items()}
