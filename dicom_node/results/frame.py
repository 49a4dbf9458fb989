"""What all results have in common: the study that they belong to, their series, their maker and their names."""

from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.results.equipment import describe_equipment
from dicom_node.results.source import (
    copy_elements,
    copy_patient_and_study,
    local_time,
    text_of,
    time_zone_of,
)
from dicom_node.results.study import StudyReading
from dicom_node.results.uids import derived_uid, device_uid, result_uid
from dicom_node.results.wording import series_description


def study_uid(study: StudyReading) -> UID:
    """The Study Instance UID of the results: the source's, or a made one where the source has none."""
    sources = [text_of(film.header, "SOPInstanceUID") for film in study.films]
    given = text_of(study.leading_film.header, "StudyInstanceUID")
    return UID(given) if given else derived_uid("study", *sources)


def uid_for(study: StudyReading, kind: str) -> UID:
    """The UID of one `kind` of thing made of this reading."""
    # of a corrected film another object is made: a node that was restored from a backup counts its reports anew, and an
    # archive keeps the one that it has of a UID
    sources = [text_of(film.header, "SOPInstanceUID") + film.version for film in study.films]
    return result_uid(study_uid(study), sources, device_uid(study.card), kind, study.revision)


def begin_result(
    study: StudyReading, what: str, sop_class: UID, modality: str, series_number: int
) -> Dataset:
    """Begin an object of a series of its own: `what` is its kind in a word that people read.

    Writes the Patient, Clinical Trial, General Study, Patient Study, General Series, General Equipment, Enhanced
    General Equipment and SOP Common modules (PS3.3 C.7.1 to C.7.5 and C.12.1), all but General Series' laterality.
    """
    header = study.leading_film.header
    result = Dataset()
    copy_patient_and_study(header, result)
    result.StudyInstanceUID = study_uid(study)
    result.SOPClassUID = sop_class
    result.SOPInstanceUID = uid_for(study, what)
    result.InstanceNumber = 1
    result.InstanceCreatorUID = device_uid(study.card)
    result.Modality = modality
    result.SeriesInstanceUID = uid_for(study, f"{what} series")
    result.SeriesNumber = series_number
    result.SeriesDescription = series_description(study.answer, what, study.revision)
    moment = local_time(header, study.reported_at)
    for when in ("InstanceCreation", "Series", "Content"):
        setattr(result, f"{when}Date", moment.strftime("%Y%m%d"))
        setattr(result, f"{when}Time", moment.strftime("%H%M%S"))
    if time_zone_of(header) is not None:
        copy_elements(header, result, ["TimezoneOffsetFromUTC"])
    copy_elements(header, result, ["InstitutionName", "InstitutionalDepartmentName"])
    describe_equipment(result, study.card, study.station_name, moment)
    return result
