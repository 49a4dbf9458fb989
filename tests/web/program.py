"""A program that uses the JSON interface, as a hospital's integrator writes it."""

from typing import Any

import requests

SECONDS = 120


class Program:
    """Logs in by name and password, and asks with the token that it gets."""

    def __init__(self, url: str, name: str, password: str) -> None:
        self._url = url
        self._session = requests.Session()
        answer = self.ask("POST", "/api/session", json={"name": name, "password": password})
        assert answer.status_code == 200, answer.text
        self.token = str(answer.json()["token"])
        self._session.headers["Authorization"] = f"Bearer {self.token}"

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """Return the answer, whatever it is."""
        return self._session.request(method, self._url + path, timeout=SECONDS, **more)
