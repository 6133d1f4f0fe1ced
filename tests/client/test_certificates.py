"""Services behind TLS: whose certificate is trusted, and that it is looked at in both clients."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfy_relay import Unreachable
from tests.client.running import Scripted, answer
from tests.client.speaking import Speaks
from tests.tls import certificate_in, speaking_as


class Guarded(Scripted):
    """The same behind TLS."""

    def __init__(self, certificate: Path) -> None:
        super().__init__()
        self._context = speaking_as(certificate)

    def serve(self, connection: socket.socket) -> None:
        with self._context.wrap_socket(connection, server_side=True) as guarded:
            super().serve(guarded)
            guarded.unwrap()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return certificate_in(tmp_path)


@pytest.fixture
def guarded(certificate: Path) -> Iterator[Guarded]:
    with Guarded(certificate) as server:
        server.answers = [answer(200, b'{"status": "ok"}')]
        server.url = server.url.replace("http://", "https://")
        yield server


def test_a_certificate_nobody_vouches_for_is_refused(speak: Speaks, guarded: Guarded) -> None:
    with pytest.raises(Unreachable, match="certificate"):
        speak(url=guarded.url, key="secret", retry_for_s=0).health()

    assert guarded.asked == []


def test_a_certificate_of_ones_own_is_trusted_where_it_is_named(
    speak: Speaks, guarded: Guarded, certificate: Path
) -> None:
    context = ssl.create_default_context(cafile=str(certificate))

    assert speak(url=guarded.url, verify=context).health().status == "ok"


def test_the_usual_certificates_are_those_that_are_trusted(
    speak: Speaks, guarded: Guarded, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("certifi.where", lambda: str(certificate))

    relay = speak(url=guarded.url)

    assert [relay.health().status for _ in range(2)] == ["ok", "ok"]


def test_what_this_machine_trusts_is_trusted_too(
    speak: Speaks, guarded: Guarded, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    assert speak(url=guarded.url).health().status == "ok"
