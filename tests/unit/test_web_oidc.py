"""A provider of single sign-on that lies, or fails, lets nobody in; one that is right gives name and roles."""

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import OctKey, RSAKey

from config.web import OidcSettings
from dicom_node.tls import NO_CERTIFICATES
from dicom_node.web.oidc import AT_ONCE, Provider, SignOnFailed, Started
from tests.scripted_provider import CLIENT, ScriptedProvider, scripted_provider

BACK = "https://cxr-node.example.org/single-sign-on/back"


@pytest.fixture(scope="module")
def key() -> RSAKey:
    return RSAKey.generate_key(2048)


@pytest.fixture
def peer(key: RSAKey) -> Iterator[ScriptedProvider]:
    with scripted_provider(key) as made:
        yield made


@pytest.fixture
def now() -> list[float]:
    """The clock of the node; the provider's goes by itself."""
    return [time.time()]


@pytest.fixture
def provider(peer: ScriptedProvider, now: list[float]) -> Provider:
    return made(peer, now)


def made(peer: ScriptedProvider, now: list[float], **settings: Any) -> Provider:
    asked = OidcSettings(issuer=peer.issuer, client_id=CLIENT, **settings)
    return Provider(asked, BACK, NO_CERTIFICATES, lambda: now[0])


def come_back(provider: Provider, peer: ScriptedProvider, **answered: str) -> tuple[str, list[str]]:
    _, started = provider.begin()
    peer.nonce = peer.nonce or started.nonce
    return provider.finish(started, {"code": "c0de", "state": started.state} | answered)


def refusal(provider: Provider, peer: ScriptedProvider, **answered: str) -> str:
    with pytest.raises(SignOnFailed) as raised:
        come_back(provider, peer, **answered)
    return str(raised.value)


def test_who_is_sent_there_shows_what_only_this_node_can_use(
    provider: Provider, peer: ScriptedProvider
) -> None:
    url, started = provider.begin()
    asked = {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}
    assert url.startswith(f"{peer.issuer}/authorize?")
    digest = hashlib.sha256(started.verifier.encode()).digest()
    assert asked == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": BACK,
        "scope": "openid profile",
        "state": started.state,
        "nonce": started.nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    assert len({started.state, started.nonce, started.verifier, provider.begin()[1].state}) == 4


def test_who_comes_back_has_name_and_roles(provider: Provider, peer: ScriptedProvider) -> None:
    assert come_back(provider, peer) == ("rita", ["radiologist"])
    [form] = [form for path, form, _ in peer.asked if path == "/token"]
    assert {name: form[name] for name in ("grant_type", "code", "redirect_uri")} == {
        "grant_type": ["authorization_code"],
        "code": ["c0de"],
        "redirect_uri": [BACK],
    }


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"iss": "https://elsewhere.example.org"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "another-client"}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": [CLIENT, "another-client"]}, "azp"),
        ({"azp": "another-client"}, "azp"),
        ({"nonce": "of another login"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"sub": None}, "sub"),
        ({"exp": int(time.time()) - 120}, "exp"),
        ({"exp": None}, "exp"),
        ({"exp": "tomorrow"}, "exp"),
        ({"iat": int(time.time()) + 3600}, "iat"),
        ({"nbf": int(time.time()) + 3600}, "nbf"),
    ],
)
def test_a_token_that_is_not_for_this_login_opens_nothing(
    provider: Provider, peer: ScriptedProvider, changed: dict[str, Any], said: str
) -> None:
    peer.claims = changed
    assert said in refusal(provider, peer)


