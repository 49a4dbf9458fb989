"""Analyse DICOM files and write the objects that the node would send, without network or database.

Files of one study are reported together. For each study a folder below DIR gets what the node would send of it to the
destinations in the settings, or, without any, the first two of these: the structured report (report.dcm, and readable
as report.txt), the heatmap (heatmap.dcm, heatmap.png), the key objects (key_objects.dcm) and the presentation state
(presentation_state.dcm). What a destination gets by HL7 is in a file of its name (ris.hl7).
"""

import argparse
import io
import sys
import time
from pathlib import Path

from PIL import Image
from pydicom import dcmread

from config.peers import ResultKind
from dicom_node import logs
from dicom_node.analysis import Analyst
from dicom_node.commands.options import add_config, settings_of
from dicom_node.errors import DataSetRefused
from dicom_node.header import read_identity
from dicom_node.results.readable import readable_text
from dicom_node.results.wording import answer_statement
from dicom_node.tasks import AnalysedFilm, ResultObject, StudyTask
from inference.prediction import NotAnalysable, Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `process` takes."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="DICOM files")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Analyse and write; exit status 1 if a file is not a DICOM image object of a study."""
    settings = settings_of(arguments)
    logs.configure(settings.logging)
    analyst = Analyst(settings)
    studies: dict[str, list[AnalysedFilm]] = {}
    unreadable = 0
    for path in arguments.files:
        try:
            study_instance_uid = read_identity(path).study_instance_uid
        except DataSetRefused as error:
            print(f"{path}: not a DICOM file of a study ({error.comment})", file=sys.stderr)
            unreadable += 1
            continue
        outcome = analyst.analyse(path)
        print(f"{path}: {_words(outcome)}")
        studies.setdefault(study_instance_uid, []).append(AnalysedFilm(path, outcome))
    now = time.time()
    for study_instance_uid, films in studies.items():
        folder = arguments.out / study_instance_uid
        folder.mkdir(parents=True, exist_ok=True)
        for made in analyst.report(StudyTask(tuple(films), revision=1, reported_at=now, predecessor=None)):
            write_result(made, folder)
        print(f"results in {folder}")
    return 1 if unreadable else 0


def write_result(made: ResultObject, folder: Path) -> None:
    """Write an object as it is sent, and beside it in a form that people can look at; a message only so."""
    if made.kind is ResultKind.HL7_MESSAGE:
        [destination] = made.destinations
        (folder / f"{destination}.hl7").write_bytes(made.content)
        return
    name = "report" if made.kind is ResultKind.STRUCTURED_REPORT else made.kind
    (folder / f"{name}.dcm").write_bytes(made.content)
    dataset = dcmread(io.BytesIO(made.content))
    if made.kind is ResultKind.STRUCTURED_REPORT:
        (folder / "report.txt").write_text(readable_text(dataset), encoding="utf-8")
    elif made.kind is ResultKind.HEATMAP:
        Image.fromarray(dataset.pixel_array).save(folder / "heatmap.png")


def _words(outcome: Outcome) -> str:
    if isinstance(outcome, NotAnalysable):
        return f"not analysable: {outcome.reason.sentence}"
    return answer_statement(outcome)
