"""The audit trail towards people and other systems: what is written of the settings and of who looks, the messages of
PS3.15 A.5, and their way to a syslog server. The records themselves are kept by `storage.audit`.
"""
