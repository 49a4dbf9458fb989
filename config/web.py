"""``[web]``: the pages of the radiologist and the administrator."""

from pydantic import Field

from config.section import Section
from config.values import Host


class WebSettings(Section):
    """``[web]``: where the pages are, and for how long somebody stays in."""

    enabled: bool = True
    host: Host = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)  # 0: any port that is free
    tls: bool = False
    session_minutes: float = Field(default=30.0, ge=1, le=1440)
