"""The commands of `dicom-node`, one a file: what it takes, what it does, what it prints."""
