"""A certificate that nobody trusts, made by openssl."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest


def certificate_in(folder: Path, name: str = "127.0.0.1", alternative: str = "IP:127.0.0.1") -> Path:
    """A certificate that signs itself; its key is beside it."""
    if shutil.which("openssl") is None and not os.environ.get("TEST_REQUIRE_ALL"):
        pytest.skip("openssl is not installed")
    certificate = folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "1", "-subj", f"/CN={name}", "-addext", f"subjectAltName={alternative}"),
            *("-keyout", str(certificate.with_suffix(".key")), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate


def speaking_as(certificate: Path) -> ssl.SSLContext:
    """What a server needs to speak TLS under such a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


def self_signed(folder: Path) -> ssl.SSLContext:
    """What a server needs to speak TLS as 127.0.0.1 under a certificate of its own making."""
    return speaking_as(certificate_in(folder))
