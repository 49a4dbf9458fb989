"""The films in a folder. It holds one of these, looked for in this order:

manifest.csv (UTF-8, commas) and the pictures (JPEG, PNG) or DICOM files that it names. Its columns:

  file         path relative to the folder
  label        normal, pneumonia, or other (other findings)
  patient      who it is; a patient's films are never on both sides of a split
  source       optional: which hospital or set; the figures are told for each, and the same films of each are drawn
               in training. Films that name none are one hospital's, in whatever folder they are
  split        optional: test keeps a film, and all films of its patient, for the final figures; train or nothing is
               for training and validation
  findings     optional: divided by |; Pneumonia, Consolidation and Infiltration are opacities under any label
  probability  optional: 0 to 1, how likely the film shows an opacity where the label is uncertain; training aims
               at it instead of the label, figures never use it
  view         optional: AP or PA
  sex          optional: F, M or O
  age          optional: years
  subtype      optional: bacteria or virus
  boxes        optional: where opacities are known, in pixels of the file: x y width height, divided by |

For DICOM files, patient, view, sex and age are read from the header where the manifest does not tell.

chest_xray, the children's films of Kermany et al. 2018, as they are downloaded.

Data_Entry_2017.csv and images of NIH ChestX-ray14, as they are downloaded, all or some; training aims between each
film's mined labels and what radiologists said of such films.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.dicom_file import open_dicom, silenced
from inference.errors import DataUnusable, ImageRejected
from inference.films.layouts import OLDEST_YEARS, OPACITIES, PICTURES, Cells, list_films, refuse
from inference.header import text
from inference.radiograph import Radiograph, read_radiograph
from inference.suitability import age_in_years

VALIDATION_SHARE: Final = 0.2
_SITE: Final = "site"  # the source of films that name none
_WORDS: Final = {
    "label": ("normal", "pneumonia", "other"),
    "split": ("train", "test", ""),
    "view": ("AP", "PA", ""),
    "sex": ("F", "M", "O", ""),
    "subtype": ("bacteria", "virus", ""),
}

Box: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Film:
    """One film and what is known of it.

    `positive` is the label: None for films with other findings only (atelectasis, effusion, a mass), too near to
    pneumonia to be called negative. Figures use it alone. `probability` is how likely the film shows an opacity where
    the label is uncertain; `target` is what is learnt from the two. `duplicate` marks the same bytes as an earlier
    film's. `age` is in years, None if unknown; `view`, `sex` and `subtype` are empty if unknown; `boxes` are known
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

        Decided by source and patient alone, so films that are added later move nobody from one side to the other.
        """
        digest = hashlib.sha256(f"{self.source}/{self.patient}".encode()).digest()
        return not self.test and int.from_bytes(digest[:8]) < VALIDATION_SHARE * 2**64


def read_films(*folders: Path) -> tuple[Film, ...]:
    """Read what folders tell of their films, in any of the ways that this module's text describes.

    Raises
    ------
    DataUnusable
        A folder is none of them, or lines of it make no sense. All its faults are told at once, and not the values,
        which may be a patient's.
    """
    complete = [(folder, cells) for folder in folders for cells in _complete(folder)]
    # Test films come first, so that of two equal ones the training film is the duplicate.
    complete.sort(key=lambda film: film[1].get("split") != "test")
    return tuple(_films(complete))


def _complete(folder: Path) -> list[Cells]:
    """The lines of one folder, with what their files' headers tell."""
    listing = list_films(folder)
    tested = {_whose(line.cells) for line in listing.lines if line.cells.get("split") == "test"}
    complete, faults = [], []
    for line in listing.lines:
        path, found = folder / line.cells["file"], list(_faults(line.cells))
        try:
            cells = line.cells if path.suffix.lower() in PICTURES else _with_header(line.cells, path)
            if not path.is_file():
                found.append("file: there is no such file")
            elif not cells.get("patient"):
                found.append("patient: write who it is; only a DICOM file's header can tell instead")
            elif cells.get("split") != "test" and _whose(cells) in tested:
                found.append("split: this patient has test films; write test here too")
        except ImageRejected:
            found.append("file: neither a picture (.png, .jpg) nor a DICOM file that can be read")
        except OSError:
            found.append("file: cannot be read")
        if found:
            faults += [f"{line.place}: {fault}" for fault in found]
        else:
            complete.append(cells)
    refuse(listing.path, faults)
    return complete


def _whose(cells: Cells) -> tuple[str, str]:
    return cells.get("source") or _SITE, cells.get("patient", "")


