"""The fastest engine is taken, and only one that is here and answers as the reference does."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from config.sections import ModelSettings
from config.settings import Settings
from config.values import EngineName
from dicom_node.commands.check_config import faults_on_disk
from dicom_node.node import Node, Role
from inference import engine
from inference.card import SHIPPED, load_card
from inference.engine import TOLERANCE, Answers, Choice, load_engine
from inference.errors import EngineUnusable
from inference.installed import installed_engines
from inference.onnx_engine import OnnxEngine
from inference.openvino_engine import OpenVinoEngine

REFERENCE = "onnxruntime on cpu"
Run = Callable[[OpenVinoEngine, np.ndarray], Answers]


def loaded(wanted: EngineName) -> Choice:
    return load_engine(SHIPPED, load_card(SHIPPED), wanted)


@pytest.fixture
def openvino_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever this machine has; onnxruntime is built for none."""
    monkeypatch.setattr(engine, "_DEVICES", tmp_path)


def wrapped(run: Run, *, seconds: float = 0.0, off_by: float = 0.0) -> Run:
    """An engine's `run`, slower, and with the first of its answers moved, in parts of what is tolerated."""

    def changed(self: OpenVinoEngine, picture: np.ndarray) -> Answers:
        time.sleep(seconds)
        first, *others = run(self, picture)
        return first + np.float32(off_by * TOLERANCE) * (1 + np.abs(first)), *others

    return changed


@pytest.mark.parametrize(("slow", "fastest"), [(OnnxEngine, "openvino on cpu"), (OpenVinoEngine, REFERENCE)])
def test_the_fastest_is_taken_and_tells_what_each_took(
    slow: type[OpenVinoEngine], fastest: str, no_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow, "run", wrapped(slow.run, seconds=0.05))
    choice = loaded("auto")
    assert choice.engine.name == fastest == min(choice.milliseconds, key=choice.milliseconds.__getitem__)
    assert choice.milliseconds.keys() == {REFERENCE, "openvino on cpu"}
    assert max(choice.milliseconds.values()) >= 50
    assert choice.refused == ()


def test_where_there_is_one_there_is_nothing_to_choose(openvino_missing: None, no_gpu: None) -> None:
    choice = loaded("auto")
    assert (choice.engine.name, choice.milliseconds, choice.refused) == (REFERENCE, {}, ())


def test_an_engine_that_answers_otherwise_is_refused(no_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    run = OpenVinoEngine.run
    monkeypatch.setattr(OpenVinoEngine, "run", wrapped(run, off_by=2.0))
    choice = loaded("auto")
    [sentence] = choice.refused
    assert choice.engine.name == REFERENCE
    assert "openvino on cpu" in sentence
    with pytest.raises(EngineUnusable, match="differ"):
        loaded("openvino")
    monkeypatch.setattr(OpenVinoEngine, "run", wrapped(run, off_by=0.5))
    assert loaded("openvino").engine.name == "openvino on cpu"


def test_an_engine_that_cannot_be_loaded_is_refused(no_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inference.openvino_engine", None)
    choice = loaded("auto")
    assert (choice.engine.name, ["openvino" in each for each in choice.refused]) == (REFERENCE, [True])
    with pytest.raises(EngineUnusable, match="openvino: cannot be loaded"):
        loaded("openvino")


def test_an_engine_that_is_not_installed_is_named_with_its_mend(
    openvino_missing: None, tmp_path: Path
) -> None:
    assert installed_engines() == ["onnxruntime", "torch"]
    settings = Settings(model=ModelSettings(engine="openvino"), node={"data_dir": tmp_path / "data"})  # type: ignore[arg-type]
    mend = 'openvino: is not installed; install it with: python install.py ".[openvino]"'
    [fault] = faults_on_disk(settings)
    assert fault.setting == "model.engine"
    assert mend in fault.sentence
    with pytest.raises(EngineUnusable) as refused:
        Node(settings, frozenset({Role.ANALYSE}), tmp_path / "node.toml").start()
    assert mend in str(refused.value)


def test_torch_is_asked_only_where_it_has_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(engine, "_DEVICES", tmp_path)
    assert ("torch on cuda" in loaded("auto").milliseconds) == torch.cuda.is_available()
