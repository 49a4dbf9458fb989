"""A hospital with a PKI: its authority, and the certificates of the node, of a sender and of an archive."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from tests.certificates import Authority, Identity


@dataclass
class Hospital:
    """An authority, another one, and who has a certificate of the first."""

    folder: Path
    authority: Authority
    stranger: Authority
    node_identity: Identity
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

    def revoke(self, *identities: Identity) -> None:
        """Publish a list of these alone."""
        (self.folder / "revoked-list.pem").write_bytes(self.authority.revoked(*identities))

    def bad(self, kind: str) -> Identity:
        """A certificate that is bad in this way."""
        if kind == "revoked":
            return self.revoked
        if kind == "of another authority":
            return self.stranger.issue("stranger")
        return self.authority.issue(
            kind.replace(" ", "-"),
            ("192.0.2.1",) if kind == "wrong host" else ("127.0.0.1", "localhost"),
            expired=kind == "expired",
            self_signed=kind == "self-signed",
        )

    def settings(self) -> str:
        """The section of the node's settings, and a model that says likely."""
        return f"""
[model]
uncertain = [0, 0]
[tls]
certificate_file = "{self.node_identity.certificate}"
key_file = "{self.node_identity.key}"
authorities_file = "{self.authority.certificate}"
revoked_file = "{self.folder}/revoked-list.pem"
"""

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

    def server(self) -> ssl.SSLContext:
        """The context of another server, Python's own, that wants to see a certificate of the hospital."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.archive.certificate, self.archive.key)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.authority.certificate)
        return context
