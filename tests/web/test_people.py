"""The administrator lets people in and takes them out; everybody has a page of their own."""

import subprocess
import sys

import pytest

from tests.peers import NodeProcess, wait_for
from tests.web.browser import Browser
from tests.web.conftest import PASSWORD, pages_of
from tests.web.pictures import keep
from tests.web.program import Program

OWN = "a chair beside the window"


def link_on(browser: Browser) -> str:
    browser.sees("It is shown here and never again.")
    return str(browser.chromium.evaluate("document.querySelector('section code').innerText"))


def come_in_by(browser: Browser, link: str, password: str) -> None:
    browser.visit(link)
    browser.fill("Password", password)
    browser.fill("The same again", password)
    browser.press("Set the password")
    browser.sees("Welcome,")


def test_somebody_is_invited_comes_in_becomes_something_else_and_is_taken_out(
    administrator: Browser, node: NodeProcess
) -> None:
    browser = administrator
    browser.press("People")
    assert browser.violations() == []
    browser.fill("Name", "no spaces please")
    browser.press("Invite")
    browser.sees("Name must be 1 to 64 letters")
    browser.fill("Name", "ralf")
    browser.press("Invite")
    browser.sees("Name is somebody's already.")
    assert browser.violations() == []
    browser.fill("Name", "Nina")
    browser.choose("Role", "viewer")
    browser.press("Invite")
    link = link_on(browser)
    browser.sees("invited until")
    assert browser.violations() == []
    keep(browser, "people")
    browser.visit("/people")
    assert link not in browser.text
    browser.log_out()
    come_in_by(browser, link, OWN)
    browser.log_in("nina", OWN)
    assert "People" not in browser.text
    browser.visit("/people")
    browser.sees("Your role does not allow this.")
    assert browser.violations() == []
    browser.log_out()

    browser.log_in("anna", PASSWORD)
    nina = Program(pages_of(node), "nina", OWN)
    browser.visit("/people")
    browser.choose("Role of nina", "radiologist")
    browser.press("Change the role of nina")
    wait_for(lambda: [each["role"] for each in _people(node) if each["name"] == "nina"] == ["radiologist"])
    browser.visit("/people")
    browser.press("End sessions of nina")
    wait_for(lambda: nina.ask("GET", "/api/account/sessions").status_code == 401)
    browser.press("New password link for nina")
    again = link_on(browser)
    browser.press("Remove nina")
    browser.press("Yes, remove nina")
    browser.sees_no_more("nina")
    browser.visit(again)
    browser.sees("This invitation was used, has expired, or never was.")


def _people(node: NodeProcess) -> list[dict[str, object]]:
    return Program(pages_of(node), "anna", PASSWORD).ask("GET", "/api/people").json()  # type: ignore[no-any-return]


def test_the_last_administrator_is_told_that_they_stay(administrator: Browser) -> None:
    administrator.visit("/people")
    administrator.press("Remove anna")
    administrator.press("Yes, remove anna")
    administrator.sees("anna is the last administrator: make somebody else one first.")


def test_somebody_changes_their_password_and_ends_what_they_have_open_elsewhere(
    viewer: Browser, node: NodeProcess
) -> None:
    there = Program(pages_of(node), "vera", PASSWORD)
    viewer.press("vera")
    viewer.sees("Where you are in")
    assert viewer.violations() == []
    viewer.press("End the session since")
    wait_for(lambda: there.ask("GET", "/api/account/sessions").status_code == 401)
    viewer.visit("/account")
    for present, wanted, again, said in (
        ("not this one", OWN, OWN, "Present password is not yours."),
        (PASSWORD, "short", "short", "New password must have at least 12 characters."),
        (PASSWORD, "vera vera vera", "vera vera vera", "New password is too easily guessed."),
        (PASSWORD, OWN, "another", "The same again is not the same."),
    ):
        change_password(viewer, present, wanted, again)
        viewer.sees(said.removesuffix("."))
        assert viewer.violations() == []
    change_password(viewer, PASSWORD, OWN, OWN)
    viewer.sees("The new password is set.")
    change_password(viewer, OWN, PASSWORD, PASSWORD)
    viewer.sees("The new password is set.")


def change_password(browser: Browser, present: str, wanted: str, again: str) -> None:
    browser.fill("Present password", present)
    browser.fill("New password", wanted)
    browser.fill("The same again", again)
    browser.press("Change the password")


def test_who_types_a_wrong_password_often_waits(browser: Browser, node: NodeProcess) -> None:
    """In Chromium, as somebody at the door sees it; how long is a matter of `test_web_attempts`."""
    browser.visit("/login")
    for _ in range(6):
        browser.fill("Name", "nobody-here")
        browser.fill("Password", "not this one at all")
        browser.press("Log in")
        wait_for(
            lambda: browser.chromium.evaluate("(document.querySelector('#password') || {}).value === ''")
        )
    browser.sees("Too many wrong passwords; try again in")
    assert browser.violations() == []


def test_a_command_lets_somebody_in_where_nobody_can(browser: Browser, node: NodeProcess) -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "dicom_node.cli", "invite", "Rescue"),
            *("--role", "administrator", "--config", str(node.config)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    path = ran.stdout.strip().partition("/invitation/")[2]
    browser.visit(f"/invitation/{path}")
    browser.sees("Come in as administrator")
    assert browser.violations() == []
    come_in_by(browser, f"/invitation/{path}", OWN)
    browser.log_in("rescue", OWN)
    browser.visit("/people")
    browser.press("Remove rescue")
    browser.press("Yes, remove rescue")
    wait_for(lambda: browser.path == "/login")


@pytest.mark.parametrize("name", ["a b", "", "ä"])
def test_the_command_takes_a_simple_name(node: NodeProcess, name: str) -> None:
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "dicom_node.cli",
            "invite",
            name,
            "--role",
            "viewer",
            "--config",
            str(node.config),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert "must be 1 to 64 letters" in ran.stderr
