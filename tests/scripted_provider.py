"""A provider of single sign-on that answers what a test has it answer, right or wrong (OpenID Connect Core 1.0)."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = "cxr-node"


@dataclass
class ScriptedProvider:
    """What it publishes and answers; a test changes any of it."""

    issuer: str
    key: RSAKey
    metadata: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    """Of the next ID token, beside those that it needs; None takes one away."""
    algorithm: str = "RS256"
    signing_key: Any = None
    token: str | None = None
    """The next ID token, where it is none that is made here."""
    nonce: str = ""
    user_info: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    """By path: what is answered there instead."""
    asked: list[tuple[str, dict[str, list[str]], str]] = field(default_factory=list)
    """Path, form and authorization of what came."""

    def answer(self, path: str, form: dict[str, list[str]], authorization: str) -> Any:
        self.asked.append((path, form, authorization))
        match path:
            case "/.well-known/openid-configuration":
                return {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.issuer}/authorize",
                    "token_endpoint": f"{self.issuer}/token",
                    "userinfo_endpoint": f"{self.issuer}/me",
                    "jwks_uri": f"{self.issuer}/keys",
                } | self.metadata
            case "/keys":
                return {"keys": [self.key.as_dict(private=False, kid=self.key.thumbprint(), use="sig")]}
            case "/token":
                return {"access_token": "let-me", "token_type": "Bearer", "id_token": self.id_token()}
            case "/me":
                return {"sub": "1"} | self.user_info
        return None

    def id_token(self) -> str:
        if self.token is not None:
            return self.token
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "1",
            "aud": CLIENT,
            "exp": now + 300,
            "iat": now,
            "nonce": self.nonce,
            "preferred_username": "rita",
            "roles": ["radiologist"],
        } | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        key = self.signing_key or self.key
        header = {"alg": self.algorithm, "kid": self.key.thumbprint()}
        return jwt.encode(header, claims, key, algorithms=[self.algorithm])


@contextmanager
def scripted_provider(key: RSAKey) -> Iterator[ScriptedProvider]:
    """Serve one at a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer(parse_qs(body))

        def _answer(self, form: dict[str, list[str]]) -> None:
            path = self.path.partition("?")[0]
            made = provider.answer(path, form, self.headers.get("Authorization", ""))
            status, headers, content = provider.answers.get(
                path, (200 if made is not None else 404, {}, json.dumps(made).encode())
            )
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_said: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = ScriptedProvider(f"http://127.0.0.1:{server.server_port}", key)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
