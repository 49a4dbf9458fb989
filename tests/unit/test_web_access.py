"""Who gets how far: every route has its right, sessions end, answers carry what protects a browser."""

import dis
import shutil
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from config.load import check_settings
from config.settings import Settings
from dicom_node.live_settings import LiveSettings
from dicom_node.tls import NO_CERTIFICATES
from dicom_node.web import access
from dicom_node.web.application import PARTS, application
from dicom_node.web.context import Context
from dicom_node.web.films import Films
from dicom_node.web.monitoring import may_monitor
from dicom_node.web.passwords import hashed
from dicom_node.web.protection import ANSWER_HEADERS, SAFE_METHODS
from dicom_node.web.uploads import Uploads
from storage import audit, people
from storage.errors import StorageUnavailable
from storage.folder import DataFolder
from storage.people import Role
from storage.steps import Step

PASSWORD = "green lamp over the river"
PEOPLE = {"anna": Role.ADMINISTRATOR, "ralf": Role.RADIOLOGIST, "vera": Role.VIEWER}
OPEN = {
    "/login": "asks who one is",
    "/api/session": "asks who one is",
    "/invitation/{secret}": "its secret says who one is",
    "/single-sign-on": "leads to where one is asked who one is",
    "/single-sign-on/back": "asks the provider who one is",
    "/single-sign-on/out": "says what is left to do to who has gone",
    "/live": "for whoever keeps the node running: it answers",
    "/ready": "for whoever keeps the node running: what does not work",
}
"""What somebody may ask for who has not come in, and why."""
CHANGES_NOTHING = {"POST /queue/find": "a search, so that what was typed stands in no address"}


@pytest.fixture(scope="module")
def inhabited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with everybody of PEOPLE."""
    made = DataFolder(tmp_path_factory.mktemp("inhabited"))
    made.database.migrate()
    kept = hashed(PASSWORD)
    with made.database.write(Step.BY_HAND) as connection:
        for name, role in PEOPLE.items():
            secret = people.invite(connection, role, name, 0.0, 60)
            people.accept(connection, secret, name, kept, 0.0)
    made.close()
    return made.folder


@pytest.fixture
def now() -> list[float]:
    return [1_800_000_000.0]


class Door:
    """An application with a clock of its own, before a data folder with everybody of PEOPLE."""

    def __init__(self, folder: Path, now: list[float], web: dict[str, Any]) -> None:
        document = {"node": {"data_dir": str(folder)}, "web": web}
        self.settings: Settings = check_settings(document, folder / "node.toml")
        self.folder = DataFolder(folder)
        live = LiveSettings(self.settings, folder / "node.toml", self.folder, [])
        uploads = Uploads(live, self.folder)
        films = Films(live, self.folder, uploads)
        self.context = Context(
            live,
            self.folder,
            NO_CERTIFICATES,
            lambda: None,
            lambda: "",
            uploads,
            films,
            now=lambda: now[0],
        )
        self.application = application(self.context)

    def client(self, address: str = "10.0.0.7", base: str = "http://127.0.0.1:8080") -> TestClient:
        return TestClient(
            self.application,
            base_url=base,
            client=(address, 50_000),
            follow_redirects=False,
            raise_server_exceptions=False,
        )

    def program(self, name: str) -> TestClient:
        """A program with a session of this person's."""
        client = self.client()
        with self.folder.database.write(Step.BY_HAND) as connection:
            known = people.role_and_password(connection, name)
            assert known is not None
            people.forget_sessions(connection, self.context.now(), access.limits_of(self.context))
            secret = people.begin_session(connection, name, known[0], self.context.now(), "10.0.0.7")
        client.headers["Authorization"] = f"Bearer {secret}"
        return client

    def trail(self) -> list[tuple[str, dict[str, Any]]]:
        with self.folder.database.read() as connection:
            return [(record.event, record.detail) for record in audit.records(connection)]


@pytest.fixture
def opened(tmp_path: Path, now: list[float], inhabited: Path) -> Iterator[Callable[..., Door]]:
    made: list[Door] = []

    def open_door(**web: Any) -> Door:
        shutil.copytree(inhabited, tmp_path / "data")
        made.append(Door(tmp_path / "data", now, web))
        return made[-1]

    yield open_door
    for door in made:
        door.folder.close()


