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
