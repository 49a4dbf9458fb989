"""The heatmap as a DICOM object: a Secondary Capture in colour (PS3.3 A.8.1), which every viewer shows."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_node.results.codes import SOURCE_IMAGE, code_item
from dicom_node.results.encoding import quiet
from dicom_node.results.equipment import MANUFACTURER, software_versions
from dicom_node.results.frame import begin_result
from dicom_node.results.heatmap_picture import draw_heatmap
from dicom_node.results.source import add_empty, copy_elements, orientation_of, reference_to, text_of
from dicom_node.results.study import StudyReading
from dicom_node.results.wording import BURNED_IN_DISCLAIMER, DISCLAIMER, plain_text
from inference.radiograph import Radiograph

HEATMAP_SERIES_NUMBER = 9102
_RADIOGRAPHY = ("CR", "DX")


def build_heatmap(
    study: StudyReading, radiograph: Radiograph, modality: Literal["source", "OT"], longest_side: int = 0
) -> Dataset:
    """Build the heatmap of the study's leading film.

    Parameters
    ----------
    radiograph
        The film as a viewer shows it.
    modality
        What the object says of its modality: the source's, with which OHIF 3.13 shows it as it is, or OT, with
        which it opens its cine bar over the picture.
    longest_side
        Rows or columns that the film has in the picture at most; 0: its own.

    Raises
    ------
    ValueError
        The model has no answer for any film of this study.
    """
    film = study.leading_film
    if film.prediction is None:
        raise ValueError("there is no heatmap of a film that was not analysed")
    source = text_of(film.header, "Modality")
    with quiet():
        image = begin_result(
            study,
            "heatmap",
            SecondaryCaptureImageStorage,
            source if modality == "source" and source in _RADIOGRAPHY else "OT",
            HEATMAP_SERIES_NUMBER,
        )
        _describe_capture(image, study)
        _describe_image(image, film.header)
        _write_pixels(image, draw_heatmap(radiograph.pixels, film.prediction, study.card, longest_side))
    return image


def _describe_capture(image: Dataset, study: StudyReading) -> None:
    """SC Equipment and SC Image modules (PS3.3 C.8.6.1 and C.8.6.2).

    Pixel Spacing is left out: measured in the bands around the film it would be wrong.
    """
    image.ConversionType = "WSD"
    image.DateOfSecondaryCapture = image.ContentDate
    image.TimeOfSecondaryCapture = image.ContentTime
    image.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    image.SecondaryCaptureDeviceManufacturerModelName = plain_text(study.card.name)
    image.SecondaryCaptureDeviceSoftwareVersions = software_versions(study.card)


def _describe_image(image: Dataset, header: Dataset) -> None:
    """General Image and General Reference modules (PS3.3 C.7.6.1 and C.12.4)."""
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.BurnedInAnnotation = "YES"
    image.RecognizableVisualFeatures = "NO"
    image.ImageComments = f"{BURNED_IN_DISCLAIMER}. {DISCLAIMER}"
    image.DerivationDescription = "Class activation map of a pneumonia classifier over the radiograph"
    if orientation_of(header) is not None:
        copy_elements(header, image, ["PatientOrientation"])
    add_empty(image, ["PatientOrientation"])
    if text_of(header, "LossyImageCompression") in ("00", "01"):
        copy_elements(header, image, ["LossyImageCompression"])
        if text_of(header, "LossyImageCompression") == "01":
            copy_elements(header, image, ["LossyImageCompressionRatio", "LossyImageCompressionMethod"])
    # A film that got an answer is of a chest, whatever its header calls it; and a chest needs no Laterality.
    image.BodyPartExamined = "CHEST"
    copy_elements(header, image, ["RequestAttributesSequence"])
    reference = reference_to(header)
    if reference is not None:
        source = reference.item()
        source.SpatialLocationsPreserved = "NO"  # the band above the film moves its pixels
        source.PurposeOfReferenceCodeSequence = [code_item(SOURCE_IMAGE)]
        image.SourceImageSequence = [source]


def _write_pixels(image: Dataset, picture: NDArray[np.uint8]) -> None:
    """Image Pixel module (PS3.3 C.7.6.3)."""
    image.Rows, image.Columns, image.SamplesPerPixel = picture.shape
    image.PhotometricInterpretation = "RGB"
    image.PlanarConfiguration = 0
    image.BitsAllocated = 8
    image.BitsStored = 8
    image.HighBit = 7
    image.PixelRepresentation = 0
    pixels = picture.tobytes()
    image.PixelData = pixels + b"\0" if len(pixels) % 2 else pixels
    image["PixelData"].VR = "OB"
