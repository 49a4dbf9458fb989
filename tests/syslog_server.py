"""A syslog server for tests: rsyslog, as an administrator sets it up, in a process of its own."""

import signal
import subprocess
from pathlib import Path
from typing import NamedTuple, Self

from tests.certificates import Authority, Identity
from tests.peers import tool, wait_for
from tests.ports import free_port


class Received(NamedTuple):
    """What rsyslog made of a frame."""

    priority: str
    host: str
    program: str
    process: str
    message_id: str
    message: str


class SyslogServer:
    """rsyslog on a port of its own, over UDP, or over TLS, as this identity, for clients of this authority."""

    def __init__(self, folder: Path, tls: tuple[Authority, Identity] | None = None) -> None:
        self._executable = tool("rsyslogd")
        self._folder = folder
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        folder.mkdir()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self.stop()

    def start(self) -> None:
        output = self._folder / "received"
        output.touch()
        udp = f'module(load="imudp")\ninput(type="imudp" address="127.0.0.1" port="{self.port}")\n'
        configuration = self._folder / "rsyslog.conf"
        configuration.write_text(
            f"""global(maxMessageSize="64k" workDirectory="{self._folder}")
{udp if self._tls is None else self._over_tls()}
template(name="fields" type="string" string="%pri%\\t%hostname%\\t%app-name%\\t%procid%\\t%msgid%\\t%msg%\\n")
action(type="omfile" file="{output}" template="fields")
""",
            encoding="utf-8",
        )
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._executable, "-n", "-f", configuration, "-i", self._folder / "pid"],
                stdout=log,
                stderr=log,
            )
        wait_for(self._is_listening, 60, "rsyslog")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
            self._process = None

    def received(self) -> list[Received]:
        text = (self._folder / "received").read_text(encoding="utf-8")
        return [Received(*line.split("\t", 5)) for line in text.splitlines()]

    def _is_listening(self) -> bool:
        table = "udp" if self._tls is None else "tcp"
        return f":{self.port:04X} " in Path(f"/proc/net/{table}").read_text(encoding="ascii")

    def _over_tls(self) -> str:
        assert self._tls is not None
        authority, identity = self._tls
        return f"""global(
  defaultNetstreamDriverCAFile="{authority.certificate}"
  defaultNetstreamDriverCertFile="{identity.certificate}"
  defaultNetstreamDriverKeyFile="{identity.key}"
)
module(
  load="imtcp"
  streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="x509/certvalid"
)
input(type="imtcp" address="127.0.0.1" port="{self.port}")
"""
