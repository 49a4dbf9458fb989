"""The images that were analysed, described for readers of the report: TID 1600 Image Library (PS3.16).

The template is optional. For a projection radiograph it demands orientation and pixel spacing (TID 1603), which old
CR readers do not write: then there is no library, rather than a guessed one.
"""

from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
)

from dicom_node.results import codes
from dicom_node.results.content_items import Item, Relationship, code, container, image, number, text
from dicom_node.results.source import orientation_of, reference_to, size_of, spacing_of
from dicom_node.results.study import Film, StudyReading

_RADIOGRAPHS = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
)


def image_library(study: StudyReading) -> Item | None:
    """Every analysed film, described; None where one cannot be."""
    entries = [_entry(film) for film in study.predicted_films]
    described = [entry for entry in entries if entry is not None]
    if not described or len(described) < len(entries):
        return None
    group = container("CONTAINS", codes.IMAGE_LIBRARY_GROUP, described)
    return container("CONTAINS", codes.IMAGE_LIBRARY, [group])


def _entry(film: Film) -> Item | None:
    header = film.header
    reference, size, orientation = reference_to(header), size_of(header), orientation_of(header)
    spacing = spacing_of(header)
    if reference is None or size is None or orientation is None or spacing is None:
        return None
    if reference.sop_class_uid not in _RADIOGRAPHS:
        return None
    is_computed = reference.sop_class_uid == ComputedRadiographyImageStorage
    context: Relationship = "HAS ACQ CONTEXT"
    described = [
        code(
            context, codes.MODALITY, codes.COMPUTED_RADIOGRAPHY if is_computed else codes.DIGITAL_RADIOGRAPHY
        ),
        number(context, codes.PIXEL_DATA_ROWS, size[0], codes.PIXELS),
        number(context, codes.PIXEL_DATA_COLUMNS, size[1], codes.PIXELS),
        text(context, codes.ORIENTATION_OF_ROWS, orientation[0]),
        text(context, codes.ORIENTATION_OF_COLUMNS, orientation[1]),
        number(context, codes.HORIZONTAL_SPACING, spacing[1], codes.MILLIMETRES),
        number(context, codes.VERTICAL_SPACING, spacing[0], codes.MILLIMETRES),
    ]
    return image(
        "CONTAINS", codes.SOURCE, reference.sop_class_uid, reference.sop_instance_uid, below=described
    )
