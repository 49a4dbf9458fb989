"""How films come: a manifest of one's own, or a public set as it is downloaded, all read as lines of a manifest.

Kermany et al. 2018 (Cell 172:1122): ``chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg``. The 16 films of its
``val`` are too few to validate on and join the training.

NIH ChestX-ray14 (Wang et al. 2017, CVPR): ``Data_Entry_2017*.csv``, the pictures in ``images/`` or in
``images_001/images/`` and so on, ``test_list.txt`` and ``BBox_List_2017.csv`` where they are there. Part of the
pictures will do.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from math import exp, log2
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from inference.errors import DataUnusable

MANIFEST: Final = "manifest.csv"
PICTURES: Final = frozenset({".jpg", ".jpeg", ".png"})
OPACITIES: Final = frozenset({"Pneumonia", "Consolidation", "Infiltration"})
OLDEST_YEARS: Final = 120  # what is older is a mistake: NIH has ages of 411
_FAULTS_TOLD: Final = 10

Cells: TypeAlias = dict[str, str]
"""A line by column."""


class Line(NamedTuple):
    """What is known of one film, in the columns of a manifest; `place` is where a fault in it is mended."""

    place: str
    cells: Cells


class Listing(NamedTuple):
    """All films of a folder, as the file or folder `path` tells of them."""

    path: Path
    lines: Sequence[Line]


def list_films(folder: Path) -> Listing:
    """List the films of a folder by its manifest, else in Kermany's or NIH's layout.

    Raises
    ------
    DataUnusable
        None of the three is there, or it cannot be read.
    """
    if (folder / MANIFEST).exists():
        return _manifest(folder)
    kermany = folder / "chest_xray" if (folder / "chest_xray").is_dir() else folder
    if any(_kermany_parts(kermany)):
        return _kermany(folder, kermany)
    tables = sorted(folder.glob("Data_Entry_2017*.csv"))
    if tables:
        return _nih(folder, tables[-1])
    raise DataUnusable(
        folder,
        f"holds no {MANIFEST} (with columns file, label and patient), no chest_xray/train/NORMAL (Kermany) "
        "and no Data_Entry_2017.csv (NIH ChestX-ray14)",
    )


def refuse(path: Path, faults: Sequence[str]) -> None:
    """Stop if there are faults, telling all of them, or the first ten and how many more.

    Raises
    ------
    DataUnusable
        `faults` is not empty.
    """
    if not faults:
        return
    told = list(faults[:_FAULTS_TOLD])
    if len(faults) > len(told):
        told.append(f"and {len(faults) - len(told)} more")
    head = [] if len(faults) == 1 else [f"{len(faults)} faults"]
    raise DataUnusable(path, "\n  ".join(head + told))


def _table(path: Path, required: Collection[str]) -> Iterator[tuple[int, Cells]]:
    """The lines of a table with their numbers; cells that are missing at a line's end are empty."""
    try:
        # Excel's "CSV UTF-8" begins with a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="", restkey="")
            missing = sorted(set(required) - set(reader.fieldnames or ()))
            if missing:
                raise DataUnusable(
                    path, f"line 1: has no column {', '.join(missing)}; names stand there divided by commas"
                )
            for row in reader:
                row.pop("", None)  # what stands under no name
                yield reader.line_num, {name: cell.strip() for name, cell in row.items()}
    except OSError as error:
        raise DataUnusable(path, "cannot be read") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataUnusable(path, "is no CSV in UTF-8; save it as one") from error


def _manifest(folder: Path) -> Listing:
    rows = _table(folder / MANIFEST, {"file", "label"})
    return Listing(folder / MANIFEST, [Line(f"line {number}", cells) for number, cells in rows])


# --- Kermany ---------------------------------------------------------------------------------------------------------