def _with_header(cells: Cells, path: Path) -> Cells:
    """Fill in from a DICOM file's header what a line does not tell."""
    if not path.is_file() or all(cells.get(column) for column in ("patient", "view", "sex", "age")):
        return cells
    with silenced():
        dataset = open_dicom(path, header_only=True)
        age = age_in_years(dataset)
        header = {"patient": text(dataset, "PatientID")}
        header |= {
            column: word
            for column, keyword in (("view", "ViewPosition"), ("sex", "PatientSex"))
            if (word := text(dataset, keyword)) in _WORDS[column]
        }
    if age is not None and age <= OLDEST_YEARS:
        header["age"] = str(age)
    return header | {column: cell for column, cell in cells.items() if cell}


def _faults(cells: Cells) -> Iterator[str]:
    """What a line tells in words or numbers that mean nothing."""
    for column, words in _WORDS.items():
        if cells.get(column, "") not in words:
            yield f"{column}: write {', '.join(filter(None, words))}{' or nothing' if '' in words else ''}"
    for column, (read, meaning) in _NUMBERS.items():
        try:
            read(cells.get(column, ""))
        except ValueError:
            yield f"{column}: write {meaning}, or nothing"


def _age(cell: str) -> float | None:
    return _between(cell, OLDEST_YEARS)


def _probability(cell: str) -> float | None:
    return _between(cell, 1.0)


def _between(cell: str, highest: float) -> float | None:
    if not cell:
        return None
    number = float(cell)
    if not 0 <= number <= highest:
        raise ValueError
    return number


def _boxes(cell: str) -> tuple[Box, ...]:
    boxes = []
    for box in filter(None, cell.split("|")):
        left, top, width, height = (int(number) for number in box.split())
        if min(left, top) < 0 or min(width, height) < 1:
            raise ValueError
        boxes.append((left, top, left + width, top + height))
    return tuple(boxes)


_NUMBERS: Final[dict[str, tuple[Callable[[str], object], str]]] = {
    "age": (_age, "years, 0 to 120"),
    "probability": (_probability, "a number from 0 to 1"),
    "boxes": (_boxes, "x y width height in whole pixels, boxes divided by |"),
}


def _films(lines: Sequence[tuple[Path, Cells]]) -> Iterator[Film]:
    paths = [folder / cells["file"] for folder, cells in lines]
    sizes = [path.stat().st_size for path in paths]
    shared = {size for size, times in Counter(sizes).items() if times > 1}
    seen: set[bytes] = set()
    for path, size, (_, cells) in zip(paths, sizes, lines, strict=True):
        # Only films of one size can be equal: a hundred thousand need not all be read.
        digest = hashlib.sha256(path.read_bytes()).digest() if size in shared else None
        opacity = cells["label"] == "pneumonia" or bool(OPACITIES & set(cells.get("findings", "").split("|")))
        yield Film(
            path=path,
            patient=cells["patient"],
            source=cells.get("source") or _SITE,
            positive=True if opacity else False if cells["label"] == "normal" else None,
            test=cells.get("split") == "test",
            duplicate=digest in seen,
            view=cells.get("view", ""),
            sex=cells.get("sex", ""),
            age=_age(cells.get("age", "")),
            subtype=cells.get("subtype", ""),
            boxes=_boxes(cells.get("boxes", "")),
            probability=_probability(cells.get("probability", "")),
        )
        if digest is not None:
            seen.add(digest)


def load_film(path: Path) -> Radiograph:
    """Read a picture or a DICOM file as a radiograph.

    Raises
    ------
    DataUnusable
        The file is damaged, or a DICOM object that the node would not analyse either.
    """
    try:
        if path.suffix.lower() in PICTURES:
            return Radiograph(_grey(path))
        with silenced():
            return read_radiograph(open_dicom(path))
    except OSError as error:
        raise DataUnusable(path, "is no picture that can be read") from error
    except ImageRejected as rejection:
        raise DataUnusable(path, f"cannot be read as a radiograph: {rejection}") from rejection


def _grey(path: Path) -> NDArray[np.float32]:
    """A picture's grey values, 0..1; colours are made grey."""
    with Image.open(path) as picture:
        if picture.mode.startswith("I"):  # 16 bits, which Pillow would clip to 8
            return np.asarray(picture, dtype=np.float32) / np.float32(65535.0)
        return np.asarray(picture.convert("L"), dtype=np.float32) / np.float32(255.0)


def labels(films: Iterable[Film]) -> NDArray[np.bool_]:
    """1 for pneumonia, 0 for normal; only films with a label may be asked."""
    return np.array([film.positive for film in films], dtype=np.bool_)
