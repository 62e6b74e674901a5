"""ReceiveMqtt on the canvas, and what came of it."""

from tests.fix_mqtt import MqttServer
from tests.nifi.running import PROCESSORS, Running, Transferred, load
from tests.waiting import wait_until

TOPIC, CLIENT = "assesscoil", "coilflow-nifi-assess"
SENTINEL = b"the last one"
NOWHERE = {"Broker URI": "tcp://127.0.0.1:1", "Topic": TOPIC, "Client ID": CLIENT}


def properties(server: MqttServer, **others: str) -> dict[str, str]:
    scheme = "ssl" if server.cafile else "tcp"
    given_ = {"Broker URI": f"{scheme}://{server.host}:{server.port}", "Topic": TOPIC, "Client ID": CLIENT}
    return given_ | {name.replace("_", " "): text for name, text in others.items()}


def scheduled(given_: dict[str, str]) -> Running:
    running = Running(load(PROCESSORS / "ReceiveMqtt.py"), given_)
    running.schedule()
    return running


def next_of(running: Running) -> Transferred:
    """The next FlowFile, however often NiFi has to call."""
    found: list[Transferred | None] = []

    def came() -> bool:
        found.append(running.take())
        return found[-1] is not None

    wait_until(came)
    assert found[-1] is not None
    return found[-1]


def contents(running: Running, count: int) -> list[bytes]:
    return [next_of(running).content for _ in range(count)]


def up_to_the_sentinel(running: Running) -> list[bytes]:
    came = contents(running, 1)
    while came[-1] != SENTINEL:
        came += contents(running, 1)
    return came
