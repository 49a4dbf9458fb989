"""The hospital's single sign-on by OpenID Connect: the code flow with PKCE, state and nonce, as a confidential or a
public client (OpenID Connect Core 1.0 section 3.1; Discovery 1.0; RFC 7636; RFC 9207).

joserfc checks signatures, and this module what must stand in a token. The provider is asked by `dicom_node.https`: in
time, to a limit, without redirects. What it publishes of itself is kept for an hour; its keys are asked for again,
once a minute at most, where a token names one that is not among them.
"""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from joserfc import jwt
from joserfc.errors import ClaimError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from config.web import OidcSettings
from dicom_node.dicomweb import read_secret
from dicom_node.errors import DeliveryFault
from dicom_node.https import request
from dicom_node.tls import Tls

SECONDS = 10.0
"""For one request to the provider."""
AT_ONCE = 8
"""So many people may wait for the provider: each has a thread of the pages."""
KEPT_SECONDS = 3600.0
KEYS_AGAIN_SECONDS = 60.0
LEEWAY_SECONDS = 60
"""By which the provider's clock may be another than ours."""
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""By a key pair alone: never "none", and never by a secret that the node has, too."""
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class SignOnFailed(Exception):
    """Nobody comes in by it; the text says why, in words of the node alone."""


@dataclass(frozen=True, slots=True)
class Started:
    """What the browser keeps while somebody is at the provider, and shows when they come back."""

    state: str
    nonce: str
    verifier: str


class Provider:
    """A provider, with what it has published. Safe to share between threads.

    Parameters
    ----------
    back
        The URL of the node to which the provider sends people back.
    """

    def __init__(
        self, settings: OidcSettings, back: str, tls: Tls, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._back = back
        self._tls = tls
        self._clock = clock
        self._published: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(AT_ONCE)

    def begin(self) -> tuple[str, Started]:
        """Return the URL at the provider to which somebody is sent, and what their browser keeps meanwhile.

        Raises SignOnFailed.
        """
        started = Started(*(secrets.token_urlsafe(32) for _ in range(3)))
        digest = hashlib.sha256(started.verifier.encode("ascii")).digest()
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._back,
            "scope": self._settings.scope,
            "state": started.state,
            "nonce": started.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii"),
            "code_challenge_method": "S256",
        }
        with self._in_line():
            return _with_query(self._endpoint("authorization_endpoint"), asked), started

    def finish(self, started: Started, answered: Mapping[str, str]) -> tuple[str, list[str]]:
        """Return the name and the roles or groups of somebody who comes back with these parameters.

        Raises SignOnFailed.
        """
        if not hmac.compare_digest(answered.get("state", "").encode(), started.state.encode()):
            raise SignOnFailed("this is not the answer to what this browser asked; log in again")
        if "error" in answered:
            denied = answered["error"] == "access_denied"
            raise SignOnFailed(
                "it lets you in no further" if denied else "it does not do what the node asks for"
            )
        with self._in_line():
            if "iss" in answered and answered["iss"] != self._metadata()["issuer"]:
                raise SignOnFailed("the answer is another provider's")
            tokens = self._exchange(answered.get("code", ""), started.verifier)
            claims = self._checked(tokens, started.nonce)
            settings = self._settings
            if _claim(claims, settings.name_claim) is None or _claim(claims, settings.roles_claim) is None:
                claims |= self._user_info(str(tokens.get("access_token", "")), claims["sub"])
        name, roles = _claim(claims, settings.name_claim), _claim(claims, settings.roles_claim)
        if not isinstance(name, str):
            raise SignOnFailed("it gives no name: [web.oidc] name_claim")
        values = roles if isinstance(roles, list) else [roles]
        return name, [value for value in values if isinstance(value, str)]

    def out(self, back: str) -> str | None:
        """Return where somebody leaves the provider, too (RP-Initiated Logout 1.0), and comes back from; None: nowhere.

        Raises SignOnFailed.
        """
        with self._in_line():
            if "end_session_endpoint" not in self._metadata():
                return None
            asked = {"client_id": self._settings.client_id, "post_logout_redirect_uri": back}
            return _with_query(self._endpoint("end_session_endpoint"), asked)

    def _metadata(self) -> dict[str, Any]:
        with self._lock:
            now = self._clock()
            if self._published is None or now - self._published[0] > KEPT_SECONDS:
                found = self._ask("GET", f"{self._settings.issuer}/.well-known/openid-configuration", {})
                if str(found.get("issuer")).rstrip("/") != self._settings.issuer:
                    raise SignOnFailed("what it publishes is another issuer's")
                self._published, self._keys = (now, found), None
            return self._published[1]

    def _endpoint(self, name: str) -> str:
        url = self._metadata().get(name)
        parts = urlsplit(url if isinstance(url, str) else "")
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise SignOnFailed(f"it publishes no {name} with https")
        return str(url)

    def _key_set(self, *, anew: bool) -> KeySet:
        url = self._endpoint("jwks_uri")
        with self._lock:
            now = self._clock()
            if self._keys is None or (anew and now - self._keys[0] > KEYS_AGAIN_SECONDS):
                keys = self._ask("GET", url, {}).get("keys")
                of_pairs = [
                    key
                    for key in (keys if isinstance(keys, list) else [])
                    if isinstance(key, dict)
                    and key.get("kty") in ("RSA", "EC", "OKP")
                    and key.get("use") != "enc"
                ]
                try:
                    self._keys = now, KeySet.import_key_set({"keys": of_pairs})
                except (JoseError, ValueError, TypeError, KeyError) as error:
                    raise SignOnFailed("its keys cannot be read") from error
            return self._keys[1]

    def _exchange(self, code: str, verifier: str) -> dict[str, Any]:
        settings = self._settings
        sent = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._back,
            "client_id": settings.client_id,
            "code_verifier": verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if settings.client_secret_file is not None:
            secret = self._secret(settings.client_secret_file)
            if "client_secret_basic" in self._metadata().get(
                "token_endpoint_auth_methods_supported", ["client_secret_basic"]
            ):
                pair = (
                    f"{quote(settings.client_id, safe='')}:{quote(secret, safe='')}"  # RFC 6749 section 2.3.1
                )
                headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"
            else:
                sent["client_secret"] = secret
        return self._ask("POST", self._endpoint("token_endpoint"), headers, urlencode(sent).encode("ascii"))

    @staticmethod
    def _secret(file: Path) -> str:
        try:
            return read_secret(file, "client_secret_file")
        except DeliveryFault as fault:
            raise SignOnFailed(fault.reason) from fault

    def _checked(self, tokens: dict[str, Any], nonce: str) -> dict[str, Any]:
        """Return the claims of an ID token that is for this node and this login (Core 1.0 section 3.1.3.7)."""
        settings = self._settings
        required = jwt.JWTClaimsRegistry(
            now=int(self._clock()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._metadata()["issuer"]},
            sub={"essential": True},
            aud={"essential": True, "value": settings.client_id},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            claims = self._verified(str(tokens.get("id_token", "")))
            required.validate(claims)
        except ClaimError as error:
            raise SignOnFailed(f"its token is not for this login: {error.claim}") from error
        except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise SignOnFailed("its token is not signed by it") from error
        is_for_more = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if is_for_more else settings.client_id) != settings.client_id:
            raise SignOnFailed("its token is not for this login: azp")
        return claims

    def _verified(self, token: str) -> dict[str, Any]:
        try:
            return jwt.decode(token, self._key_set(anew=False), algorithms=ALGORITHMS).claims
        except InvalidKeyIdError:
            return jwt.decode(token, self._key_set(anew=True), algorithms=ALGORITHMS).claims

    def _user_info(self, token: str, subject: object) -> dict[str, Any]:
        """Return what the provider tells of the person besides (Core 1.0 section 5.3), if it does."""
        if "userinfo_endpoint" not in self._metadata():
            return {}
        headers = {"Authorization": f"Bearer {token}"} if token.isascii() and token.isprintable() else {}
        found = self._ask("GET", self._endpoint("userinfo_endpoint"), headers)
        if found.get("sub") != subject:
            raise SignOnFailed("what it tells is of somebody else")
        return found

    def _ask(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> dict[str, Any]:
        """Return the JSON object that the provider answers."""
        sent = {"Accept": "application/json", **headers}
        try:
            answer = request(
                method, url, sent, content, ca_file=self._settings.ca_file, tls=self._tls, seconds=SECONDS
            )
        except DeliveryFault as fault:
            raise SignOnFailed(f"it does not answer: {fault.reason}") from fault
        if answer.status != 200:
            raise SignOnFailed(f"it answers HTTP {answer.status}")
        try:
            found = json.loads(answer.content or b"")
        except (ValueError, RecursionError) as error:
            raise SignOnFailed("its answer cannot be read") from error
        if not isinstance(found, dict):
            raise SignOnFailed("its answer cannot be read")
        return found

    @contextmanager
    def _in_line(self) -> Iterator[None]:
        if not self._room.acquire(blocking=False):
            raise SignOnFailed("it is slow, and others wait for it; try again in a minute")
        try:
            yield
        finally:
            self._room.release()


def _claim(claims: Mapping[str, Any], name: str) -> object:
    """Return a claim by its name, or by the names that lead to one inside of others; None: it is not there."""
    if name in claims:
        return claims[name]
    first, _, rest = name.partition(".")
    inner = claims.get(first)
    return _claim(inner, rest) if rest and isinstance(inner, Mapping) else None


def _with_query(url: str, asked: Mapping[str, str]) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(asked)}"
