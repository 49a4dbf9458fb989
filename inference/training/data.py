"""The films that a classifier learns from: a folder with a `manifest.csv`.

Columns of the manifest (others are allowed and not read):

===========  ==========================================================================================
file         path of a picture (JPEG, PNG) or DICOM file, relative to the folder
label        ``normal``, ``pneumonia`` or ``other`` (other findings)
patient      who it is; all films of a patient fall on the same side of a split
source       optional: where it comes from (a hospital, a public set); figures are told per source
split        optional: ``test`` keeps a film for the final figure, anything else is for training
findings     optional: other findings divided by ``|``; ``Consolidation`` and ``Infiltration`` are opacities too
probability  optional: 0 to 1, how likely the film shows an opacity where its label is uncertain
view, sex    optional: for figures per group
age          optional: years
subtype      optional: ``bacteria`` or ``virus``
boxes        optional: where opacities are known, in pixels of the file: ``x y width height``, divided by ``|``
===========  ==========================================================================================
"""

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image

from inference.errors import DataUnusable, ImageRejected
from inference.radiograph import Radiograph, read_radiograph

MANIFEST: Final = "manifest.csv"
VALIDATION_SHARE: Final = 0.2
_REQUIRED: Final = frozenset({"file", "label", "patient"})
_LABELS: Final = frozenset({"normal", "pneumonia", "other"})
_OPACITIES: Final = frozenset({"Pneumonia", "Consolidation", "Infiltration"})
_PICTURES: Final = frozenset({".jpg", ".jpeg", ".png"})

Box: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Film:
    """One line of the manifest.

    `positive` is the label: None for films with other findings only (atelectasis, effusion, a mass), too near to
    pneumonia to be called negative. Figures use it alone. `probability` is how likely the film shows an opacity where
    the label is uncertain; `target` is what is learnt from the two. `duplicate` marks the same bytes as an earlier
    film's. `age` is in years, None if unknown; `subtype` is ``bacteria``, ``virus`` or empty; `boxes` are known
    opacities: left, top, right, bottom in pixels of the file.
    """

    path: Path
    patient: str = field(repr=False)
    source: str
    positive: bool | None
    test: bool
    duplicate: bool
    view: str
    sex: str
    age: float | None
    subtype: str
    boxes: tuple[Box, ...]
    probability: float | None

    @property
    def target(self) -> float | None:
        """What training aims at, 0 to 1: the probability where there is one, else the label; None: not learnt from."""
        if self.probability is not None:
            return self.probability
        return None if self.positive is None else float(self.positive)

    @property
    def validation(self) -> bool:
        """Whether this film chooses epoch, temperature and threshold, and is not learnt from.

        Decided by the patient alone, so films that are added later move nobody from one side to the other.
        """
        digest = hashlib.sha256(f"{self.source}/{self.patient}".encode()).digest()
        return not self.test and int.from_bytes(digest[:8]) < VALIDATION_SHARE * 2**64


def read_manifest(folder: Path) -> tuple[Film, ...]:
    """Read every line of a folder's manifest.

    Raises
    ------
    DataUnusable
        The manifest or a file in it is missing, or a line makes no sense.
    """
    manifest = folder / MANIFEST
    try:
        with manifest.open(newline="", encoding="utf-8") as lines:
            table = csv.DictReader(lines)
            missing = _REQUIRED - set(table.fieldnames or ())
            if missing:
                raise DataUnusable(manifest, f"has no column {', '.join(sorted(missing))}")
            # Test films come first, so that of two equal ones the training film is the duplicate.
            rows = sorted(table, key=lambda row: row.get("split") != "test")
    except OSError as error:
        raise DataUnusable(manifest, "cannot be read") from error
    return tuple(_films(folder, rows))


def _films(folder: Path, rows: Iterable[dict[str, str]]) -> Iterator[Film]:
    seen: set[bytes] = set()
    for row in rows:
        path = folder / row["file"]
        if row["label"] not in _LABELS:
            raise DataUnusable(path, f"label is not one of {', '.join(sorted(_LABELS))}")
        try:
            digest = hashlib.sha256(path.read_bytes()).digest()
        except OSError as error:
            raise DataUnusable(path, "named in the manifest, cannot be read") from error
        opacity = row["label"] == "pneumonia" or bool(
            _OPACITIES & set((row.get("findings") or "").split("|"))
        )
        yield Film(
            path=path,
            patient=row["patient"],
            source=row.get("source") or "site",
            positive=True if opacity else False if row["label"] == "normal" else None,
            test=row.get("split") == "test",
            duplicate=digest in seen,
            view=row.get("view") or "",
            sex=row.get("sex") or "",
            age=float(row["age"]) if row.get("age") else None,
            subtype=row.get("subtype") or "",
            boxes=tuple(_box(box) for box in (row.get("boxes") or "").split("|") if box),
            probability=float(row["probability"]) if row.get("probability") else None,
        )
        seen.add(digest)


def _box(text: str) -> Box:
    left, top, width, height = (int(number) for number in text.split())
    return left, top, left + width, top + height


def load_film(path: Path) -> Radiograph:
    """Read a picture or a DICOM file as a radiograph.

    Raises
    ------
    DataUnusable
        The file is damaged, or a DICOM object that the node would not analyse either.
    """
    try:
        if path.suffix.lower() in _PICTURES:
            with Image.open(path) as picture:
                grey = np.asarray(picture.convert("L"), dtype=np.float32)
            return Radiograph(grey / np.float32(255.0))
        return read_radiograph(pydicom.dcmread(path))
    except (OSError, ImageRejected, pydicom.errors.InvalidDicomError) as error:
        raise DataUnusable(path, "is no picture that can be read") from error


def labels(films: Iterable[Film]) -> NDArray[np.bool_]:
    """1 for pneumonia, 0 for normal; only films with a label may be asked."""
    return np.array([film.positive for film in films], dtype=np.bool_)
