"""Which earlier radiographs of a patient an archive holds: asked by C-FIND, study by study, and every answer checked.

An archive ignores keys that it does not support (PS3.4 C.2.2.1.1), and may answer with another patient's studies. What
does not say for itself whose it is, and of when, is left out.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
)
from pynetdicom.association import Association

from config.sections import PriorsSettings
from dicom_node.errors import QueryFailed
from dicom_node.find import find
from dicom_node.header import is_date, is_uid
from inference.suitability_tables import MODALITIES
from storage.records import Fetch

IMAGE_CLASSES = (
    str(ComputedRadiographyImageStorage),
    str(DigitalXRayImageStorageForPresentation),
    str(DigitalXRayImageStorageForProcessing),
)
MOST_ANSWERS = 1000
"""To one question; somebody in intensive care has a radiograph each day."""
LOOKED_INTO = 20
"""Studies; an archive may not say which of them are radiographs."""
FIRST_YEAR = 1900
"""Before it no date is a patient's."""
_SPECIAL = re.compile(r"[*?\\]")
"""Characters with a meaning of their own in a query (PS3.4 C.2.2.2.4)."""


@dataclass(frozen=True, slots=True)
class FilmInArchive:
    """Where an image lies."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


def unaskable(fetch: Fetch) -> str | None:
    """Say why no archive can be asked for this patient's earlier films; None where it can."""
    for identifier in (fetch.patient_id, fetch.issuer_of_patient_id):
        if not identifier.isascii() or _SPECIAL.search(identifier):
            return "the patient's ID has characters that cannot be asked for"
    for date in (fetch.study_date, fetch.patient_birth_date):
        try:
            is_possible = _day(date).year >= FIRST_YEAR
        except ValueError:
            is_possible = False
        if not is_possible:
            return "the study's date or the birth date is none"
    return None


def earlier_films(association: Association, fetch: Fetch, limits: PriorsSettings) -> list[FilmInArchive]:
    """Return the images of the patient's latest earlier studies with radiographs, within the limits.

    Raises
    ------
    QueryFailed
        The archive does not answer as it should, or not so that one could know whose films these are.
    """
    films: list[FilmInArchive] = []
    studies = 0
    for study in _studies(association, fetch, limits.years)[:LOOKED_INTO]:
        found = _films(association, study)
        if 0 < len(found) <= limits.images_per_study:
            films += found
            studies += 1
        if studies == limits.studies:
            break
    return films


def _studies(association: Association, fetch: Fetch, years: int) -> list[str]:
    """Return the Study Instance UIDs of the patient's earlier studies, the latest first."""
    day = _day(fetch.study_date)
    first, last = f"{day.replace(day=1, year=day.year - years):%Y%m%d}", f"{day - timedelta(days=1):%Y%m%d}"
    wanted = _identifier(
        "STUDY",
        PatientID=fetch.patient_id,
        IssuerOfPatientID=fetch.issuer_of_patient_id,
        PatientBirthDate=fetch.patient_birth_date,
        StudyDate=f"{first}-{last}",
        StudyInstanceUID="",
        ModalitiesInStudy="",
    )
    answers = find(association, wanted, MOST_ANSWERS)
    of_patient = [answer for answer in answers if _is_of_patient(answer, fetch)]
    if answers and not of_patient:
        raise QueryFailed("no answer to C-FIND is of a patient with this ID, issuer and birth date")
    dates: dict[str, str] = {}
    for answer in of_patient:
        uid, date = _text(answer, "StudyInstanceUID"), _text(answer, "StudyDate")
        is_earlier = is_date(date) and first <= date <= last
        modalities = _texts(answer, "ModalitiesInStudy")
        if is_uid(uid) and is_earlier and (not modalities or modalities & MODALITIES):
            dates[uid] = date
    dates.pop(fetch.study_instance_uid, None)
    return sorted(dates, key=lambda uid: (dates[uid], uid), reverse=True)


def _films(association: Association, study_instance_uid: str) -> list[FilmInArchive]:
    """Return the radiographs of a study."""
    of_study = _identifier("SERIES", StudyInstanceUID=study_instance_uid, SeriesInstanceUID="", Modality="")
    films = set()
    for series in find(association, of_study, MOST_ANSWERS):
        series_uid = _text(series, "SeriesInstanceUID")
        if not is_uid(series_uid) or _text(series, "Modality") not in MODALITIES:
            continue
        of_series = _identifier(
            "IMAGE",
            StudyInstanceUID=study_instance_uid,
            SeriesInstanceUID=series_uid,
            SOPInstanceUID="",
            SOPClassUID="",
        )
        for image in find(association, of_series, MOST_ANSWERS):
            uid, sop_class = _text(image, "SOPInstanceUID"), _text(image, "SOPClassUID")
            if is_uid(uid) and sop_class in ("", *IMAGE_CLASSES):
                films.add(FilmInArchive(study_instance_uid, series_uid, uid))
    return sorted(films, key=lambda film: film.sop_instance_uid)


def _day(written: str) -> datetime:
    return datetime.strptime(written, "%Y%m%d")


def _is_of_patient(answer: Dataset, fetch: Fetch) -> bool:
    return (
        _text(answer, "PatientID") == fetch.patient_id
        and _text(answer, "IssuerOfPatientID") == fetch.issuer_of_patient_id
        and _text(answer, "PatientBirthDate") == fetch.patient_birth_date
    )


def _identifier(level: str, **keys: str) -> Dataset:
    made = Dataset()
    made.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(made, keyword, value)
    return made


def _text(answer: Dataset, keyword: str) -> str:
    return str(answer.get(keyword) or "").strip(" \0")


def _texts(answer: Dataset, keyword: str) -> set[str]:
    value = answer.get(keyword) or ""
    values = value if isinstance(value, MultiValue) else [value]
    return {str(each).strip(" \0") for each in values} - {""}