# Bacterial and viral pneumonias are numbered apart: 979 numbers occur as both, and by its type a number is only ever
# in train or only in test, which is how that set was split.
_NORMAL_NAMES: Final = (
    re.compile(r"(?P<patient>(NORMAL2-)?IM-\d+)-\d+"),  # IM-0115-0001, NORMAL2-IM-1427-0001
    re.compile(r"(?P<patient>NORMAL-\d+)-\d+"),  # NORMAL-1049278-0001, the set's third version
)
_PNEUMONIA_NAMES: Final = (
    re.compile(r"person(?P<patient>\d+)_(?P<subtype>bacteria|virus)_\d+"),  # person1946_bacteria_4874
    re.compile(
        r"(?P<subtype>BACTERIA|VIRUS)-(?P<patient>\d+)-\d+"
    ),  # BACTERIA-1135262-0001, the third version
)
_KERMANY_LABELS: Final = {
    "NORMAL": ("normal", _NORMAL_NAMES),
    "PNEUMONIA": ("pneumonia", _PNEUMONIA_NAMES),
}


def _kermany_parts(root: Path) -> Iterator[Path]:
    for part in ("train", "val", "test"):
        yield from (root / part / name for name in _KERMANY_LABELS if (root / part / name).is_dir())


def _kermany(folder: Path, root: Path) -> Listing:
    lines, faults = [], []
    for part in _kermany_parts(root):
        label, names = _KERMANY_LABELS[part.name]
        for path in sorted(part.iterdir()):
            # Archives made on a Mac hold a .DS_Store in each folder, and sometimes a ._ file for each picture.
            if path.name.startswith(".") or path.suffix.lower() not in PICTURES:
                continue
            file = str(path.relative_to(folder))
            found = next((found for name in names if (found := name.match(path.name))), None)
            if found is None:
                faults.append(
                    f"{file}: its name tells no patient; write a {MANIFEST} with columns file, label, patient"
                )
                continue
            told = found.groupdict()
            subtype = told.get("subtype", "").lower()
            cells = {
                "file": file,
                "label": label,
                "patient": "-".join(filter(None, ("kermany", subtype, told["patient"]))),
                "source": "kermany",
                "split": "test" if part.parent.name == "test" else "train",
                "view": "AP",
                "subtype": subtype,
            }
            lines.append(Line(file, cells))
    refuse(root, faults)
    return Listing(root, lines)


# --- NIH ChestX-ray14 ------------------------------------------------------------------------------------------------

