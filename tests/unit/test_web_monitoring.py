"""Whether a node is ready, part by part; and who may read its metrics without logging in."""

import shutil
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi import Request

from config.settings import Settings
from config.web import WebSettings
from dicom_node.web.access import NobodyKnown
from dicom_node.web.context import Context
from dicom_node.web.monitoring import may_monitor, readiness
from storage.folder import DataFolder


def context(folder: DataFolder | None, settings: Settings) -> Context:
    return cast(Context, SimpleNamespace(folder=folder, settings=settings))


def request(address: str, **headers: str) -> Request:
    written = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {"type": "http", "headers": written, "client": (address, 1), "scheme": "http"}
    return Request(scope | {"method": "GET", "path": "/metrics", "server": ("node", 80), "query_string": b""})


def test_each_part_says_why_it_is_not_ready(folder: DataFolder) -> None:
    for role in ("receive", "analyse", "web"):
        folder.lock_role(role)
    small = Settings.model_validate({"storage": {"minimum_free_megabytes": 0}})
    told = readiness(context(folder, small))
    assert not told.ready
    assert {part: why for part, why in told.parts.items() if why != "ok"} == {"deliver": "does not run"}
    folder.lock_role("deliver")
    assert readiness(context(folder, small)).ready
    megabytes = 2 * shutil.disk_usage(folder.folder).total // 1_000_000
    large = {"storage": {"minimum_free_megabytes": megabytes}, "retention": {"free_megabytes": 2 * megabytes}}
    told = readiness(context(folder, Settings.model_validate(large)))
    assert (told.ready, told.parts["disk"]) == (False, "too little room: nothing is received")


def test_a_database_that_cannot_be_read_is_told(folder: DataFolder) -> None:
    folder.database.close()
    folder.database.path.write_bytes(b"no database at all, and longer than a header" * 100)
    told = readiness(context(folder, Settings()))
    assert (told.ready, told.parts["database"]) == (False, "cannot be read")
    assert readiness(context(folder, Settings())).parts["database"] == "damaged"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.9", "::ffff:10.1.2.9"])
def test_this_machine_and_the_monitors_read_without_logging_in(address: str) -> None:
    settings = Settings(web=WebSettings.model_validate({"monitors": ["10.1.2.0/24"]}))
    may_monitor(request(address), context(None, settings))


@pytest.mark.parametrize(
    "asked",
    [
        request("10.1.3.9"),
        request("127.0.0.1", x_forwarded_for="10.1.3.9"),
        request("127.0.0.1", forwarded="for=10.1.3.9"),
        request("nobody knows"),
    ],
    ids=["a stranger", "by a proxy here", "by another proxy here", "no address"],
)
def test_nobody_else_does(asked: Request) -> None:
    settings = Settings(web=WebSettings.model_validate({"monitors": ["10.1.2.0/24"]}))
    with pytest.raises(NobodyKnown):
        may_monitor(asked, context(None, settings))
