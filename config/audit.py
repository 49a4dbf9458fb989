"""``[audit]``: where the audit trail is sent, beside the database."""

from typing import Literal

from pydantic import Field

from config.section import Section
from config.values import OptionalHost


class AuditSettings(Section):
    """``[audit]``: a syslog server that keeps what happens here where nobody of this machine can change it."""

    syslog_host: OptionalHost = ""  # nowhere
    syslog_port: int = Field(default=6514, ge=1, le=65535)
    syslog_protocol: Literal["tls", "udp"] = "tls"
