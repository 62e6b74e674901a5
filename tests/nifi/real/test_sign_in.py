"""`coilflow nifi` signs in by https to a NiFi as its first start sets it up: one user, a certificate of its own."""

import ssl
import subprocess
from pathlib import Path

import pytest

from flows.nifi.server import Nifi, SignIn
from schemas.errors import NifiError
from tests.nifi.real.server import nifi_server

pytestmark = pytest.mark.nifi

USER, PASSWORD = "anna", "a password of twelve letters"


def test_a_user_signs_in_by_password_and_then_by_token_where_the_certificate_is_known(tmp_path: Path) -> None:
    with nifi_server(tmp_path / "nifi", "https") as server:
        script = [str(server.home / "bin" / "nifi.sh"), "set-single-user-credentials", USER, PASSWORD]
        subprocess.run(script, check=True, capture_output=True)
        server.start()
        ca = tmp_path / "nifi.pem"
        ca.write_text(ssl.get_server_certificate(("localhost", server.port)))
        signed_in = Nifi(server.url, SignIn(user=USER, password=PASSWORD, ca=ca))
        assert signed_in.get("/flow/current-user")["identity"] == USER
        with pytest.raises(NifiError, match="sign in as anna"):
            Nifi(server.url, SignIn(user=USER, password="wrong", ca=ca))  # noqa: S106
        with pytest.raises(NifiError, match="401"):
            Nifi(server.url, SignIn(ca=ca))
        with pytest.raises(NifiError) as unknown:
            Nifi(server.url, SignIn(user=USER, password=PASSWORD))
        assert "--ca" in str(unknown.value.remedy)