@pytest.fixture
def door(opened: Callable[..., Door]) -> Door:
    return opened()


def routes_of(door: Door) -> list[APIRoute]:
    """Of all parts; the application itself has none but its files and its description."""
    inner: Any = door.application
    while not isinstance(inner, FastAPI):
        inner = getattr(inner, "_application", None) or inner.app
    assert not [route for route in inner.routes if isinstance(route, APIRoute)]
    return [
        route
        for part in PARTS
        for router in (part.pages, part.api)
        for route in router.routes
        if isinstance(route, APIRoute)
    ]


def is_checked(route: APIRoute) -> bool:
    """Whether one of the dependencies asks for a right, or whether it is a monitor that asks."""
    return any(
        each.call is may_monitor
        or getattr(each.call, "__qualname__", "").startswith(access.required.__qualname__)
        for each in route.dependant.dependencies
    )


class TestEveryRoute:
    def test_asks_for_a_right_or_says_why_it_does_not(self, door: Door) -> None:
        assert len(routes_of(door)) > 20
        unchecked = {route.path for route in routes_of(door) if not is_checked(route)}
        assert unchecked - OPEN.keys() == set()

    def test_lets_nobody_in_who_has_not_come_in(self, door: Door) -> None:
        client = door.client()
        for route in routes_of(door):
            if route.path in OPEN:
                continue
            path = route.path
            for name in route.param_convertors:
                path = path.replace(f"{{{name}}}", "1")
            for method in route.methods:
                answer = client.request(method, path)
                expected = 401 if path.startswith("/api/") or path == "/predict" else 303
                assert answer.status_code == expected, f"{method} {path}: {answer.status_code}"

    def test_that_changes_something_writes_it_into_the_audit_trail(self, door: Door) -> None:
        silent = {
            f"{method} {route.path}"
            for route in routes_of(door)
            for method in route.methods - SAFE_METHODS
            if not reaches_audit(route.endpoint, set())
        }
        assert silent - CHANGES_NOTHING.keys() == set()

    def test_carries_what_protects_a_browser(self, door: Door) -> None:
        client, known = door.client(), door.program("anna")
        answers = [
            *(
                client.get(path)
                for path in ("/login", "/", "/nothing", "/static/style.css", "/static/none", "/api/x")
            ),
            *(known.get(path) for path in ("/", "/people", "/account", "/people?x=%00")),
            client.post("/login", data={"name": "x"}),
            client.get("/api/people"),
            client.post("/login", headers={"Origin": "https://elsewhere.example.org"}),
            client.post("/login", content=b"x" * 1_000_001),
            client.get("/login", headers={"Host": "elsewhere.example.org"}),
            client.request("TRACE", "/login"),
        ]
        assert {answer.status_code for answer in answers} >= {200, 303, 401, 403, 404, 405, 413, 421, 422}
        for answer in answers:
            for name, value in ANSWER_HEADERS.items():
                assert answer.headers.get_list(name) == [value], f"{name} of {answer.url}"


PARTS_OF_NODE = [
    each
    for each in typing.get_type_hints(Context).values()
    if isinstance(each, type) and each.__module__.startswith("dicom_node")
]
"""Whose methods a page calls by its context."""


def reaches_audit(function: Callable[..., Any], seen: set[object]) -> bool:
    """Whether a function, or one of the node's that it calls, writes into the audit trail."""
    if function in seen:
        return False
    seen.add(function)
    codes = [function.__code__]
    names: set[str] = set()
    for code in codes:
        names |= {str(step.argval) for step in dis.get_instructions(code) if "LOAD" in step.opname}
        codes += [each for each in code.co_consts if isinstance(each, types.CodeType)]
    if {"audit", "append"} <= names or {"note"} <= names:
        return True
    scope = function.__globals__
    called = [scope.get(name) for name in names]
    called += [
        getattr(module, name, None)
        for module in called
        if isinstance(module, types.ModuleType) and module.__name__.startswith("dicom_node")
        for name in names
    ]
    called += [getattr(part, name, None) for part in PARTS_OF_NODE for name in names]
    return any(
        reaches_audit(each, seen)
        for each in called
        if isinstance(each, types.FunctionType) and each.__module__.startswith("dicom_node")
    )


