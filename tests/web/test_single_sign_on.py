"""A hospital's single sign-on of another make, before the pages: in, out, and who is not let in."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import NodeProcess, tool, wait_for
from tests.ports import free_port, listens
from tests.web.browser import Browser
from tests.web.conftest import PASSWORD, let_in

PEER = Path(__file__).parents[2] / ".peers" / "oidc-provider-8.8.1"
PROVIDER = Path(__file__).parent / "single_sign_on" / "provider.mjs"
SECRET = "a secret of this test alone, long enough"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node whose people come in by a provider, which runs beside it."""
    node_js = tool("node")
    if not PEER.exists():
        pytest.skip(
            "optional peer missing: oidc-provider is not in .peers (`make peers` brings it where npm is)"
        )
    folder = tmp_path_factory.mktemp("node")
    (folder / "secret").write_text(SECRET)
    port, provider_port = free_port(), free_port()
    pages = f"http://127.0.0.1:{port}"
    web = f"""port = {port}
url = "{pages}"
radiologists = ["radiology"]
administrators = ["it"]
[web.oidc]
issuer = "http://127.0.0.1:{provider_port}"
client_id = "cxr-node"
client_secret_file = "secret"
roles_claim = "groups"
"""
    with (folder / "provider.log").open("wb") as log:
        provider = subprocess.Popen(
            [node_js, str(PROVIDER), str(PEER), str(provider_port), pages], stdout=log, stderr=log
        )
    try:
        wait_for(lambda: listens(provider_port) or provider.poll() is not None)
        assert provider.poll() is None, (folder / "provider.log").read_text()
        with NodeProcess(folder, None, web=web) as made:
            let_in(made)
            yield made
    finally:
        provider.terminate()
        provider.wait()


def to_the_provider(browser: Browser) -> None:
    browser.visit("/people")
    browser.press("Log in with the hospital's single sign-on")
    wait_for(lambda: browser.chromium.evaluate("!!document.querySelector('[name=login]')"))


def as_person(browser: Browser, name: str) -> None:
    """Log in at the provider, and agree that it tells the node who one is."""
    to_the_provider(browser)
    browser.chromium.evaluate(
        f"document.querySelector('[name=login]').value = '{name}';"
        "document.querySelector('[name=password]').value = 'anything'; document.forms[0].submit(); 0"
    )
    wait_for(lambda: browser.chromium.evaluate("!!document.querySelector('[value=consent]')"))
    browser.chromium.evaluate("document.forms[0].submit(); 0")
    wait_for(lambda: browser.chromium.evaluate("location.origin") == browser.url)


def test_somebody_comes_in_with_the_role_of_their_group_and_gets_to_where_they_wanted(
    browser: Browser,
) -> None:
    as_person(browser, "olga")
    assert browser.path == "/people"
    browser.sees("olga administrator")
    browser.sees("single sign-on")
    browser.visit("/account")
    browser.sees("The hospital's single sign-on lets you in")
    assert browser.violations() == []


def test_who_logs_out_is_told_that_the_provider_still_knows_them_and_leaves_it_too(browser: Browser) -> None:
    as_person(browser, "rita")
    browser.sees("Your role does not allow this.")
    assert "rita radiologist" in browser.text
    browser.press("Log out")
    browser.sees("The hospital's single sign-on still knows you")
    assert browser.violations() == []
    browser.press("Leave it, too")
    wait_for(lambda: browser.chromium.evaluate("!!document.querySelector('[name=logout]')"))
    browser.chromium.evaluate("document.querySelector('[name=logout]').click(); 0")
    wait_for(lambda: browser.path == "/login")
    to_the_provider(browser)


def test_who_has_no_role_is_told_so_and_stays_outside(browser: Browser) -> None:
    as_person(browser, "nora")
    browser.sees("You are known to the hospital, and have no role at this node.")
    browser.visit("/")
    assert browser.path == "/login"


def test_a_name_that_has_a_password_here_is_nobody_elses(browser: Browser, node: NodeProcess) -> None:
    as_person(browser, "local-anna")
    browser.sees("Your name has a password at this node.")
    browser.visit("/login")
    browser.fill("Name", "anna")
    browser.fill("Password", PASSWORD)
    browser.key("Enter")
    browser.sees("anna administrator")


def test_an_answer_that_nobody_asked_for_opens_nothing(browser: Browser) -> None:
    browser.visit("/single-sign-on/back?code=somebody-elses&state=made-up")
    browser.sees("this browser has not asked for it")
    to_the_provider(browser)
    browser.visit("/single-sign-on/back?code=somebody-elses&state=made-up")
    browser.sees("not the answer to what this browser asked")
    assert browser.violations() == []
