"""A hospital with a PKI: its authority, and the certificates of the node, of a sender and of an archive."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from config.tls import TlsSettings
from dicom_node.tls import Tls
from tests.certificates import LOOPBACK, Authority, Identity

OTHER_HOSTS = {"of another host": ("ris.example.org",), "of another address": ("192.0.2.1",)}


@dataclass
class Hospital:
    """An authority, another one, and who has a certificate of the first."""

    folder: Path
    authority: Authority
    stranger: Authority
    node: Identity
    sender: Identity
    archive: Identity
    revoked: Identity

    @classmethod
    def made(cls, folder: Path) -> "Hospital":
        folder.mkdir()
        authority, stranger = Authority(folder), Authority(folder, "elsewhere")
        identities = [authority.issue(name) for name in ("node", "sender", "archive", "revoked")]
        made = cls(folder, authority, stranger, *identities)
        made.revoke(made.revoked)
        return made

    @property
    def revoked_file(self) -> Path:
        return self.folder / "revoked-list.pem"

    def revoke(self, *identities: Identity) -> None:
        """Publish a list of these alone."""
        self.revoked_file.write_bytes(self.authority.revoked(*identities))

    def bad(self, kind: str) -> Identity:
        """A certificate that is bad in this way."""
        if kind == "revoked":
            return self.revoked
        if kind == "of another authority":
            return self.stranger.issue("stranger")
        return self.authority.issue(
            kind.replace(" ", "-"),
            OTHER_HOSTS.get(kind, LOOPBACK),
            expired=kind == "expired",
            self_signed=kind == "self-signed",
        )

    def files(self) -> dict[str, Path]:
        """The node's `[tls]`."""
        return {
            "certificate_file": self.node.certificate,
            "key_file": self.node.key,
            "authorities_file": self.authority.certificate,
            "revoked_file": self.revoked_file,
        }

    def tls(self, **changed: Path) -> Tls:
        """What the node makes of its settings."""
        return Tls(TlsSettings(**{**self.files(), **changed}))

    def settings(self) -> str:
        """The section of the node's settings file, and a model that says likely."""
        files = "\n".join(f'{setting} = "{file}"' for setting, file in self.files().items())
        return f"[model]\nuncertain = [0, 0]\n[tls]\n{files}\n"

    def storescu(self, identity: Identity) -> str:
        """storescu's options, to show this certificate."""
        return f"+tls {identity.key} {identity.certificate} +cf {self.authority.certificate}"

    def orthanc(self) -> dict[str, object]:
        """Orthanc's settings, with the archive's certificate."""
        return {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(self.archive.certificate),
            "DicomTlsPrivateKey": str(self.archive.key),
            "DicomTlsTrustedCertificates": str(self.authority.certificate),
            "DicomTlsRemoteCertificateRequired": True,
        }

    def server(self, identity: Identity | None = None, authority: Authority | None = None) -> ssl.SSLContext:
        """The context of a peer that is not ours: Python's own, and it asks for certificates."""
        return self._peer(ssl.PROTOCOL_TLS_SERVER, identity or self.archive, authority or self.authority)

    def client(self) -> ssl.SSLContext:
        """The context of a sender."""
        return self._peer(ssl.PROTOCOL_TLS_CLIENT, self.sender, self.authority)

    def _peer(self, protocol: int, identity: Identity, authority: Authority) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.load_cert_chain(identity.certificate, identity.key)
        context.load_verify_locations(authority.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        return context