class TestSessions:
    def test_end_when_nobody_was_there_for_so_long(self, door: Door, now: list[float]) -> None:
        client = door.program("vera")
        now[0] += 29 * 60
        assert client.get("/api/account/sessions").status_code == 200
        now[0] += 29 * 60
        assert client.get("/api/account/sessions").status_code == 200
        now[0] += 31 * 60
        assert client.get("/api/account/sessions").status_code == 401

    def test_end_although_their_pages_go_on_to_ask(self, door: Door, now: list[float]) -> None:
        client = door.program("vera")
        for _ in range(15):
            now[0] += 118
            assert client.get("/api/account/sessions", headers={"Unattended": "true"}).status_code == 200
        now[0] += 60
        assert client.get("/api/account/sessions", headers={"Unattended": "true"}).status_code == 401

    def test_end_after_a_shift_whoever_is_there(self, door: Door, now: list[float]) -> None:
        client, begun = door.program("vera"), now[0]
        while now[0] - begun < 12 * 3600 - 600:
            now[0] += 600
            assert client.get("/api/account/sessions").status_code == 200
        now[0] += 600
        assert client.get("/api/account/sessions").status_code == 401

    def test_that_have_ended_are_forgotten(self, door: Door, now: list[float]) -> None:
        door.program("vera")
        now[0] += 3600
        door.program("ralf")
        with door.folder.database.read() as connection:
            found = people.everybody(connection, now[0], people.Limits(1e9, 1e9))
        assert {each.name: each.sessions for each in found} == {"anna": 0, "ralf": 1, "vera": 0}

    def test_are_new_at_each_login_and_the_one_before_ends(self, door: Door) -> None:
        client = door.client()
        said, ours = {"name": "vera", "password": PASSWORD}, {"Sec-Fetch-Site": "same-origin"}
        client.post("/login", data=said, headers=ours)
        first = client.cookies[access.COOKIE]
        client.post("/login", data=said, headers=ours)
        assert client.cookies[access.COOKIE] != first
        other = door.client()
        other.cookies.set(access.COOKIE, first)
        assert other.get("/account").status_code == 303

    def test_that_somebody_else_has_chosen_are_none(self, door: Door) -> None:
        client = door.client()
        client.cookies.set(access.COOKIE, "chosen-by-somebody-else")
        answer = client.post(
            "/login", data={"name": "vera", "password": PASSWORD}, headers={"Sec-Fetch-Site": "same-origin"}
        )
        assert "chosen-by-somebody-else" not in answer.headers["Set-Cookie"]

    def test_have_a_cookie_that_no_script_and_no_other_site_gets(self, opened: Callable[..., Door]) -> None:
        door = opened(proxy_addresses=["10.0.0.1"])
        said = {"name": "vera", "password": PASSWORD}
        plain = door.client().post("/login", data=said).headers["Set-Cookie"]
        assert "HttpOnly" in plain
        assert "SameSite=lax" in plain
        assert "Domain" not in plain
        https = {"X-Forwarded-Proto": "https"}
        behind = door.client("10.0.0.1").post("/login", data=said, headers=https).headers["Set-Cookie"]
        assert behind.startswith(f"__Host-{access.COOKIE}=")
        assert "Secure" in behind
        assert "Path=/" in behind
        stranger = door.client("10.0.0.2").post("/login", data=said, headers=https).headers["Set-Cookie"]
        assert "Secure" not in stranger

    def test_end_with_a_new_password_but_for_the_one_in_which_it_was_set(self, door: Door) -> None:
        here, there = door.program("vera"), door.program("vera")
        wanted = "another lamp over the sea"
        assert here.put("/api/account/password", json={"present": "x", "wanted": wanted}).status_code == 403
        assert (
            here.put("/api/account/password", json={"present": PASSWORD, "wanted": "short"}).status_code
            == 422
        )
        assert (
            here.put("/api/account/password", json={"present": PASSWORD, "wanted": wanted}).status_code == 204
        )
        assert there.get("/api/account/sessions").status_code == 401
        assert len(here.get("/api/account/sessions").json()) == 1
        assert (
            door.client().post("/api/session", json={"name": "vera", "password": PASSWORD}).status_code == 401
        )
        assert (
            door.client().post("/api/session", json={"name": "Vera ", "password": wanted}).status_code == 200
        )

    def test_of_others_are_not_ones_own_to_end(self, door: Door) -> None:
        vera, ralf = door.program("vera"), door.program("ralf")
        [session] = ralf.get("/api/account/sessions").json()
        assert vera.delete(f"/api/account/sessions/{session['id']}").status_code == 404
        assert ralf.delete(f"/api/account/sessions/{session['id']}").status_code == 204
        assert ralf.get("/api/account/sessions").status_code == 401


