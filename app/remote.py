"""A running service as the commands speak to it: over HTTP, with a key, and problems told in its own words.

Knows nothing of the inside: a command works the same against a service on another machine.
"""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote

import httpx

TIMEOUT_S: Final = 60.0

PROBLEM: Final = "urn:comfy-relay:problem:"
"""How the types of all its problems begin."""

Json = dict[str, Any]


class Refusal(Exception):
    """The service could not be reached, or said no. `title` says that in short, the text why and what helps.

    `code` is the problem's, if the service sent one; `places` has what is wrong with the request: a JSON pointer into
    its body, and a message.
    """

    def __init__(self, title: str, detail: str = "", code: str = "", places: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(": ".join(filter(None, (title, detail))))
        self.title, self.code, self.places = title, code, places


class Remote:
    """The service at `url`; without a scheme it is one of HTTP. Methods raise Refusal."""

    def __init__(self, url: str, key: str | None) -> None:
        headers = {"Content-Type": "application/json", **({"X-API-Key": key} if key else {})}
        self._url = url if "://" in url else f"http://{url}"
        try:
            self._http = httpx.Client(base_url=self._url, headers=headers, timeout=TIMEOUT_S, trust_env=False)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise Refusal(_nobody(self._url)) from error

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, *path: str, holding: str) -> Json:
        """The answer, in which there must be something called `holding`; so with `post` and `put`."""
        return self._answer("GET", path, holding)

    def post(self, *path: str, body: Json, holding: str, **query: str) -> Json:
        return self._answer("POST", path, holding, body, query)

    def put(self, *path: str, body: Json, holding: str) -> Json:
        return self._answer("PUT", path, holding, body)

    def delete(self, *path: str) -> None:
        self._answer("DELETE", path)

    def _answer(
        self,
        method: str,
        path: tuple[str, ...],
        holding: str | None = None,
        body: Json | None = None,
        query: dict[str, str] | None = None,
    ) -> Json:
        """`path` in its parts, which may hold any character."""
        # Escaped, so that the service is the one to say what is wrong with half a surrogate pair.
        content = None if body is None else json.dumps(body).encode()
        route = "/".join(quote(part, safe="") for part in ("api", *path))
        try:
            answer = self._http.request(method, route, content=content, params=query)
        except httpx.TimeoutException as error:
            raise Refusal(
                f"{self._url} gave no answer within {TIMEOUT_S:g} s; try again, or look at its log"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Refusal(_nobody(self._url)) from error
        found = _decoded(answer)
        if answer.is_success and found is not None and (holding is None or holding in found):
            return found
        raise _refusal(answer.status_code, found, self._url)


def _nobody(url: str) -> str:
    return f"no service answers at {url}; start it, or name another with --url"


def _decoded(answer: httpx.Response) -> Json | None:
    """The object in an answer, empty if there is no body; None for what no comfy-relay says."""
    if answer.status_code == httpx.codes.NO_CONTENT:
        return {}
    try:
        found = answer.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _refusal(status: int, problem: Json | None, url: str) -> Refusal:
    if problem is None or not str(problem.get("type")).startswith(PROBLEM):
        return Refusal(f"{url} answered {status}, but not as a comfy-relay does; name another with --url")
    errors = problem.get("errors") or ()
    places = tuple((str(each.get("pointer")), str(each.get("message"))) for each in errors if isinstance(each, dict))
    detail = "" if places else str(problem.get("detail") or "")
    return Refusal(str(problem.get("title")), detail, str(problem.get("code")), places)
