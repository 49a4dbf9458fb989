"""Export the films that people have judged, as a folder that `dicom-node train` and `dicom-node evaluate` read:

  dicom-node feedback export FILMS
  dicom-node train FILMS --from inference/models/pneumonia --out CANDIDATE

FILMS gets a manifest.csv and, below films/, a file for each film with an answer of every study that radiologists or
the final report call positive (label pneumonia) or negative (label normal: no pneumonia, whatever else there is).
Regions that were drawn are its boxes. Studies that nobody can tell, and those on which people say different things, are
left out, and so is what retention has removed.

The files are links to the received ones, or copies on another disk: their names tell nothing of a patient, and their
headers all that was sent. A fifth of the patients, always the same ones, is for test. Who trains on what was judged
after the answer was seen learns from people whom the answer may have led, on studies that they chose.
"""

import argparse
from pathlib import Path

from dicom_node.auditing.person import person
from dicom_node.commands.options import add_config, open_existing_folder
from dicom_node.feedback_export import export


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `feedback` takes."""
    parser.add_argument("what", choices=["export"], help="what to do with the feedback")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder for the films")
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Export, and say what there is."""
    made = export(open_existing_folder(arguments), arguments.folder, person())
    print(
        f"{arguments.folder}: {made.positive + made.negative} films of {made.patients} patients, "
        f"{made.positive} with pneumonia and {made.negative} without"
    )
    if made.removed:
        print(f"{made.removed} films were removed by retention and are left out")
    return 0
