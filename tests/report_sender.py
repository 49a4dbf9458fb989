"""A RIS for tests that sends final reports: the MLLP client of python-hl7, and the messages as it writes them."""

import ssl
from collections.abc import Iterable

import hl7
from hl7.client import MLLPClient

PRESENT, ABSENT, EQUIVOCAL = "52101004^Present^SCT", "272519000^Absent^SCT", "42425007^Equivocal^SCT"
FREE_TEXT = "No pneumonia. Müller^Jürgen has a canary in the text."


def report(
    accession_number: str = "ACC1",
    value: str = PRESENT,
    *,
    patient: str = "",
    status: str = "F",
    observed: str = "F",
    control_id: str = "M1",
    finding: str = "233604007^Pneumonia^SCT",
    device: str = "",
    header: str = "MSH|^~\\&|RIS|HOSPITAL|NODE|RADIOLOGY|20260301101500||ORU^R01^ORU_R01|{}|P|2.5.1",
    more: Iterable[str] = (),
) -> bytes:
    """A final report as a RIS sends it, without the frame."""
    order = [""] * 26
    order[0], order[1], order[3], order[4], order[25] = "OBR", "1", accession_number, "36643-5^XR^LN", status
    observation = [""] * 19
    observation[:6] = ["OBX", "2", "CWE", finding, "", value]
    observation[11], observation[18] = observed, device
    lines = [
        header.format(control_id),
        f"PID|1||{patient}||Doe^Jane",
        "ORC|RE",
        "|".join(order),
        f"OBX|1|TX|59776-5^Findings^LN||{FREE_TEXT}||||||F",
        "|".join(observation),
        *more,
    ]
    return "".join(f"{line}\r" for line in lines).encode()


class ReportSender:
    """Sends to a port, and reads the acknowledgements."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._client = MLLPClient("127.0.0.1", port)
        if tls is not None:
            self._client.socket = tls.wrap_socket(self._client.socket, server_hostname="127.0.0.1")

    def __enter__(self) -> "ReportSender":
        return self

    def __exit__(self, *_raised: object) -> None:
        self._client.close()

    def send(self, message: bytes) -> tuple[str, str, str]:
        """Return how it was acknowledged: MSA-1, MSA-2, and the error's code in ERR-3. Raises ConnectionError."""
        answer = self._client.send_message(message)
        if not answer:
            raise ConnectionError("closed without an acknowledgement")
        read = hl7.parse(answer.strip(b"\x0b\x1c\r").decode())
        errors = [str(segment[3]) for segment in read if str(segment[0]) == "ERR"]
        acknowledged = read.segment("MSA")
        return str(acknowledged[1]), str(acknowledged[2]), errors[0].split("^")[0] if errors else ""
