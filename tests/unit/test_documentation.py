"""The README names every command, and no other; its links and figures are true."""

import json
import re
from pathlib import Path

from dicom_node.cli import COMMANDS

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_every_command_is_in_the_table_and_no_other() -> None:
    assert set(re.findall(r"^\| `dicom-node ([a-z-]+)`", README, re.MULTILINE)) == set(COMMANDS)


def test_no_command_is_named_that_does_not_exist() -> None:
    assert set(re.findall(r"dicom-node ([a-z-]+)", README)) <= set(COMMANDS)


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert link.startswith("http") or (REPOSITORY / link).exists(), link


def test_the_figures_are_those_of_the_model_card() -> None:
    card = json.loads((REPOSITORY / "inference/models/pneumonia/card.json").read_text(encoding="utf-8"))
    groups = card["figures"]["groups"]
    rows = re.findall(
        r"^\| ([^|]+?) \| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", README, re.MULTILINE
    )
    assert {row[0] for row in rows} >= {"kermany test", "nih validation"}
    for name, films, *figures in rows:
        group = groups[name]
        assert int(films) == group["films"]
        for figure, key in zip(figures, ("auc", "accuracy", "sensitivity", "specificity"), strict=True):
            low, high = group[key]["interval"]
            assert figure.strip() == f"{group[key]['value']:.3f} ({low:.3f} to {high:.3f})"