_NIH_COLUMNS: Final = frozenset(
    {"Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "View Position"}
)
# The heading "Bbox [x,y,w,h]" holds commas, and so is four.
_NIH_BOX_COLUMNS: Final = frozenset({"Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"})
_NIH_AGE: Final = re.compile(r"0*(\d{1,3})Y?")  # 58, in the first version 058Y
_NIH_OPACITIES: Final = frozenset(
    {"Pneumonia", "Infiltrate", "Consolidation"}
)  # as BBox_List_2017.csv calls them

# How far NIH's labels, mined from reports, tell whether a radiologist sees airspace opacity: log odds of a logistic
# regression (L2, C = 1) on adjudicated labels of NIH films (Majkowska et al. 2020, Radiology 294:421). Fitted on 4,037
# films of 1,585 patients: all 4,376 published but those of patients whose films validate the shipped model.
# Cross-validated by patient: AUC 0.82, Brier score 0.171 (0.189 without the follow-up number; 0.195 with a table by
# finding and view; 0.25 knowing the films' share of opacity alone).
_FITTED_INTERCEPT: Final = -2.52
_FITTED_FINDINGS: Final = {
    "Atelectasis": 0.28,
    "Cardiomegaly": -0.34,
    "Consolidation": 0.97,
    "Edema": 0.26,
    "Effusion": 1.47,
    "Emphysema": 0.01,
    "Fibrosis": 0.32,
    "Hernia": -0.69,
    "Infiltration": 0.65,
    "Mass": 1.16,
    "Nodule": 0.20,
    "Pleural_Thickening": 0.65,
    "Pneumonia": 1.12,
    "Pneumothorax": 0.70,
    "No Finding": 0.0,
}
_FITTED_AP: Final = 1.29
_FITTED_AP_WITHOUT_FINDING: Final = 0.51
_FITTED_FOLLOW_UP: Final = 0.44  # for each doubling of 1 + follow-up number: who is filmed often is ill


def opacity_probability(findings: Collection[str], follow_up: int) -> float:
    """How likely a radiologist sees airspace opacity on an NIH film of which the view is not known, 0 to 1.

    The view tells that a patient could not stand. That is true, and nothing that a classifier should learn.

    Parameters
    ----------
    findings
        The film's mined labels, in the set's words; "No Finding" alone if none.
    follow_up
        How many films of the patient were taken before this one.
    """
    log_odds = _FITTED_INTERCEPT + sum(_FITTED_FINDINGS[finding] for finding in findings)
    log_odds += _FITTED_FOLLOW_UP * log2(1 + follow_up)
    log_odds += (_FITTED_AP_WITHOUT_FINDING if "No Finding" in findings else _FITTED_AP) / 2
    return 1 / (1 + exp(-log_odds))


def training_aim(findings: Collection[str], follow_up: int) -> float:
    """What a classifier is taught of an NIH film: between what was mined and what radiologists say of such films.

    Half the mined label and half `opacity_probability`; that alone where the label is neither an opacity nor normal.
    """
    probability = opacity_probability(findings, follow_up)
    if "No Finding" in findings:
        return probability / 2
    return (1 + probability) / 2 if OPACITIES & set(findings) else probability


def _nih(folder: Path, table: Path) -> Listing:
    pictures = {
        path.name: path
        for pattern in ("images*/*.png", "images*/images/*.png")
        for path in folder.glob(pattern)
    }
    tested = _names(folder / "test_list.txt")
    boxes = _nih_boxes(folder / "BBox_List_2017.csv")
    lines, faults = [], []
    for number, row in _table(table, _NIH_COLUMNS):
        name = row["Image Index"]
        if name not in pictures:
            continue
        findings = row["Finding Labels"].split("|")
        if not (set(findings) <= set(_FITTED_FINDINGS) and row["Follow-up #"].isdecimal()):
            faults.append(
                f"line {number}: Finding Labels or Follow-up # not as NIH publishes them; download it again"
            )
            continue
        age = _NIH_AGE.fullmatch(row["Patient Age"])
        cells = {
            "file": str(pictures[name].relative_to(folder)),
            "label": _nih_label(findings),
            "patient": f"nih-{row['Patient ID']}",
            "source": "nih",
            "split": "test" if name in tested else "train",
            "findings": row["Finding Labels"],
            "probability": f"{training_aim(findings, int(row['Follow-up #'])):.3f}",
            "view": row["View Position"],
            "sex": row.get("Patient Gender") or row.get("Patient Sex", ""),
            "age": age[1] if age and int(age[1]) <= OLDEST_YEARS else "",
            "boxes": "|".join(boxes[name]),
        }
        lines.append(Line(f"line {number}", cells))
    refuse(table, faults)
    if not lines:
        raise DataUnusable(
            table,
            "none of its pictures is here; unpack the archives beside it, as images/ or images_001/images/",
        )
    return Listing(table, lines)


def _nih_label(findings: Collection[str]) -> str:
    if "Pneumonia" in findings:
        return "pneumonia"
    return "normal" if "No Finding" in findings else "other"


def _names(path: Path) -> frozenset[str]:
    """The lines of a list; none where there is no such list."""
    return frozenset(path.read_text(encoding="utf-8").split()) if path.exists() else frozenset()


def _nih_boxes(path: Path) -> defaultdict[str, list[str]]:
    """Boxes of opacities for each picture, in its 1024x1024 pixels; none where there is no such table."""
    boxes: defaultdict[str, list[str]] = defaultdict(list)
    if not path.exists():
        return boxes
    faults = []
    for number, row in _table(path, _NIH_BOX_COLUMNS):
        if row["Finding Label"] not in _NIH_OPACITIES:
            continue
        try:
            sides = [round(float(row[side])) for side in ("Bbox [x", "y", "w", "h]")]
        except ValueError:
            faults.append(f"line {number}: not as NIH publishes it; download it again")
        else:
            boxes[row["Image Index"]].append(" ".join(map(str, sides)))
    refuse(path, faults)
    return boxes
