"""What must survive a crash: the database (queue, ledger, outbox, audit) and the object store.

Knows bytes, rows and states; does not know DICOM.
"""
