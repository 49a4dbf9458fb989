"""How the classifier is trained and measured: `dicom-node train` and `dicom-node evaluate`."""
