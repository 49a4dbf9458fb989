"""``[tls]``: the node's own certificate, and whom it trusts; every connection that says ``tls = true`` goes by it."""

from config.section import Section
from config.values import OptionalSettingsPath


class TlsSettings(Section):
    """``[tls]``: files in PEM, read again when they change."""

    certificate_file: OptionalSettingsPath = None  # None: no TLS but to web services
    key_file: OptionalSettingsPath = None
    authorities_file: OptionalSettingsPath = None
    revoked_file: OptionalSettingsPath = None  # None: nobody is asked whether a certificate was revoked
