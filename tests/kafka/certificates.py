"""Certificates for tests, made by openssl: an authority, a broker's and a client's, each with its key in one PEM."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificates:
    """PEM files: those of broker and client hold key and certificate."""

    authority: Path
    broker: Path
    client: Path


def make_certificates(folder: Path) -> Certificates:
    """Make them for 127.0.0.1; without openssl, the test is skipped."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, which makes the certificates")
    key, authority = folder / "ca.key", folder / "ca.pem"
    new_key = ["-newkey", "rsa:2048", "-noenc"]
    _openssl("req", "-x509", *new_key, "-keyout", key, "-out", authority, "-days", "2", "-subj", "/CN=test authority")
    for name in ("broker", "client"):
        own = folder / f"{name}.key"
        request: list[str | Path] = [
            "req",
            "-x509",
            "-CA",
            authority,
            "-CAkey",
            key,
            *new_key,
            "-keyout",
            own,
            "-days",
            "2",
        ]
        names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
        _openssl(*request, "-out", folder / f"{name}.crt", *names, "-addext", "basicConstraints=critical,CA:FALSE")
        (folder / f"{name}.pem").write_bytes(own.read_bytes() + (folder / f"{name}.crt").read_bytes())
    return Certificates(authority=authority, broker=folder / "broker.pem", client=folder / "client.pem")


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
