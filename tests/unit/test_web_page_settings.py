"""What an administrator is promised of [web] and [web.oidc]."""

import tomllib
from pathlib import Path

import pytest

from config.errors import SettingsFault
from config.load import check_settings
from config.settings import Settings

FILES = '[tls]\ncertificate_file = "node.pem"\nkey_file = "node.key"\n'
OIDC = '[web]\nurl = "https://pages.example.org"\n[web.oidc]\nissuer = "https://sso.example.org"\nclient_id = "x"\n'
PROXY = (
    '[web]\nproxy_addresses = ["10.0.0.1"]\nproxy_user_header = "Remote-User"\n'
    'proxy_role_header = "Remote-Groups"\n'
)


def load(text: str) -> Settings:
    return check_settings(tomllib.loads(text), Path("/etc/here/node.toml"))


def faults(text: str) -> dict[str, str]:
    with pytest.raises(SettingsFault) as raised:
        load(text)
    return {fault.setting: fault.sentence for fault in raised.value.faults}


def test_nobody_else_says_who_comes_in_that_is_not_named() -> None:
    web = load("").web
    assert not (web.has_single_sign_on or web.proxy_addresses or web.tls)
    assert web.host == "127.0.0.1"


@pytest.mark.parametrize("text", [OIDC, PROXY, FILES + '[web]\ntls = true\nhost = "0.0.0.0"'])
def test_what_fits_together_is_taken(text: str) -> None:
    load(text)


@pytest.mark.parametrize(
    ("text", "setting", "said"),
    [
        ("[web]\ntls = true", "tls.certificate_file", "web.tls = true needs a file"),
        ("[web]\ntls = true", "tls.key_file", "web.tls = true needs a file"),
        ('[web]\nport = 11112\nhost = "0.0.0.0"', "web.port", "[receiver] port, which is 11112"),
        ('[web]\nurl = "https://pages.example.org/node"', "web.url", "must have no path"),
        ('[web]\nurl = "pages.example.org"', "web.url", "must be a URL"),
        ('[web]\nproxy_addresses = ["proxy.example.org"]', "web.proxy_addresses[0]", "must be an address"),
        ('[web]\nproxy_user_header = "Remote User"', "web.proxy_user_header", "name of an HTTP header"),
        (PROXY.replace('["10.0.0.1"]', "[]"), "web.proxy_addresses", "taken from there alone"),
        (PROXY.replace('"Remote-User"', '""'), "web.proxy_user_header", "two headers"),
        (PROXY.replace('"Remote-Groups"', '""'), "web.proxy_role_header", "two headers"),
        (PROXY + OIDC.removeprefix("[web]\n"), "web.oidc.issuer", "proxy_user_header"),
        (OIDC.replace('client_id = "x"', ""), "web.oidc.client_id", "is missing"),
        (OIDC + 'scope = "profile"', "web.oidc.scope", '"openid"'),
        (OIDC.replace("https://sso", "http://sso"), "web.oidc.issuer", "https://"),
        (OIDC.replace("https://pages", "http://pages"), "web.url", "https://"),
        (OIDC.replace('url = "https://pages.example.org"', ""), "web.url", "sends people back"),
        ("[web]\noidc = 3", "web.oidc", "[web.oidc]"),
        ('[web]\nadministrators = "it"', "web.administrators", "a list of names"),
        ("[web.oidc]\nisuer = 3", "web.oidc.isuer", 'did you mean "issuer"'),
    ],
)
def test_what_does_not_fit_is_a_fault_at_its_place(text: str, setting: str, said: str) -> None:
    assert said in faults(text)[setting]


def test_no_two_listen_at_one_port_of_one_address() -> None:
    load('[web]\nport = 11112\n[receiver]\nhost = "10.0.0.1"')
    load("[web]\nport = 0\n[receiver]\nport = 0")
    load('[web]\nenabled = false\nport = 11112\nhost = "0.0.0.0"')
