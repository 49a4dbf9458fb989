"""How the classifier is trained: `dicom-node train`."""
