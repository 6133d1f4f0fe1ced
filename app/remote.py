"""A running service as the commands speak to it: over HTTP, with a key, and problems told in its own words.

Knows nothing of the inside: a command works the same against a service on another machine.
"""

from __future__ import annotations

from typing import Any, Final

import httpx

TIMEOUT_S: Final = 60.0

Json = dict[str, Any]


class Refusal(Exception):
    """The service could not be reached, or said no; the text says why and what helps."""


class Remote:
    """The service at `url`."""

    def __init__(self, url: str, key: str | None) -> None:
        headers = {"X-API-Key": key} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S, trust_env=False)
        self._url = url

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str) -> Json:
        return self._answer("GET", path)

    def post(self, path: str, body: Json, **query: str) -> Json:
        return self._answer("POST", path, body, query)

    def put(self, path: str, body: Json) -> Json:
        return self._answer("PUT", path, body)

    def delete(self, path: str) -> None:
        self._answer("DELETE", path)

    def _answer(self, method: str, path: str, body: Json | None = None, query: dict[str, str] | None = None) -> Json:
        try:
            answer = self._http.request(method, path, json=body, params=query)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Refusal(f"no service answers at {self._url}; start it, or name another with --url") from error
        if answer.is_success:
            found: Json = answer.json() if answer.content else {}
            return found
        raise Refusal(_told(answer))


def _told(answer: httpx.Response) -> str:
    """The problem document in words, a line for each wrong place."""
    try:
        problem = answer.json()
    except ValueError:
        return f"the service answered {answer.status_code}; is this a comfy-relay?"
    places = [f"  {each.get('pointer')}: {each.get('message')}" for each in problem.get("errors") or ()]
    return "\n".join(
        [f"{problem.get('title')}: {problem.get('detail')}"] if not places else [f"{problem.get('title')}", *places]
    )
