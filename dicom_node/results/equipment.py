"""The node as a piece of equipment: what it calls itself in every object that it makes.

PS3.3 C.7.5.1 (General Equipment), C.7.5.2 (Enhanced General Equipment) and C.12.1.1.5 (Contributing Equipment);
PS3.16 TID 1004 (Device Observer).
"""

from datetime import datetime

from highdicom.sr import CodedConcept, DeviceObserverIdentifyingAttributes, ObserverContext
from pydicom.dataset import Dataset

from dicom_node.results.codes import DEVICE, PROCESSING_EQUIPMENT, code_item
from dicom_node.results.uids import device_uid
from dicom_node.results.wording import plain_text
from dicom_node.version import package_version
from inference.card import ModelCard

MANUFACTURER = "DICOM Node project"
"""Also how the receiver knows the node's own results when they come back."""

_DIGEST_SHOWN = 12


def software_versions(card: ModelCard) -> list[str]:
    """The package's version, then the model's with the start of its hash, which tells two trainings apart."""
    return [plain_text(package_version()), plain_text(f"{card.version}+{card.sha256[:_DIGEST_SHOWN]}")]


def describe_equipment(result: Dataset, card: ModelCard, station_name: str, contributed_at: datetime) -> None:
    """Write who made `result`; a program has no serial number, so its place in the network stands for one."""
    _describe(result, card, station_name)
    result.DeviceSerialNumber = plain_text(station_name)
    contribution = Dataset()
    contribution.PurposeOfReferenceCodeSequence = [code_item(PROCESSING_EQUIPMENT)]
    _describe(contribution, card, station_name)
    contribution.ContributionDateTime = contributed_at.strftime("%Y%m%d%H%M%S%z")
    contribution.ContributionDescription = "Search for signs of pneumonia by a neural network"
    result.ContributingEquipmentSequence = [contribution]


def author(card: ModelCard, station_name: str) -> Dataset:
    """The node as an item of Author Observer Sequence (PS3.3 C.17.2, Identified Person or Device macro)."""
    item = Dataset()
    item.ObserverType = "DEV"
    item.StationName = plain_text(station_name, 16)
    item.DeviceUID = device_uid(card)
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = plain_text(card.name)
    item.InstitutionName = ""
    item.InstitutionCodeSequence = []
    return item


def observer(card: ModelCard, station_name: str) -> ObserverContext:
    """The node as the observer that a content tree speaks of."""
    device = DeviceObserverIdentifyingAttributes(
        uid=device_uid(card),
        name=plain_text(station_name),
        manufacturer_name=MANUFACTURER,
        model_name=plain_text(card.name),
        serial_number=plain_text(station_name),
    )
    return ObserverContext(CodedConcept.from_code(DEVICE), device)


def _describe(dataset: Dataset, card: ModelCard, station_name: str) -> None:
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = plain_text(card.name)
    dataset.StationName = plain_text(station_name, 16)
    dataset.SoftwareVersions = software_versions(card)
    dataset.DeviceUID = device_uid(card)
