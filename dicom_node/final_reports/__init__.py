"""Final reports that come by HL7 (ORU^R01 over MLLP): what a radiologist signed is a verdict on the node's answer."""
