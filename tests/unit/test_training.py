"""A hospital trains on its own films with one command, gets a bundle that the node runs, and figures to trust."""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.card import GRAPH_NAME, SUITABILITY_NAME, WEIGHTS_NAME, load_card
from inference.classifier import Classifier
from inference.errors import ArchitectureUnusable, DataUnusable
from inference.evaluation import evaluate as evaluate_command
from inference.evaluation.evaluate import evaluate
from inference.radiograph import Radiograph
from inference.training import train as train_command
from inference.training.adaptation import mix
from inference.training.train import train

COLUMNS = ["file", "label", "patient", "source", "split", "findings", "view", "sex"]


def make_films(folder: Path, patients: int = 36, source: str = "site") -> Path:
    """Two small films a patient: white for pneumonia, dark for normal, with noise; every sixth patient is for test."""
    folder.mkdir()
    random = np.random.default_rng(len(source))
    rows = []
    for patient in range(patients):
        ill = patient % 2 == 0
        for number in range(2):
            picture = random.normal(110, 20, (64, 64))
            picture[8:56, 8:56] += 90 * ill
            name = f"{patient}-{number}.png"
            Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / name)
            row = {"file": name, "label": "pneumonia" if ill else "normal", "patient": f"p{patient}"}
            rows.append(
                row | {"source": source, "split": "test" if patient % 6 < 2 else "train", "sex": "FM"[number]}
            )
    write_manifest(folder, rows)
    return folder


def write_manifest(folder: Path, rows: list[dict[str, str]]) -> None:
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def quick(data: Path, out: Path, **settings: Any) -> Any:
    return train([data], out, **({"epochs": 2, "films_per_epoch": 64, "input_size": 32} | settings))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_films(tmp_path_factory.mktemp("training") / "films")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Too few for figures, which is as well where none are asked for."""
    return make_films(tmp_path_factory.mktemp("training") / "few", patients=12)


@pytest.fixture(scope="module")
def bundle(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("training") / "bundle"
    quick(films, out)
    return out


def test_a_trained_bundle_runs_in_the_node(bundle: Path) -> None:
    classifier = Classifier(bundle)
    found = classifier.classify(Radiograph(np.random.default_rng(1).random((200, 180), np.float32)))
    assert 0 <= found.score <= 1
    assert {path.name for path in bundle.iterdir()} == {
        "card.json",
        WEIGHTS_NAME,
        GRAPH_NAME,
        SUITABILITY_NAME,
        "curves.png",
        "confusion.png",
    }


def test_the_card_tells_how_it_was_made_and_nothing_of_the_machine(films: Path, bundle: Path) -> None:
    card = load_card(bundle)
    assert card.training["plan"]["seed"] == 1
    assert sum(card.training["films"].values()) == 48
    assert "site test" in card.figures["groups"]
    assert str(films.parent) not in (bundle / "card.json").read_text()


def evaluation(bundle: Path) -> dict[str, Any]:
    """The figures in the card but for those of suitability, which are measured where it is fitted."""
    return {name: figure for name, figure in load_card(bundle).figures.items() if name != "suitability"}


def test_the_figures_in_the_card_are_those_of_evaluate(films: Path, bundle: Path) -> None:
    assert evaluate(bundle, [films]) == evaluation(bundle)


@pytest.fixture
def interrupted(few: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose training was stopped after its first epoch was saved."""
    from inference.training import fitting

    real = fitting.save_checkpoint

    def save_and_stop(*arguments: Any) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(fitting, "save_checkpoint", save_and_stop)
        quick(few, tmp_path / "interrupted")
    return tmp_path / "interrupted"


def test_an_interrupted_training_ends_as_it_would_have(few: Path, interrupted: Path, tmp_path: Path) -> None:
    # On as many threads, because sums are not the same on more: measuring a bundle has left this process with one.
    assert quick(few, interrupted).sha256 == quick(few, tmp_path / "whole").sha256


def test_another_seed_is_another_training(few: Path, tmp_path: Path) -> None:
    first, second = (quick(few, tmp_path / str(seed), seed=seed, epochs=1).sha256 for seed in (1, 2))
    assert first != second


def test_a_checkpoint_of_another_training_is_not_mixed_in(few: Path, interrupted: Path) -> None:
    with pytest.raises(DataUnusable, match="another training"):
        quick(few, interrupted, seed=2)


def test_initial_weights_are_where_training_begins(few: Path, bundle: Path, tmp_path: Path) -> None:
    quick(few, tmp_path / "out", initial_weights=bundle / WEIGHTS_NAME)
    from safetensors.numpy import load_file

    before, after = load_file(bundle / WEIGHTS_NAME), load_file(tmp_path / "out" / WEIGHTS_NAME)
    np.testing.assert_array_equal(before["conv_stem.weight"], after["conv_stem.weight"])
    assert not np.array_equal(before["blocks.5.0.conv_pw.weight"], after["blocks.5.0.conv_pw.weight"])


def test_a_checkpoint_of_other_initial_weights_is_not_mixed_in(
    few: Path, bundle: Path, interrupted: Path
) -> None:
    with pytest.raises(DataUnusable, match="another training"):
        quick(few, interrupted, initial_weights=bundle / WEIGHTS_NAME)


def test_a_finished_bundle_is_not_written_over(few: Path, bundle: Path) -> None:
    before = (bundle / "card.json").read_bytes()
    with pytest.raises(DataUnusable, match="holds a bundle already"):
        quick(few, bundle)
    assert (bundle / "card.json").read_bytes() == before