class TestPeople:
    def test_only_the_administrator_sees_and_changes_them(self, door: Door) -> None:
        for name in ("vera", "ralf"):
            client = door.program(name)
            assert client.get("/api/people").status_code == 403
            assert client.put(f"/api/people/{name}/role", json={"role": "administrator"}).status_code == 403
            assert client.delete("/api/people/anna").status_code == 403
            assert client.post("/api/people/x/invitation", json={"role": "viewer"}).status_code == 403

    def test_the_last_administrator_stays_one(self, door: Door) -> None:
        anna = door.program("anna")
        assert anna.put("/api/people/anna/role", json={"role": "viewer"}).status_code == 409
        assert anna.delete("/api/people/anna").status_code == 409
        link = anna.post("/api/people/anna/invitation", json={"role": "viewer"}).json()["link"]
        said = {"password": "a longer one of mine", "again": "a longer one of mine"}
        assert door.client().post(link, data=said).status_code == 409
        assert anna.put("/api/people/vera/role", json={"role": "administrator"}).status_code == 204
        assert anna.put("/api/people/anna/role", json={"role": "viewer"}).status_code == 204
        assert anna.get("/api/people").status_code == 403

    def test_a_role_counts_at_once_also_where_somebody_is_in_or_has_a_link(self, door: Door) -> None:
        anna, ralf = door.program("anna"), door.program("ralf")
        link = anna.post("/api/people/ralf/invitation", json={"role": "administrator"}).json()["link"]
        anna.put("/api/people/ralf/role", json={"role": "viewer"})
        assert ralf.get("/api/people").status_code == 403
        said = {"password": "a longer one of mine", "again": "a longer one of mine"}
        assert "Come in as viewer" in door.client().get(link).text
        assert door.client().post(link, data=said).status_code == 200
        [found] = [each for each in anna.get("/api/people").json() if each["name"] == "ralf"]
        assert (found["role"], found["sessions"], found["invited_until"]) == ("viewer", 0, None)

    def test_a_link_works_once_and_for_a_day_and_is_no_more_when_there_is_another(
        self, door: Door, now: list[float]
    ) -> None:
        anna, said = door.program("anna"), {"password": "a lamp by the sea", "again": "a lamp by the sea"}

        def link() -> str:
            return str(anna.post("/api/people/new/invitation", json={"role": "viewer"}).json()["link"])

        first, second = link(), link()
        assert door.client().get(first).status_code == 404
        assert door.client().post(second, data=said).status_code == 200
        assert door.client().post(second, data=said).status_code == 404
        third = link()
        now[0] += 24 * 3600
        assert door.client().get(third).status_code == 404

    def test_who_is_removed_is_out(self, door: Door) -> None:
        anna, vera = door.program("anna"), door.program("vera")
        link = anna.post("/api/people/vera/invitation", json={"role": "viewer"}).json()["link"]
        assert anna.delete("/api/people/vera").status_code == 204
        assert anna.delete("/api/people/vera").status_code == 404
        assert vera.get("/api/account/sessions").status_code == 401
        assert door.client().get(link).status_code == 404

    @pytest.mark.parametrize("name", ["", " ", "a b", "<script>", "ä", "x" * 65, "-x", "a\nb"])
    def test_a_name_is_simple(self, door: Door, name: str) -> None:
        answer = door.program("anna").post("/people", data={"name": name, "role": "viewer"})
        assert answer.status_code == 422

    def test_every_change_is_in_the_audit_trail_with_who_and_from_where(self, door: Door) -> None:
        anna = door.program("anna")
        anna.post("/api/people/new/invitation", json={"role": "viewer"})
        anna.put("/api/people/vera/role", json={"role": "radiologist"})
        door.client().post("/api/session", json={"name": "vera", "password": PASSWORD})
        anna.delete("/api/people/vera/sessions")
        anna.delete("/api/people/vera")
        anna.delete("/api/session")
        by_anna = {"user": "anna", "address": "10.0.0.7"}
        assert door.trail() == [
            ("person_invited", by_anna | {"person": "new", "role": "viewer"}),
            ("role_changed", by_anna | {"person": "vera", "role": "radiologist"}),
            ("login", {"user": "vera", "address": "10.0.0.7", "role": "radiologist", "by": "password"}),
            ("sessions_ended", by_anna | {"person": "vera"}),
            ("person_removed", by_anna | {"person": "vera"}),
            ("logout", by_anna),
        ]


