"""`dicom-node` that waits three seconds for an archive's answer instead of a minute: else its tests would."""

from dicom_node import associations
from dicom_node.cli import main

if __name__ == "__main__":
    associations.ANSWER_SECONDS = 3.0
    raise SystemExit(main())
