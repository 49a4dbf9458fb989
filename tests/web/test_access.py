"""Who may come in, and what they may do there."""

import re
from pathlib import Path

import pytest

from storage.people import Role
from tests.peers import NodeProcess, wait_for
from tests.web.browser import Browser
from tests.web.conftest import PASSWORD, PEOPLE, pages_of


def test_who_has_not_come_in_is_asked_who_they_are_and_gets_to_where_they_wanted(browser: Browser) -> None:
    browser.visit("/?hours=48")
    assert browser.path == "/login"
    browser.fill("Name", "ralf")
    browser.fill("Password", PASSWORD)
    browser.press("Log in")
    browser.sees("Studies of the last 48 hours")


def test_a_wrong_password_opens_nothing_and_tells_nothing_of_who_exists(browser: Browser) -> None:
    for name in ("ralf", "nobody"):
        browser.visit("/login")
        browser.fill("Name", name)
        browser.fill("Password", "something else entirely")
        browser.press("Log in")
        browser.sees("Name and password do not belong together.")


def test_who_logs_out_is_out(radiologist: Browser) -> None:
    radiologist.log_out()
    radiologist.visit("/")
    assert radiologist.path == "/login"


def test_the_first_administrator_comes_in_by_a_link_that_works_once(tmp_path: Path, browser: Browser) -> None:
    with NodeProcess(tmp_path, None, web='port = 0\nhost = "0.0.0.0"') as node:
        link = re.findall(r"by (http://127\.0\.0\.1\S+)", node.log)[-1]
        browser.url = pages_of(node)
        browser.visit("/")
        browser.sees("Nobody can log in yet.")
        browser.visit(link)
        browser.fill("Name", "first")
        browser.fill("Password", "short")
        browser.fill("The same again", "short")
        browser.press("Set the password")
        browser.sees("Password must have at least 12 characters")
        browser.fill("Password", PASSWORD)
        browser.fill("The same again", PASSWORD)
        browser.press("Set the password")
        browser.sees("Welcome, first")
        wait_for(lambda: "pages_opened" in node.log)
        browser.press("Log in")
        browser.log_in("first", PASSWORD)
        browser.sees("administrator")
        browser.visit(link)
        browser.sees("This invitation was used, has expired, or never was.")


@pytest.mark.parametrize("name", PEOPLE)
def test_each_sees_who_they_are(browser: Browser, name: str) -> None:
    browser.log_in(name, PASSWORD)
    assert f"{name} {Role(PEOPLE[name])}" in browser.text
