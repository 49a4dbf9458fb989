"""The coded concepts of the results, each written once (PS3.16).

Checked against the standard's tables by a test, since a wrong code is a wrong statement that no validator sees.
"""

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

PNEUMONIA = Code("233604007", "SCT", "Pneumonia")
DISEASE = Code("64572001", "SCT", "Disease")
LUNG = Code("39607008", "SCT", "Lung")
# SNOMED CT; in no context group, TID 1410 takes any site.
RIGHT = Code("24028007", "SCT", "Right")
LEFT = Code("7771000", "SCT", "Left")
BILATERAL = Code("51440002", "SCT", "Bilateral")
RIGHT_LUNG = Code("3341006", "SCT", "Right lung")
LEFT_LUNG = Code("44029006", "SCT", "Left lung")
BOTH_LUNGS = Code("74101002", "SCT", "Both lungs")
BOUNDED_BY = Code("75958009", "SCT", "Bounded by")

# CID 240 Present-Absent
PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("272519000", "SCT", "Absent")
UNDETERMINED = Code("373068000", "SCT", "Undetermined")
# SNOMED CT; CID 240 has one word for what was looked at without an answer and for what was not looked at.
EQUIVOCAL = Code("42425007", "SCT", "Equivocal")

# CID 6047 CAD Processing and Findings Summary
FINDINGS_SUMMARY = Code("111017", "DCM", "CAD Processing and Findings Summary")
ALL_WITHOUT_FINDINGS = Code("111241", "DCM", "All algorithms succeeded; without findings")
ALL_WITH_FINDINGS = Code("111242", "DCM", "All algorithms succeeded; with findings")
SOME_WITHOUT_FINDINGS = Code("111243", "DCM", "Not all algorithms succeeded; without findings")
SOME_WITH_FINDINGS = Code("111244", "DCM", "Not all algorithms succeeded; with findings")
NONE_SUCCEEDED = Code("111245", "DCM", "No algorithms succeeded; without findings")

# Not 111047, which is the probability of cancer.
CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
PERCENT = Code("%", "UCUM", "Percent")
QUANTITY = Code("246205007", "SCT", "Quantity")
IMAGES = Code("{images}", "UCUM", "images")

# CID 6135 Image Quality Assessment
IMAGE_QUALITY = Code("111101", "DCM", "Image Quality")
NO_IMAGE = Code("111213", "DCM", "No image")
POSITIONING = Code("111209", "DCM", "Positioning")
IMAGE_PROCESSING = Code("111219", "DCM", "Inappropriate image processing")

# TID 1500 Measurement Report and what hangs on it
MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
LANGUAGE = Code("121049", "DCM", "Language of Content Item and Descendants")
OBSERVER_TYPE = Code("121005", "DCM", "Observer Type")
DEVICE_OBSERVER_UID = Code("121012", "DCM", "Device Observer UID")
DEVICE_OBSERVER_NAME = Code("121013", "DCM", "Device Observer Name")
DEVICE_OBSERVER_MANUFACTURER = Code("121014", "DCM", "Device Observer Manufacturer")
DEVICE_OBSERVER_MODEL = Code("121015", "DCM", "Device Observer Model Name")
DEVICE_OBSERVER_SERIAL_NUMBER = Code("121016", "DCM", "Device Observer Serial Number")
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure reported")
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
TRACKING_IDENTIFIER = Code("112039", "DCM", "Tracking Identifier")
TRACKING_UID = Code("112040", "DCM", "Tracking Unique Identifier")
FINDING_CATEGORY = Code("276214006", "SCT", "Finding category")
FINDING = Code("121071", "DCM", "Finding")
FINDING_SITE = Code("363698007", "SCT", "Finding Site")
LATERALITY = Code("272741003", "SCT", "Laterality")
PURPOSE_OF_REGION = Code("130400", "DCM", "Geometric purpose of region")
IMAGE_REGION = Code("111030", "DCM", "Image Region")
SOURCE = Code("260753009", "SCT", "Source")
SOURCE_OF_MEASUREMENT = Code("121112", "DCM", "Source of Measurement")
ALGORITHM_NAME = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_VERSION = Code("111003", "DCM", "Algorithm Version")
ALGORITHM_MANUFACTURER = Code("122405", "DCM", "Algorithm Manufacturer")
ALGORITHM_PARAMETERS = Code("111002", "DCM", "Algorithm Parameters")
ALGORITHM_FAMILY = Code("111000", "DCM", "Algorithm Family")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
ENGLISH = Code("en", "RFC5646", "English")
DEVICE = Code("121007", "DCM", "Device")
SUMMARY = Code("121111", "DCM", "Summary")
PREVIOUS_FINDING = Code("121069", "DCM", "Previous Finding")  # CID 7002 Diagnostic Imaging Report Element
COMMENT = Code("121106", "DCM", "Comment")
PRIORITY = Code("260870009", "SCT", "Priority")
URGENT = Code("103391001", "SCT", "Urgent")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
VISUAL_EXPLANATION = Code("130401", "DCM", "Visual explanation")

# TID 1600 Image Library
IMAGE_LIBRARY = Code("111028", "DCM", "Image Library")
IMAGE_LIBRARY_GROUP = Code("126200", "DCM", "Image Library Group")
MODALITY = Code("121139", "DCM", "Modality")
COMPUTED_RADIOGRAPHY = Code("CR", "DCM", "Computed Radiography")
DIGITAL_RADIOGRAPHY = Code("DX", "DCM", "Digital Radiography")
PIXEL_DATA_ROWS = Code("110910", "DCM", "Pixel Data Rows")
PIXEL_DATA_COLUMNS = Code("110911", "DCM", "Pixel Data Columns")
PIXELS = Code("{pixels}", "UCUM", "Pixels")
ORIENTATION_OF_ROWS = Code("111044", "DCM", "Patient Orientation Row")
ORIENTATION_OF_COLUMNS = Code("111043", "DCM", "Patient Orientation Column")
HORIZONTAL_SPACING = Code("111026", "DCM", "Horizontal Pixel Spacing")
VERTICAL_SPACING = Code("111066", "DCM", "Vertical Pixel Spacing")
MILLIMETRES = Code("mm", "UCUM", "mm")

# CID 7010 Key Object Selection Document Title
OF_INTEREST = Code("113000", "DCM", "Of Interest")

# CID 9231 General Purpose Workitem Definition
INTERPRETATION = Code("110005", "DCM", "Interpretation")

# Purposes of reference outside the content tree
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
SOURCE_IMAGE = Code("121322", "DCM", "Source Image for Image Processing Operation")


def code_item(code: Code) -> Dataset:
    """The code as an item of a code sequence (PS3.3 section 8.8)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item
