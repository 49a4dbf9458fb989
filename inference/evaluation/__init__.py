"""How good a classifier is: `dicom-node evaluate`, and its figures in the documents."""
