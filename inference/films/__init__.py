"""Films to learn from and to measure on: a folder of pictures or DICOM files, and what is known of each."""
