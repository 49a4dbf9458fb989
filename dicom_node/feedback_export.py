"""The films with a verdict, as a folder that `dicom-node train` reads: a manifest, and a file for each film.

A file is a link to the received object, so that it costs no room and outlives retention; on another disk it is a copy.
Its name is the SHA-256 of its bytes. Patients have numbers that tell nothing of who they are and are the same in every
export: by their number they are for test or not, so that nobody is ever on both sides. The films themselves say whose
they are, as they did when they came.
"""

import csv
import errno
import hashlib
import os
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dicom_node.errors import ExportRefused
from storage import audit, verdicts
from storage.folder import DataFolder
from storage.steps import Step
from storage.verdicts import JudgedFilm

TEST_SHARE = 0.2
"""Of the patients: their films are for the final figures, and never learnt from."""
MANIFEST = "manifest.csv"
COLUMNS = ("file", "label", "patient", "split", "boxes")
_NOT_LINKED = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP)
"""Another disk, one without links, or somebody else's file."""


@dataclass(frozen=True, slots=True)
class Exported:
    """How many films are in an export; `removed` are those that retention has taken away since."""

    positive: int
    negative: int
    patients: int
    removed: int


def export(folder: DataFolder, target: Path, user: str) -> Exported:
    """Write the films of every study whose truth is known into a new folder, and this into the audit trail.

    Raises
    ------
    ExportRefused
        The folder is not empty, or cannot be written.
    StorageUnavailable
        The database cannot be read or written.
    """
    with folder.database.read() as connection:
        films = list(verdicts.judged_films(connection))
    try:
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(target.iterdir()):
            raise ExportRefused(target, "is not empty; name a new folder")
        (target / "films").mkdir(mode=0o700)
        kept = [film for film in films if not film.is_removed and _link(folder, film.object_key, target)]
        # written last: without it the folder is no export
        with (target / MANIFEST).open("x", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(map(_line, kept))
    except OSError as error:
        raise ExportRefused(target, f"cannot be written: {error.strerror}") from error
    with folder.database.write(Step.BY_HAND) as connection:
        for study, many in Counter(film.study_instance_uid for film in kept).items():
            audit.append(
                connection, time.time(), "study_exported", study_instance_uid=study, count=many, user=user
            )
    positive = sum(film.is_positive for film in kept)
    patients = len({film.patient for film in kept})
    return Exported(positive, len(kept) - positive, patients, len(films) - len(kept))


def _link(folder: DataFolder, key: str, target: Path) -> bool:
    """Put a film into the export; tell whether it is still here."""
    source, file = folder.objects.path(key), target / _file_of(key)
    try:
        os.link(source, file)
    except FileExistsError:  # sent again under another UID, byte for byte
        return True
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in _NOT_LINKED:
            raise
        shutil.copyfile(source, file)
    return True


def _file_of(key: str) -> str:
    return f"films/{key}.dcm"


def _line(film: JudgedFilm) -> dict[str, str]:
    return {
        "file": _file_of(film.object_key),
        "label": "pneumonia" if film.is_positive else "normal",
        "patient": f"patient-{film.patient}",
        "split": "test" if is_for_test(film.patient) else "train",
        "boxes": "|".join(
            f"{left} {top} {right - left} {bottom - top}" for left, top, right, bottom in film.boxes
        ),
    }


def is_for_test(patient: int) -> bool:
    """Tell whether the films of a patient with this number are for the final figures: as good as by chance."""
    digest = hashlib.sha256(f"for test? {patient}".encode()).digest()
    return int.from_bytes(digest[:8]) < TEST_SHARE * 2**64