class TestTheDoor:
    def test_slows_down_who_is_wrong_often(self, door: Door) -> None:
        wrong = {"name": "vera", "password": "not this one at all"}
        answers = [door.client().post("/api/session", json=wrong) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429]
        assert answers[-1].headers["Retry-After"] == "2"
        right = {"name": "vera", "password": PASSWORD}
        assert door.client("10.0.0.8").post("/api/session", json=right).status_code == 429

    def test_answers_alike_whoever_exists(self, door: Door) -> None:
        said = [
            door.client().post("/login", data={"name": name, "password": "wrong"}).text.replace(name, "")
            for name in ("vera", "nobody")
        ]
        assert said[0] == said[1]

    def test_keeps_no_password_that_was_typed_as_a_name(self, door: Door) -> None:
        door.client().post("/login", data={"name": "a secret by mistake", "password": "x"})
        assert door.trail()[-1] == ("login_refused", {"user": "", "address": "10.0.0.7"})

    @pytest.mark.parametrize(
        "to",
        [
            "//elsewhere.example.org",
            "/\\elsewhere",
            "https://elsewhere",
            "javascript:alert(1)",
            "/a\tb",
            "",
            "x",
        ],
    )
    def test_leads_nowhere_else(self, door: Door, to: str) -> None:
        answer = door.client().post("/login", data={"name": "vera", "password": PASSWORD, "to": to})
        assert answer.headers["Location"] == "/"

    def test_leads_to_where_one_wanted(self, door: Door) -> None:
        asked = door.client().get("/people?a=1&b=2").headers["Location"]
        assert asked == "/login?to=%2Fpeople%3Fa%3D1%26b%3D2"
        live = {"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1:8080/?hours=48"}
        assert door.client().get("/", headers=live).headers["HX-Redirect"] == "/login?to=%2F%3Fhours%3D48"

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://elsewhere.example.org"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Cookie": "x=1"},
        ],
    )
    def test_takes_no_form_of_somebody_elses(self, door: Door, headers: dict[str, str]) -> None:
        said = {"name": "vera", "password": PASSWORD}
        assert door.client().post("/login", data=said, headers=headers).status_code == 403

    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("127.0.0.1:8080", 200), ("[::1]:8080", 200), ("localhost", 200), ("cxr-node:8080", 200),
            ("pages.example.org", 200), ("PAGES.example.org:443", 200),
            ("elsewhere.example.org", 421), ("pages.example.org.elsewhere.org", 421), ("[", 421), ("a@b.c", 421),
        ],
    )  # fmt: skip
    def test_answers_to_its_own_names_alone(
        self, opened: Callable[..., Door], host: str, status: int
    ) -> None:
        door = opened(url="https://pages.example.org")
        assert door.client().get("/login", headers={"Host": host}).status_code == status

    def test_takes_files_of_nobody_who_has_not_come_in(self, door: Door) -> None:
        content = b"x" * 2_000_000
        assert door.client().post("/api/rules", content=content).status_code == 413
        assert door.program("anna").post("/api/rules", content=content).status_code == 422

    def test_says_nothing_of_an_error_that_nobody_foresaw(
        self, door: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fail(*_arguments: Any) -> None:
            raise ZeroDivisionError("CANARY^Yellow")

        client = door.program("anna")
        monkeypatch.setattr(people, "everybody", fail)
        for path in ("/people", "/api/people"):
            answer = client.get(path)
            assert answer.status_code == 500
            assert "The node has made a mistake" in answer.text
            assert "CANARY" not in answer.text
        said = capsys.readouterr()
        assert "page_failed" in said.out + said.err
        assert "CANARY" not in said.out + said.err

    def test_says_that_the_database_cannot(self, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_arguments: Any) -> None:
            raise StorageUnavailable("/var/lib/secret: disk full")

        client = door.program("anna")
        monkeypatch.setattr(people, "everybody", fail)
        answer = client.get("/api/people")
        assert answer.status_code == 503
        assert "secret" not in answer.text


class TestAReverseProxy:
    WEB: ClassVar = {
        "proxy_addresses": ["10.0.0.1", "192.0.2.0/24"],
        "proxy_user_header": "Remote-User",
        "proxy_role_header": "Remote-Groups",
        "administrators": ["it", "pacs"],
        "radiologists": ["radiology"],
        "viewers": [],
    }

    @pytest.fixture
    def door(self, opened: Callable[..., Door]) -> Door:
        return opened(**self.WEB)

    @pytest.mark.parametrize(
        ("groups", "said"),
        [
            ("radiology", "radiologist"),
            ("staff, pacs,radiology", "administrator"),
            ("staff", None),
            ("", None),
        ],
    )
    def test_says_who_asks_and_in_which_groups(self, door: Door, groups: str, said: str | None) -> None:
        headers = {"Remote-User": "rita", "Remote-Groups": groups, "X-Forwarded-For": "10.9.9.9"}
        answer = door.client("192.0.2.7").get("/account", headers=headers)
        assert answer.status_code == (200 if said else 403)
        assert (f"rita, {said}" if said else "have no role at this node") in answer.text

    def test_is_believed_from_its_address_alone(self, door: Door) -> None:
        headers = {"Remote-User": "rita", "Remote-Groups": "it"}
        for more in ({}, {"X-Forwarded-For": "10.0.0.1"}):
            answer = door.client("10.0.0.2").get("/people", headers=headers | more)
            assert answer.status_code == 403
            assert "not taken from this address" in answer.text

    def test_that_says_two_names_says_none(self, door: Door) -> None:
        headers = [("Remote-User", "rita"), ("Remote-User", "root"), ("Remote-Groups", "it")]
        assert door.client("10.0.0.1").get("/people", headers=headers).status_code == 403

    @pytest.mark.parametrize("name", ["", "x" * 65, "a/b", "a\tb"])
    def test_that_says_no_name_says_nobody(self, door: Door, name: str) -> None:
        headers = {"Remote-User": name, "Remote-Groups": "it"}
        assert door.client("10.0.0.1").get("/people", headers=headers).status_code == 403

    def test_leaves_no_other_way_in(self, door: Door) -> None:
        client = door.client()
        said = {"name": "anna", "password": PASSWORD}
        for answer in (client.get("/login"), client.post("/login", data=said), client.get("/invitation/x")):
            assert answer.status_code == 403
            assert "said by the hospital" in answer.text
        assert client.post("/api/session", json=said).status_code == 403
        with door.folder.database.write(Step.BY_HAND) as connection:
            secret = people.begin_session(connection, "anna", Role.ADMINISTRATOR, door.context.now(), "")
        client.cookies.set(access.COOKIE, secret)
        assert client.get("/people").status_code == 303

    def test_is_in_the_audit_trail_with_the_name_and_the_address_that_it_says(self, door: Door) -> None:
        headers = {
            "Remote-User": "rita",
            "Remote-Groups": "radiology",
            "X-Forwarded-For": "1.2.3.4, 10.9.9.9",
        }
        door.client("10.0.0.1").get("/", headers=headers)
        event, detail = door.trail()[-1]
        assert (event, detail["user"], detail["address"]) == ("list_looked_at", "rita", "10.9.9.9")

    @pytest.mark.parametrize("forwarded", ["<script>", "10.9.9.9.9", ""])
    def test_that_says_no_address_gives_none(self, door: Door, forwarded: str) -> None:
        headers = {"Remote-User": "rita", "Remote-Groups": "radiology", "X-Forwarded-For": forwarded}
        door.client("10.0.0.1").get("/", headers=headers)
        assert door.trail()[-1][1]["address"] in ("", "10.0.0.1")

    def test_is_no_way_around_the_pages_own_forms(self, door: Door) -> None:
        headers = {"Remote-User": "rita", "Remote-Groups": "it", "Origin": "https://elsewhere.example.org"}
        answer = door.client("10.0.0.1").post(
            "/people", data={"name": "x", "role": "viewer"}, headers=headers
        )
        assert answer.status_code == 403
