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

from config.settings import PriorsSettings
from dicom_node.errors import QueryFailed
from dicom_node.find import find
from dicom_node.header import is_uid
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
DAYS_OF_YEAR = 365.25
_SPECIAL = re.compile(r"[*?\\]")
"""Characters with a meaning of their own in a query (PS3.4 C.2.2.2.4)."""


@dataclass(frozen=True, slots=True)
class FilmInArchive:
    """Where an image lies."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


def earlier_films(association: Association, fetch: Fetch, limits: PriorsSettings) -> list[FilmInArchive]:
    """Return the images of the patient's latest earlier studies with radiographs, within the limits.

    Raises
    ------
    QueryFailed
        The archive does not answer as it should, or cannot be asked for this patient.
    """
    films: list[FilmInArchive] = []
    studies = 0
    for study in _studies(association, fetch, limits)[:LOOKED_INTO]:
        found = _films(association, study)
        if 0 < len(found) <= limits.images_per_study:
            films += found
            studies += 1
        if studies == limits.studies:
            break
    return films


def _studies(association: Association, fetch: Fetch, limits: PriorsSettings) -> list[str]:
    """Return the Study Instance UIDs of the patient's earlier studies, the latest first."""
    first, last = _dates(fetch, limits)
    wanted = _identifier("STUDY", StudyInstanceUID="", ModalitiesInStudy="", StudyDate=f"{first}-{last}")
    wanted.PatientID = fetch.patient_id
    wanted.IssuerOfPatientID = fetch.issuer_of_patient_id
    wanted.PatientBirthDate = fetch.patient_birth_date
    dates: dict[str, str] = {}
    for answer in find(association, wanted, MOST_ANSWERS):
        uid, date = _text(answer, "StudyInstanceUID"), _text(answer, "StudyDate")
        is_earlier = re.fullmatch("[0-9]{8}", date, re.ASCII) is not None and first <= date <= last
        modalities = _texts(answer, "ModalitiesInStudy")
        is_radiograph = not modalities or bool(modalities & MODALITIES)
        if is_uid(uid) and is_earlier and is_radiograph and _is_of_patient(answer, fetch):
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


def _dates(fetch: Fetch, limits: PriorsSettings) -> tuple[str, str]:
    """Return the first and the last day of what is earlier. Raises QueryFailed."""
    identifiers = (fetch.patient_id, fetch.issuer_of_patient_id)
    if not all(each.isascii() and not _SPECIAL.search(each) for each in identifiers):
        raise QueryFailed("the patient's ID has characters that cannot be asked for")
    try:
        taken = datetime.strptime(fetch.study_date, "%Y%m%d")
        datetime.strptime(fetch.patient_birth_date, "%Y%m%d")
        days = (taken - timedelta(days=limits.years * DAYS_OF_YEAR), taken - timedelta(days=1))
    except (ValueError, OverflowError) as error:
        raise QueryFailed("the study's date or the birth date is none") from error
    first, last = (f"{day:%Y%m%d}".zfill(8) for day in days)
    return first, last


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