def test_initial_weights_of_something_else_are_refused(few: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"not weights")
    with pytest.raises(DataUnusable, match=r"weights\.safetensors: holds no weights"):
        quick(few, tmp_path / "out", initial_weights=tmp_path / "weights.safetensors")


def test_training_starts_from_torchvisions_imagenet_weights(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they lie in torch's cache after a download, under torchvision's name for them."""
    import torch
    from safetensors.torch import load_file
    from torchvision.models import ResNet18_Weights, resnet18

    torch.manual_seed(7)
    network = resnet18(weights=None)
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(network.state_dict(), cache / Path(ResNet18_Weights.IMAGENET1K_V1.url).name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    card = quick(few, tmp_path / "out", architecture="resnet18", initial_weights="imagenet", epochs=1)
    kept = load_file(tmp_path / "out" / WEIGHTS_NAME)["conv1.weight"]
    assert torch.equal(kept, network.conv1.weight.detach().half())
    assert card.training["initial_weights"] == "imagenet"
    assert 0 <= Classifier(tmp_path / "out").classify(Radiograph(np.zeros((64, 64), np.float32))).score <= 1


@pytest.mark.parametrize("architecture", ["no_such_net", "vit_b_16", "swin_tiny_patch4_window7_224"])
def test_a_network_that_no_heatmap_could_be_drawn_from_is_refused(
    architecture: str, few: Path, tmp_path: Path
) -> None:
    with pytest.raises(ArchitectureUnusable, match=architecture):
        quick(few, tmp_path / "out", architecture=architecture)


# --- a bundle adapted to a site's own films ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapted(bundle: Path, films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle, adapted to films of another hospital beside its own."""
    own = make_films(tmp_path_factory.mktemp("adapted") / "own", source="other")
    out = tmp_path_factory.mktemp("adapted") / "bundle"
    train([own, films], out, start=bundle, epochs=1, films_per_epoch=64)
    return out


def test_an_adapted_bundle_tells_its_figures_before_and_after_on_both_sets(
    adapted: Path, bundle: Path
) -> None:
    told = load_card(adapted).training["adaptation"]
    for when in ("before", "after"):
        for source in ("other", "site"):
            assert 0 <= told[when][f"{source} test"]["auc"]["value"] <= 1
    for when, folder in (("before", bundle), ("after", adapted)):
        figures = load_card(folder).figures["groups"]["site test"]
        assert told[when]["site test"] == {name: figures[name] for name in told[when]["site test"]}


def test_an_adapted_bundle_is_the_same_network_with_other_weights(adapted: Path, bundle: Path) -> None:
    from safetensors.numpy import load_file

    before, after = load_file(bundle / WEIGHTS_NAME), load_file(adapted / WEIGHTS_NAME)
    assert before.keys() == after.keys()
    np.testing.assert_array_equal(before["conv_stem.weight"], after["conv_stem.weight"])
    assert not np.array_equal(before["blocks.5.0.conv_pw.weight"], after["blocks.5.0.conv_pw.weight"])
    assert load_card(adapted).input_size == load_card(bundle).input_size


def test_adapting_keeps_half_of_what_was_and_half_of_what_was_learnt() -> None:
    import torch
    from torch import nn

    before, learnt = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    before.load_state_dict(before.state_dict() | {"weight": torch.tensor([2.0])})
    learnt.load_state_dict(learnt.state_dict() | {"weight": torch.tensor([4.0])})
    mix(learnt, before)
    assert learnt.state_dict()["weight"] == 3.0


def test_what_was_begun_with_is_not_asked_for_twice(
    bundle: Path, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (str(few), "--out", str(tmp_path / "out"), "--from", str(bundle), "--input-size", "64")
    assert command(train_command, *words) == 1
    assert "leave out" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# --- films that cannot be trained on ----------------------------------------------------------------------------------


def test_films_without_healthy_patients_cannot_be_trained_on(tmp_path: Path) -> None:
    folder = make_films(tmp_path / "films")
    write_manifest(folder, [row for row in rows_of(folder) if row["label"] == "pneumonia"])
    with pytest.raises(DataUnusable, match="has not both normal and pneumonia"):
        quick(folder, tmp_path / "out")


def test_a_source_that_is_all_ill_or_all_healthy_cannot_be_trained_on(tmp_path: Path) -> None:
    """It would be learnt instead of the disease."""
    folder = make_films(tmp_path / "films")
    feedback = {"source": "feedback"}
    rows = [
        row | (feedback if row["label"] == "normal" and i % 5 == 0 else {})
        for i, row in enumerate(rows_of(folder))
    ]
    write_manifest(folder, rows)
    with pytest.raises(DataUnusable, match="source feedback has not both normal and pneumonia films"):
        quick(folder, tmp_path / "out")


# --- the commands ----------------------------------------------------------------------------------------------------


def command(module: Any, *words: str) -> int:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    status = module.run(parser.parse_args(words))
    assert isinstance(status, int)
    return status


def test_evaluate_prints_a_table_or_json(
    films: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(evaluate_command, str(bundle), str(films), "--json") == 0
    assert json.loads(capsys.readouterr().out) == evaluation(bundle)
    assert command(evaluate_command, str(bundle), str(films)) == 0
    assert "site test" in capsys.readouterr().out


def test_a_fault_is_one_line_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(train_command, str(tmp_path), "--out", str(tmp_path / "out")) == 1
    assert command(evaluate_command, str(tmp_path), str(tmp_path)) == 1
    assert "Traceback" not in capsys.readouterr().err
