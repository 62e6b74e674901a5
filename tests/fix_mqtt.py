"""A real MQTT broker for tests: `COILFLOW_TEST_MQTT` where set, else mosquitto, else amqtt, in a folder of its own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

VARIABLE = "COILFLOW_TEST_MQTT"
USERNAME = "coilflow"
PASSWORD = "geheim"  # noqa: S105 - of a broker that lives for one test
_UP_S = 20.0
_READY = ("running", "Listener 'default'")  # how mosquitto and amqtt say that they listen


def _mosquitto() -> str | None:
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _amqtt() -> str | None:
    return shutil.which("amqtt")


def pytest_report_header() -> str:
    """Say which MQTT broker the tests run on."""
    broker = os.environ.get(VARIABLE) or _mosquitto() or _amqtt() or "none: install mosquitto"
    return f"mqtt: {broker}"


class MqttServer:
    """A broker on one port; it forgets nothing over `restart`.

    `host`, `port`; `cafile`, `username` and `password` where it asks for them.
    """

    def __init__(self, command: list[str], port: int, *, cafile: Path | None = None) -> None:
        self.host = "localhost"
        self.port = port
        self.cafile = cafile
        self.username = USERNAME if cafile else None
        self.password = PASSWORD if cafile else None
        self._command = command
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and return once it listens."""
        process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        ready, said = threading.Event(), list[str]()

        def listen() -> None:
            assert process.stdout is not None
            with process.stdout as output:
                for line in output:
                    said.append(line)
                    if any(word in line for word in _READY):
                        ready.set()

        threading.Thread(target=listen, daemon=True).start()
        self._process = process
        if not ready.wait(_UP_S):
            self.kill()
            raise AssertionError(f"the MQTT broker did not start: {''.join(said)}")

    def stop(self) -> None:
        """Stop it as an operator would: sessions and queued messages are kept on disk."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it at once."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start it on the same port, with its sessions and queued messages."""
        self.stop()
        self.start()

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_UP_S)
            self._process = None


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def _folder() -> Iterator[Path]:
    # Not pytest's own folder: a broker started as root may give up its rights, and could then not enter it.
    folder = Path(tempfile.mkdtemp(prefix="coilflow-mqtt-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _mosquitto_command(folder: Path, port: int, *extra: str) -> list[str]:
    config = folder / "mosquitto.conf"
    lines = [
        f"listener {port} localhost",
        "persistence true",
        f"persistence_location {folder}/",
        "autosave_on_changes true",
        "autosave_interval 1",  # a change: even a killed broker forgets next to nothing
        "max_queued_messages 0",
        "log_dest stderr",
        *(["user root"] if os.geteuid() == 0 else []),
        *extra,
    ]
    config.write_text("\n".join(lines) + "\n")
    return [_mosquitto() or "mosquitto", "-c", str(config)]


def _amqtt_command(folder: Path, port: int) -> list[str]:
    config = folder / "amqtt.yaml"
    config.write_text(
        f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{port}\n"
        "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
    )
    return [_amqtt() or "amqtt", "-c", str(config)]


@contextmanager
def _running(server: MqttServer) -> Iterator[MqttServer]:
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def mqtt_server() -> Iterator[MqttServer]:
    """A plain broker: `host`, `port`; `restart()` needs one of our own, as does `kill()`."""
    with mqtt_broker() as server:
        yield server


@contextmanager
def mqtt_broker() -> Iterator[MqttServer]:
    """A plain broker while the block lasts; without one, the test is skipped."""
    given = os.environ.get(VARIABLE)
    if given:
        host, _, port = given.rpartition(":")
        server = MqttServer([], int(port))
        server.host = host
        yield server
        return
    with _folder() as folder:
        port_ = _free_port()
        if _mosquitto():
            command = _mosquitto_command(folder, port_, "allow_anonymous true")
        elif _amqtt():
            command = _amqtt_command(folder, port_)
        else:
            pytest.skip("no MQTT broker: install mosquitto or `pip install amqtt`, or set " + VARIABLE)
        with _running(MqttServer(command, port_)) as server:
            yield server


@pytest.fixture
def mqtt_mosquitto(mqtt_server: MqttServer) -> MqttServer:
    """The plain broker where it is ours and keeps sessions and their messages, which amqtt does not."""
    if os.environ.get(VARIABLE) or not _mosquitto():
        pytest.skip("a broker that keeps sessions and their messages: install mosquitto")
    return mqtt_server


@pytest.fixture
def mqtt_secure() -> Iterator[MqttServer]:
    """A broker that asks for TLS and a password; `cafile` signed its certificate for localhost."""
    if not (_mosquitto() and shutil.which("mosquitto_passwd") and shutil.which("openssl")):
        pytest.skip("an MQTT broker with TLS and a password: install mosquitto and openssl")
    with _folder() as folder:
        cafile = _certificates(folder)
        passwords = folder / "passwords"
        passwords.touch(mode=0o600)
        subprocess.run(["mosquitto_passwd", "-b", str(passwords), USERNAME, PASSWORD], check=True)
        port = _free_port()
        command = _mosquitto_command(
            folder,
            port,
            "allow_anonymous false",
            f"password_file {passwords}",
            f"certfile {folder / 'server.crt'}",
            f"keyfile {folder / 'server.key'}",
        )
        with _running(MqttServer(command, port, cafile=cafile)) as server:
            yield server


def _certificates(folder: Path) -> Path:
    """Make `server.crt` and `server.key` for localhost; returns the certificate of the authority that signed it."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    key = ("-newkey", "rsa:2048", "-nodes", "-keyout")
    openssl("req", "-x509", *key, "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=coilflow test authority")
    openssl("req", *key, "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl("x509", "-req", "-in", "server.csr", *signed, "-out", "server.crt")
    return folder / "ca.crt"
