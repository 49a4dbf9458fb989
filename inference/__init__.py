"""What looks at a picture: pixels -> suitability -> classifier -> heatmap; and how the classifier is trained.

Knows DICOM data sets and pictures; knows nothing of the network, the queue or the objects that are sent back.
"""
