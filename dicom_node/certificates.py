"""What the files under `[tls]` hold, for people: whose certificates, until when, and what is wrong with them."""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from config.tls import TlsSettings
from dicom_node.errors import CertificatesUnusable
from dicom_node.tls import Tls

SOON_SECONDS = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """A file under `[tls]`: the subject of its first certificate, when that ends, and what is to be mended."""

    setting: str
    path: Path
    subject: str
    expires_at: float | None
    fault: str


def certificate_files(settings: TlsSettings, now: float) -> list[CertificateFile]:
    """Look at every file that is named, as a connection that is opened now would."""
    fault: CertificatesUnusable | None = None
    tls = Tls(settings)
    try:
        tls.check()
    except CertificatesUnusable as found:
        fault = found
    files = []
    for setting in type(settings).model_fields:
        path: Path | None = getattr(settings, setting)
        if path is None:
            continue
        subject, expires = _first_certificate(path) if setting != "revoked_file" else ("", None)
        said = fault.sentence if fault is not None and fault.setting == setting else _end(expires, now)
        if setting == "key_file" and not said and fault is None and tls.is_key_exposed:
            said = "can be read by others than the service's user: chmod 600"
        files.append(CertificateFile(setting, path, subject, expires, said))
    return files


def _first_certificate(path: Path) -> tuple[str, float | None]:
    try:
        [found, *_] = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):  # a key, or what `Tls.check` names
        return "", None
    return found.subject.rfc4514_string(), found.not_valid_after_utc.timestamp()


def _end(expires: float | None, now: float) -> str:
    if expires is None:
        return ""
    if expires < now:
        return "has expired: ask for a new one"
    return "ends soon: ask for a new one" if expires < now + SOON_SECONDS else ""
