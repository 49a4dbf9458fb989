"""The images that were analysed, described for readers of the report: TID 1600 Image Library (PS3.16).

The template is optional. For a projection radiograph it demands orientation and pixel spacing (TID 1603), which old
CR readers do not write: then there is no library, rather than a guessed one.
"""

from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
)

from dicom_node.results.source import orientation_of, reference_to, size_of, spacing_of
from dicom_node.results.study import Film, StudyReading

_RADIOGRAPHS = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
)


def library_entries(study: StudyReading) -> list[Dataset] | None:
    """What highdicom needs to know of every analysed film; None where it is not known of all."""
    entries = [_entry(film) for film in study.predicted_films]
    described = [entry for entry in entries if entry is not None]
    return described if described and len(described) == len(entries) else None


def _entry(film: Film) -> Dataset | None:
    header = film.header
    reference, size, orientation = reference_to(header), size_of(header), orientation_of(header)
    spacing = spacing_of(header)
    if reference is None or size is None or orientation is None or spacing is None:
        return None
    if reference.sop_class_uid not in _RADIOGRAPHS:
        return None
    entry = Dataset()
    entry.SOPClassUID = reference.sop_class_uid
    entry.SOPInstanceUID = reference.sop_instance_uid
    entry.Modality = "CR" if reference.sop_class_uid == ComputedRadiographyImageStorage else "DX"
    entry.Rows, entry.Columns = size
    entry.PatientOrientation = list(orientation)
    entry.ImagerPixelSpacing = spacing
    return entry
