"""A real Kafka broker on this machine, for demonstrations and tests: jars by Maven, run by Java."""

import hashlib
import logging
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from schemas.errors import BrokerError

log = logging.getLogger("coilflow.flows.kafka.local_broker")

OLDEST_JAVA = 17
_MAVEN_TIMEOUT_S = 600.0
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 15.0
_HEAP = "384m"
_OTHERS = "name brokers in COILFLOW_KAFKA__BOOTSTRAP_SERVERS"
_CLUSTER_ID = "Y29pbGZsb3ctbG9jYWwtMQ"  # any 16 bytes in base64: it names the cluster, and there is only one here
# Below the ports that systems give to outgoing connections: while a broker is down, no client can be given its port.
_PORTS = range(20_000, 32_000)


@dataclass(kw_only=True, slots=True)
class LocalBroker:
    """A broker of one's own in KRaft mode, on 127.0.0.1; alive while the block of `local_broker` lasts."""

    port: int
    folder: Path  # its settings, its data and what it printed (`broker.log`)
    command: tuple[str, ...]
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def bootstrap_servers(self) -> str:
        """Address for clients, without encryption or password."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the running broker; raises BrokerError where it is down."""
        if self._process is None:
            raise BrokerError("the local Kafka broker is down", remedy="start it first")
        return self._process.pid

    def start(self) -> None:
        """Start on the port and data it has, and wait until it answers; raises BrokerError where it does not."""
        with (self.folder / "broker.log").open("ab") as printed:
            self._process = subprocess.Popen(  # noqa: S603 - the command that `local_broker` made
                self.command, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise BrokerError(
                    f"the local Kafka broker does not start: {_last_line(self.folder / 'broker.log')}",
                    remedy=f"look into {self.folder / 'broker.log'}, or {_OTHERS}",
                )
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it, as a power cut would; nothing where it is down already."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Let it close its files and stop; nothing where it is down already."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                log.warning("the local Kafka broker does not stop by itself and is killed")
                self._process.kill()
                self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it where it runs, and start it on the same port and data."""
        self.kill()
        self.start()


@contextmanager
def local_broker(
    folder: Path, *, listeners: Mapping[str, int] | None = None, properties: Mapping[str, str] | None = None
) -> Iterator[LocalBroker]:
    """Run a Kafka broker while the block lasts.

    The jars are fetched once, into the user's cache (`$XDG_CACHE_HOME/coilflow`). Topics are not created on first use,
    as in a plant.

    Args:
        folder: where its settings, data and printed lines go; made where missing, and kept afterwards.
        listeners: more ports of 127.0.0.1 by their protocol (`SSL`, `SASL_PLAINTEXT`, `SASL_SSL`).
        properties: of the broker, over those that this module sets; the keys and passwords of `listeners`.

    Raises:
        BrokerError: Java or Maven is missing or too old, the jars cannot be fetched, or the broker does not start.
    """
    java = _java()
    jars = broker_jars(java)
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    settings = folder / "server.properties"
    ports = {"PLAINTEXT": port, **(listeners or {})}
    values = _properties(folder, ports, controller_port=free_port()) | dict(properties or {})
    settings.touch(mode=0o600)  # it may hold passwords
    settings.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    run = [
        str(java), f"-Xmx{_HEAP}", f"-Xms{_HEAP}", "-XX:+UseSerialGC", "-XX:-UsePerfData",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}/*",
    ]  # fmt: skip
    tool = [*run, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(settings), "--ignore-formatted"]
    formatted = subprocess.run(tool, capture_output=True, check=False)  # noqa: S603 - as above
    if formatted.returncode:
        (folder / "broker.log").write_bytes(formatted.stdout + formatted.stderr)
        raise BrokerError(
            f"the local Kafka broker cannot prepare its folder: {_last_line(folder / 'broker.log')}",
            remedy=f"look into {folder / 'broker.log'}",
        )
    broker = LocalBroker(port=port, folder=folder, command=(*run, "kafka.Kafka", str(settings)))
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, outside those of outgoing connections."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise BrokerError("no free port was found between 20000 and 32000", remedy="stop what uses them")


def broker_jars(java: Path) -> Path:
    """Folder of the broker's jars, fetched by Maven where the cache does not have them yet; BrokerError on failure."""
    pom = files("flows.kafka").joinpath("pom.xml").read_bytes()
    version = ET.fromstring(pom).findtext(".//{*}kafka.version")  # noqa: S314 - our own file
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coilflow"
    jars = cache / f"kafka-{version}-{hashlib.sha256(pom).hexdigest()[:8]}"
    if jars.is_dir():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise BrokerError(
            "Maven is not installed, which fetches Kafka's jars",
            remedy=f"install maven, or {_OTHERS}",
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kafka-", dir=cache) as half:
        (Path(half) / "pom.xml").write_bytes(pom)
        command = [maven, "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={half}/jars"]
        environment = os.environ | {"JAVA_HOME": str(java.resolve().parent.parent)}
        try:
            fetched = subprocess.run(  # noqa: S603 - nothing of it comes from outside
                command,
                cwd=half,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=_MAVEN_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise _no_jars(f"Maven was not done after {_MAVEN_TIMEOUT_S:.0f} s") from error
        if fetched.returncode:
            raise _no_jars(next(iter(fetched.stdout.splitlines()), f"Maven ended with {fetched.returncode}"))
        try:
            (Path(half) / "jars").rename(jars)
        except OSError:
            if not jars.is_dir():  # else another process was faster
                raise
    return jars


def _no_jars(why: str) -> BrokerError:
    return BrokerError(
        f"Kafka's jars could not be fetched: {why}",
        remedy=f"give Maven a repository (~/.m2/settings.xml), or {_OTHERS}",
    )


def _java() -> Path:
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if found is None:
        raise BrokerError(
            f"Java is not installed, which runs Kafka (version {OLDEST_JAVA} or newer)",
            remedy=f"install a Java runtime, or {_OTHERS}",
        )
    asked = [found, "-version"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603 - the user's own Java
    version = re.search(r'version "(\d+)', answer.stderr)
    if version is None or int(version[1]) < OLDEST_JAVA:
        what = version[1] if version else "unknown"
        raise BrokerError(
            f"{found} is Java {what}, Kafka needs {OLDEST_JAVA} or newer",
            remedy="install a newer Java, and name its folder in JAVA_HOME",
        )
    return Path(found)


def _properties(folder: Path, ports: Mapping[str, int], *, controller_port: int) -> dict[str, str]:
    listeners = [f"{protocol}://127.0.0.1:{port}" for protocol, port in ports.items()]
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": ",".join([*listeners, f"CONTROLLER://127.0.0.1:{controller_port}"]),
        "advertised.listeners": ",".join(listeners),
        "listener.security.protocol.map": ",".join(["CONTROLLER:PLAINTEXT", *(f"{name}:{name}" for name in ports)]),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(folder / "data"),
        "num.network.threads": "2",
        "num.io.threads": "2",
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",  # the default waits three seconds for more members
        "group.min.session.timeout.ms": "1000",
        "log.cleaner.dedupe.buffer.size": "4194304",  # the default is a third of this heap
        "broker.session.timeout.ms": "3000",  # a killed broker may register again only after it
        "broker.heartbeat.interval.ms": "500",
        "initial.broker.registration.timeout.ms": "30000",
    }


def _answers(port: int) -> bool:
    """Whether a broker on the port answers a first request (ApiVersions, of which only the length is read)."""
    request = b"\x00\x12\x00\x00\x00\x00\x00\x01\x00\x08coilflow"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(len(request).to_bytes(4) + request)
            return len(connection.recv(4)) == 4
    except OSError:
        return False


def _last_line(file: Path) -> str:
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    own = [line for line in lines if line.strip() and not line.startswith((" ", "\t"))]  # not those of a stack
    return own[-1] if own else "it printed nothing"
