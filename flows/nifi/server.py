"""A running NiFi, spoken to by nipyapi, whose global configuration is touched in this module alone."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from schemas.errors import NifiError, UsageError

Json = dict[str, Any]
_PACE_S = 0.5  # between two looks
_REQUEST_S = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class SignIn:
    """Who asks: a client certificate, a user with a password, a token, or nobody."""

    user: str | None = None
    password: str | None = None
    token: str | None = None
    certificate: Path | None = None  # PEM
    key: Path | None = None  # PEM
    key_password: str | None = None
    ca: Path | None = None  # PEM that signed NiFi's certificate; None: the system's


class Nifi:
    """One NiFi; one at a time in a process, for nipyapi keeps its address and who signed in globally.

    Args:
        url: as a browser opens it, "https://nifi:8443/nifi", or its root.
        sign_in: who asks.

    Raises:
        UsageError: nipyapi is missing, the URL is none, or the files of the certificate cannot be used.
        NifiError: NiFi does not answer, or lets nobody in so.
    """

    def __init__(self, url: str, sign_in: SignIn) -> None:
        self._nipyapi = _nipyapi()
        self.url = _root(url)
        self._configure(sign_in)
        self._client = self._nipyapi.nifi.ApiClient()
        if sign_in.user is not None:
            self._sign_in(sign_in.user, sign_in.password or "")
        self.version = str(self.get("/flow/about")["about"]["version"])

    def get(self, path: str, **query: str) -> Json:
        """Read; raises NifiError."""
        return self._call("GET", path, query=query)

    def post(self, path: str, body: Json) -> Json:
        """Ask for something new; raises NifiError."""
        return self._call("POST", path, body=body)

    def put(self, path: str, body: Json) -> Json:
        """Change; raises NifiError."""
        return self._call("PUT", path, body=body)

    def delete(self, path: str, **query: str) -> Json:
        """Remove; raises NifiError."""
        return self._call("DELETE", path, query=query)

    def upload(self, parent: str, definition: Json, *, name: str, x: float, y: float) -> str:
        """Make a process group of a definition and return its id; raises NifiError."""
        api = self._nipyapi.nifi.ProcessGroupsApi()
        content = json.dumps(definition).encode()
        entity = self._guarded(
            lambda: api.upload_process_group(
                id=parent,
                file=content,
                group_name=name,
                position_x=str(x),
                position_y=str(y),
                client_id="coilflow",
            ),
            f"make the process group {name}",
        )
        return str(entity.id)

    def wait(self, what: str, done: Callable[[], bool], *, limit_s: float) -> None:
        """Look until it is done.

        Raises:
            NifiError: it was not done in time.
        """
        end_s = time.monotonic() + limit_s
        while not done():
            if time.monotonic() > end_s:
                raise NifiError(
                    f"{self.url}: {what} was not done within {limit_s:.0f} s",
                    remedy="see `coilflow nifi status` and NiFi's log, then run it again, or wait longer with --wait",
                )
            time.sleep(_PACE_S)

    def _call(self, method: str, path: str, *, body: Json | None = None, query: dict[str, str] | None = None) -> Json:
        header = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if body is not None else {})
        answer = self._guarded(
            lambda: self._client.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params=header,
                body=body,
                response_type="object",
                auth_settings=["bearerAuth"],
                _return_http_data_only=True,
                _request_timeout=_REQUEST_S,
            ),
            f"{method} {path}",
        )
        return answer if isinstance(answer, dict) else {}

    def _guarded(self, call: Callable[[], Any], what: str) -> Any:  # noqa: ANN401 - nipyapi has no types
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - comes with nipyapi

        try:
            return call()
        except self._nipyapi.nifi.rest.ApiException as error:
            raise _refused(self.url, what, error.status or 0, error.body or error.reason) from error
        except HTTPError as error:
            raise NifiError(
                f"{self.url}: NiFi does not answer: {error}",
                remedy="check the URL, that NiFi has started, and with https give --ca",
            ) from error

    def _configure(self, sign_in: SignIn) -> None:
        configuration = self._nipyapi.config.nifi_config
        configuration.host = self.url + "/nifi-api"
        configuration.api_client = None
        configuration.api_key.clear()
        configuration.api_key_prefix.clear()
        configuration.ssl_context = None
        configuration.client_side_validation = False  # a newer NiFi may know more
        if self.url.startswith("https://"):
            files = {"ca_file": sign_in.ca, "client_cert_file": sign_in.certificate, "client_key_file": sign_in.key}
            try:
                self._nipyapi.security.set_service_ssl_context(
                    service="nifi",
                    **{name: None if path is None else str(path) for name, path in files.items()},
                    client_key_password=sign_in.key_password,
                )
            except OSError as error:  # as ssl.SSLError is
                raise UsageError(
                    f"the certificate's files cannot be used: {error}", remedy="give PEM files, and the key's password"
                ) from error
        if sign_in.token is not None:
            self._nipyapi.security.set_service_auth_token(token=sign_in.token, service="nifi")

    def _sign_in(self, user: str, password: str) -> None:
        if not self.url.startswith("https://"):
            raise UsageError("NiFi takes passwords by https only", remedy="give the https URL, or no user")
        api = self._nipyapi.nifi.AccessApi()
        token = self._guarded(lambda: api.create_access_token(username=user, password=password), f"sign in as {user}")
        self._nipyapi.security.set_service_auth_token(token=token, service="nifi")


def _root(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"{url!r} is no URL of a NiFi", remedy="give e.g. https://nifi:8443/nifi")
    return f"{parts.scheme}://{parts.netloc}"


def _refused(url: str, what: str, status: int, said: object) -> NifiError:
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    remedies = {
        0: "check the URL, that NiFi has started, and with https give --ca",
        401: "sign in by --user and COILFLOW_NIFI_PASSWORD, by COILFLOW_NIFI_TOKEN, or by --certificate and --key",
        403: "let this user view and modify process groups, controller services and parameter contexts in NiFi",
        409: "see `coilflow nifi status`; stop what it names, then run it again",
    }
    return NifiError(f"{url}: {what}: {status} {text.strip()}", remedy=remedies.get(status, "see NiFi's log"))


def _nipyapi() -> Any:  # noqa: ANN401 - it has no types
    try:
        import nipyapi  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError("nipyapi is not installed", remedy="pip install 'coilflow[nifi]'") from error
    return nipyapi