def unsigned(claims: dict[str, Any]) -> str:
    parts = (json.dumps(each).encode() for each in ({"alg": "none"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


def test_a_token_without_a_signature_opens_nothing(provider: Provider, peer: ScriptedProvider) -> None:
    _, started = provider.begin()
    soon = int(time.time()) + 300
    claims = {"iss": peer.issuer, "sub": "1", "aud": CLIENT, "exp": soon, "iat": soon - 300}
    peer.token = unsigned(
        claims | {"nonce": started.nonce, "preferred_username": "x", "roles": ["administrator"]}
    )
    with pytest.raises(SignOnFailed, match="is not signed by it"):
        provider.finish(started, {"code": "c", "state": started.state})


def test_a_token_of_somebody_elses_key_opens_nothing(provider: Provider, peer: ScriptedProvider) -> None:
    peer.signing_key = RSAKey.generate_key(2048)
    assert "is not signed by it" in refusal(provider, peer)


def test_a_token_signed_by_what_everybody_knows_opens_nothing(
    provider: Provider, peer: ScriptedProvider
) -> None:
    """The client's secret, or a public key that is taken for one: RFC 8725 section 2.1."""
    peer.signing_key = OctKey.import_key("a secret that the node and its provider have, of any length")
    peer.algorithm = "HS256"
    assert "is not signed by it" in refusal(provider, peer)


@pytest.mark.parametrize(
    "token", ["", "a.b.c", "....", "e30.e30.e30", "\u0000", "W10.W10.", "e30." + "A" * 300_000]
)
def test_what_is_no_token_opens_nothing(provider: Provider, peer: ScriptedProvider, token: str) -> None:
    peer.token = token
    assert "is not signed by it" in refusal(provider, peer)


def test_another_state_another_issuer_or_a_refusal_opens_nothing(
    provider: Provider, peer: ScriptedProvider
) -> None:
    assert "not the answer to what this browser asked" in refusal(provider, peer, state="made up")
    assert "another provider's" in refusal(provider, peer, iss="https://elsewhere.example.org")
    assert "it lets you in no further" in refusal(provider, peer, error="access_denied")
    said = refusal(provider, peer, error="<b>server_error</b>", error_description="call 555")
    assert "server_error" not in said
    assert "555" not in said
    assert "/token" not in [path for path, _, _ in peer.asked]


def test_what_is_answered_to_another_verifier_is_not_ours(provider: Provider, peer: ScriptedProvider) -> None:
    _, started = provider.begin()
    peer.nonce = started.nonce
    provider.finish(Started(started.state, started.nonce, "v" * 43), {"code": "c", "state": started.state})
    [form] = [form for path, form, _ in peer.asked if path == "/token"]
    assert form["code_verifier"] == ["v" * 43]


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys", "/token"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), "HTTP 302"),
        ((500, {}, b"{}"), "HTTP 500"),
        ((200, {}, b"<html>"), "cannot be read"),
        ((200, {}, b"[]"), "cannot be read"),
        ((200, {}, b"[" * 100_000), "cannot be read"),
        ((200, {}, b" " * (1024 * 1024 + 1)), "cannot be read"),
    ],
)
def test_a_provider_that_answers_nonsense_or_sends_elsewhere_lets_nobody_in(
    provider: Provider,
    peer: ScriptedProvider,
    path: str,
    answer: tuple[int, dict[str, str], bytes],
    said: str,
) -> None:
    peer.answers[path] = answer
    assert said in refusal(provider, peer)


@pytest.mark.parametrize(
    ("published", "said"),
    [
        ({"issuer": "https://elsewhere.example.org"}, "another issuer's"),
        (
            {"authorization_endpoint": "http://elsewhere.example.org/authorize"},
            "authorization_endpoint with https",
        ),
        ({"token_endpoint": "ftp://elsewhere.example.org/token"}, "token_endpoint with https"),
        ({"jwks_uri": None}, "jwks_uri with https"),
        ({"token_endpoint": 7}, "token_endpoint with https"),
    ],
)
def test_what_it_publishes_must_be_its_own_and_safe_to_ask(
    provider: Provider, peer: ScriptedProvider, published: dict[str, Any], said: str
) -> None:
    peer.metadata = published
    assert said in refusal(provider, peer)


def test_a_provider_that_is_not_there_is_said_to_be_so(peer: ScriptedProvider, now: list[float]) -> None:
    gone = Provider(OidcSettings(issuer="http://127.0.0.1:1", client_id=CLIENT), BACK, NO_CERTIFICATES)
    with pytest.raises(SignOnFailed, match="no connection to this host and port"):
        gone.begin()


def test_a_provider_that_never_ends_its_answer_is_waited_for_in_time(
    provider: Provider, peer: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.web.oidc.SECONDS", 0.3)
    peer.answers["/.well-known/openid-configuration"] = (200, {"Transfer-Encoding": "chunked"}, b"")
    begun = time.monotonic()
    assert "it does not answer" in refusal(provider, peer)
    assert time.monotonic() - begun < 10


def test_what_it_publishes_is_kept_for_an_hour(
    provider: Provider, peer: ScriptedProvider, now: list[float]
) -> None:
    def asked() -> int:
        return len([path for path, _, _ in peer.asked if path.startswith("/.well-known")])

    for _ in range(3):
        provider.begin()
    assert asked() == 1
    now[0] += 3601
    provider.begin()
    assert asked() == 2


def test_a_new_key_is_asked_for_once_a_minute_at_most(
    provider: Provider, peer: ScriptedProvider, now: list[float]
) -> None:
    def asked() -> int:
        return len([path for path, _, _ in peer.asked if path == "/keys"])

    come_back(provider, peer)
    peer.key, peer.nonce = RSAKey.generate_key(2048), ""
    assert "is not signed by it" in refusal(provider, peer)
    assert asked() == 1
    now[0] += 61
    peer.nonce = ""
    assert come_back(provider, peer)[0] == "rita"
    assert asked() == 2


def test_keys_that_sign_nothing_are_left_out(provider: Provider, peer: ScriptedProvider) -> None:
    good = peer.key.as_dict(private=False, kid=peer.key.thumbprint())
    others = [
        {"kty": "oct", "k": "AAAA"},
        {"kty": "AKP", "pub": "AA"},
        "none",
        good | {"use": "enc", "kid": "e"},
    ]
    peer.answers["/keys"] = (200, {}, json.dumps({"keys": [*others, good]}).encode())
    assert come_back(provider, peer)[0] == "rita"
    peer.answers["/keys"] = (200, {}, json.dumps({"keys": [{"kty": "RSA", "n": "!", "e": "AQAB"}]}).encode())


def test_broken_keys_are_said_to_be_so(provider: Provider, peer: ScriptedProvider) -> None:
    peer.answers["/keys"] = (200, {}, json.dumps({"keys": [{"kty": "RSA", "e": "AQAB"}]}).encode())
    assert "its keys cannot be read" in refusal(provider, peer)


def test_what_the_token_does_not_tell_is_asked_for_and_must_be_of_the_same_person(
    provider: Provider, peer: ScriptedProvider
) -> None:
    peer.claims = {"roles": None}
    peer.user_info = {"roles": "viewer"}
    assert come_back(provider, peer) == ("rita", ["viewer"])
    assert peer.asked[-1][0] == "/me"
    assert peer.asked[-1][2] == "Bearer let-me"
    peer.user_info, peer.nonce = {"sub": "2", "roles": "administrator"}, ""
    assert "of somebody else" in refusal(provider, peer)


def test_roles_may_be_inside_of_other_claims_and_of_any_shape(
    peer: ScriptedProvider, now: list[float]
) -> None:
    provider = made(peer, now, roles_claim="realm_access.roles")
    peer.claims = {"realm_access": {"roles": ["radiologist", 7, None]}}
    assert come_back(provider, peer)[1] == ["radiologist"]
    peer.claims, peer.nonce = {"realm_access": "x"}, ""
    assert come_back(provider, peer)[1] == []


def test_a_name_that_is_none_opens_nothing(peer: ScriptedProvider, now: list[float]) -> None:
    peer.claims = {"preferred_username": {"a": 1}}
    assert "it gives no name" in refusal(made(peer, now), peer)


@pytest.mark.parametrize(
    ("methods", "in_header"), [(None, True), (["client_secret_post"], False), (["client_secret_basic"], True)]
)
def test_the_secret_goes_as_the_provider_takes_it(
    peer: ScriptedProvider, now: list[float], tmp_path: Path, methods: list[str] | None, in_header: bool
) -> None:
    (tmp_path / "secret").write_text("s:cret/\n")
    if methods:
        peer.metadata = {"token_endpoint_auth_methods_supported": methods}
    come_back(made(peer, now, client_secret_file=tmp_path / "secret"), peer)
    [(form, authorization)] = [(form, header) for path, form, header in peer.asked if path == "/token"]
    expected = "Basic " + base64.b64encode(b"cxr-node:s%3Acret%2F").decode()
    assert authorization == (expected if in_header else "")
    assert form.get("client_secret") == (None if in_header else ["s:cret/"])


def test_a_secret_that_is_not_there_is_said_to_be_so(
    peer: ScriptedProvider, now: list[float], tmp_path: Path
) -> None:
    provider = made(peer, now, client_secret_file=tmp_path / "none")
    assert "client_secret_file cannot be read" in refusal(provider, peer)


def test_so_many_wait_for_a_provider_and_no_more(provider: Provider, peer: ScriptedProvider) -> None:
    for _ in range(AT_ONCE):
        provider._room.acquire()
    assert "others wait for it" in refusal(provider, peer)


def test_where_one_leaves_it_is_its_own_page_or_none(provider: Provider, peer: ScriptedProvider) -> None:
    assert provider.out("https://cxr-node.example.org/login") is None


def test_where_one_leaves_it_comes_back_from_there(provider: Provider, peer: ScriptedProvider) -> None:
    peer.metadata = {"end_session_endpoint": f"{peer.issuer}/end?x=1"}
    url = provider.out("https://cxr-node.example.org/login")
    assert url is not None
    assert parse_qs(urlsplit(url).query) == {
        "x": ["1"],
        "client_id": [CLIENT],
        "post_logout_redirect_uri": ["https://cxr-node.example.org/login"],
    }
