"""The ways out: one file for each protocol in which a destination takes results.

A channel knows its peer and nothing of queues: it takes one result and either says that it arrived or raises the fault
that says what to do about it. The sender (`dicom_node.sender`) does the rest, alike for all.
"""
