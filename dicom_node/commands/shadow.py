"""How a candidate that runs in shadow ([model] shadow) compares with the model in service.

For each candidate that has looked at radiographs here, the latest first: how many films got which answer from both,
how many the candidate gave no answer to, and the films on which they differ most, by SOP Instance UID
(`dicom-node show UID` tells the film's story).
"""

import argparse
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from dicom_node.auditing.person import note_look
from dicom_node.commands.options import add_config, add_json, console, open_existing_folder
from inference.prediction import Answer
from storage.comparison import comparisons

MOST = 10
DIGEST_SHOWN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `shadow` takes."""
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the comparisons."""
    folder = open_existing_folder(arguments)
    with folder.database.read() as connection:
        found = comparisons(connection, MOST)
    note_look(folder, "list_looked_at", command="shadow", count=len(found))
    if arguments.json:
        print(json.dumps(found))
        return 0
    if not found:
        print("no candidate has looked at a radiograph yet")
    output = console()
    for comparison in found:
        _show(comparison, output)
    return 0


def _show(comparison: dict[str, Any], output: Console) -> None:
    films = {(row["in_service"], row["in_shadow"]): row["films"] for row in comparison["answers"]}
    total, alike = sum(films.values()), sum(films.get((answer, answer), 0) for answer in Answer)
    output.print(
        f"in shadow: {comparison['name']} {comparison['version']} ({comparison['sha256'][:DIGEST_SHOWN]}); "
        f"in service: {comparison['in_service_sha256'][:DIGEST_SHOWN]}",
        markup=False,
    )
    share = f", the same answer to {alike} ({alike / total:.1%})" if total else ""
    output.print(f"{total} films answered by both{share}")
    for row in comparison["unanswered"]:
        output.print(f"{row['films']} films without an answer in shadow: {row['reason']}")
    if total:
        table = Table("in service", *(f"in shadow {answer}" for answer in Answer))
        for answer in Answer:
            table.add_row(answer, *(str(films.get((answer, other), 0)) for other in Answer))
        output.print(table)
    for row in comparison["disagreements"]:
        output.print(
            f"{row['in_service']} {row['in_service_score']:.3f}, in shadow {row['in_shadow']} "
            f"{row['in_shadow_score']:.3f}: {row['sop_instance_uid']}"
        )
