"""Coils a second through NormalizeCoil, ScoreCoil and RecordVerdict in a real NiFi, and what limits them.

Run as `COILFLOW_TEST_NIFI_HOME=DIR python -m bench.nifi_rate [--coils 6000] [--runs 3] [--json] [--out FILE.md]`.
NiFi as it is unpacked (1 GB of heap), coilflow from its wheel, a durable PostgreSQL, all on this machine. Simulated
coils lie in files before the clock starts, as AssembleCoil gives them: a hundred a FlowFile, and one (a twentieth of
the coils). NiFi's GetFile takes them in; the clock runs from the first that it has taken until the last verdict is
committed.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

from bench.machine import machine
from bench.report import add_out, print_bars, print_table, report
from bench.stream_setup import Servers, fresh_database, servers, simulated_coils, wait_for
from flows.nifi.coils import Carried, coil_rows
from flows.nifi.definition import definition_of
from flows.nifi.describe.kinds import STANDARD, own
from flows.nifi.describe.parameters import parameters
from flows.nifi.describe.parts import Connection, Flow, Funnel, Place, Processor
from flows.nifi.groups import Group, remove, root_id, start, stop
from flows.nifi.parameter_values import settle_parameters
from flows.nifi.server import Nifi, SignIn
from processors.chunks import CoilEvents, coils_from_events
from processors.decode import EventFault, decode_message
from schemas.coils import Origin
from schemas.nifi_batches import NifiBatch, write_batch
from store.connection import connect
from tests.nifi.real.server import NifiServer, nifi_server, set_properties
from tests.wheels import build_wheel, environment_with, run

ASKED_PER_S = 300.0  # of coils in batches, on two cores
BATCH = 100
LIMIT_S = 900.0
_MIB = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One way to send the coils; medians over runs, processor seconds and memory of the last one."""

    coils: int
    a_flowfile: int
    bytes_a_flowfile: int
    tasks: int
    threads: int  # of ONNX Runtime
    per_s: float
    lowest: float
    highest: float
    cpu_s: dict[str, float]
    memory_mib: dict[str, float]


def files_of(coils: int, a_flowfile: int, folder: Path) -> int:
    """Write the coils as AssembleCoil gives them; returns the mean bytes of a file."""
    folder.mkdir()
    sizes = []
    for number, some in enumerate(_batched(simulated_coils(coils), a_flowfile)):
        content = _content(some)
        (folder / f"{number:06}").write_bytes(content)
        sizes.append(len(content))
    return round(statistics.mean(sizes))


def flow(folder: Path, tasks: int) -> Flow:
    """From files to the database, with the queues of *assess coils*."""
    files = Processor(
        name="files",
        type="org.apache.nifi.processors.standard.GetFile",
        bundle=STANDARD,
        place=Place(0, 0),
        comments="",
        properties={"Input Directory": str(folder), "Keep Source File": "false", "Polling Interval": "100 ms"},
        every="20 ms",  # else it looks into the empty folder as often as a core can
    )
    make = partial(own, comments="")
    ours = (
        make("NormalizeCoil", "normalise", Place(0, 300), ends=("dead_letter",)),
        make("ScoreCoil", "score", Place(0, 600), ends=("dead_letter",)),
        make("RecordVerdict", "record", Place(0, 900), ends=("dead_letter", "success", "observed", "nothing")),
    )
    steps = [replace(one, tasks=tasks) for one in ours]
    failed = Funnel("failed", Place(600, 600))
    chain = (files, *steps)
    return Flow(
        key="bench",
        name="bench",
        comments="",
        processors=chain,
        funnels=(failed,),
        connections=(
            *(Connection(source=one, relationships=("success",), to=to, most=20) for one, to in pairwise(chain)),
            *(Connection(source=one, relationships=("failure",), to=failed) for one in steps),
        ),
        parameters=parameters("database.dsn", "data.directory", "mode", "plant"),
    )


def measure(here: Servers, nifi: Nifi, server: NifiServer, given: Run, runs: int) -> Run:
    """Send the coils so often, each time into a database of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-nifi-") as name:
        made = Path(name) / "made"
        given = replace(given, bytes_a_flowfile=files_of(given.coils, given.a_flowfile, made))
        found = [_once(here, nifi, server, given, made) for _ in range(runs)]
    rates = [one.per_s for one in found]
    return replace(found[-1], per_s=statistics.median(rates), lowest=min(rates), highest=max(rates))


def _once(here: Servers, nifi: Nifi, server: NifiServer, given: Run, made: Path) -> Run:
    with tempfile.TemporaryDirectory(prefix="bench-nifi-") as name, fresh_database(here) as dsn:
        copied, taken = Path(name) / "copied", Path(name) / "taken"
        shutil.copytree(made, copied)
        taken.mkdir()
        (Path(name) / "coilflow.toml").write_text(f"threads = {given.threads}\n")
        settle_parameters(nifi, {"database.dsn": dsn, "data.directory": name}, secrets_too=True)
        group = _brought(nifi, flow(taken, given.tasks))
        idle = start(nifi, group, limit_s=LIMIT_S)
        assert not idle, f"{idle} does not run"
        files = sorted(file.name for file in copied.iterdir())
        for file in files:
            (copied / file).rename(taken / file)
        # It looked while the folder was empty, and then waits for a second.
        wait_for(lambda: len(list(taken.iterdir())) < len(files), limit_s=LIMIT_S, every_s=0.002)
        began, before = time.monotonic(), _cpu_s(here, server)
        with connect(dsn) as connection:
            query = b"select count(*) as n from coilflow.verdicts"
            wait_for(lambda: connection.execute(query).fetchall()[0]["n"] >= given.coils, limit_s=LIMIT_S, every_s=0.1)
        took_s = time.monotonic() - began
        after, memory = _cpu_s(here, server), _memory_mib(server)
        stop(nifi, group, drain_s=0.0)
        remove(nifi, group, drop_queues=True)
    return replace(
        given,
        per_s=given.coils / took_s,
        cpu_s={name: after[name] - before[name] for name in after},
        memory_mib=memory,
    )


def _brought(nifi: Nifi, wanted: Flow) -> Group:
    group_id = nifi.upload(root_id(nifi), definition_of(wanted), name=wanted.name, x=0.0, y=0.0)
    return Group(group_id=group_id, name=wanted.name, flow=wanted.key, digest="")


def _batched(coils: Iterator[list[bytes]], size: int) -> Iterator[list[list[bytes]]]:
    while some := list(islice(coils, size)):
        yield some


def _content(coils: Iterable[Sequence[bytes]]) -> bytes:
    events = []
    for lines in coils:
        decoded = [decode_message(line) for line in lines]
        whole = tuple(event for found in decoded if not isinstance(found, EventFault) for event in found)
        events.append(CoilEvents(key=whole[0].key, origin=Origin(place="bench", original=bytes), events=whole))
    built = coils_from_events(events)
    assert not built.rejects
    carried = [Carried(order=one.order, rows_per_face=one.rows_per_face) for one in built.coils.headers]
    return write_batch("coils", NifiBatch(rows=coil_rows(built.coils, carried)))


def _cpu_s(here: Servers, server: NifiServer) -> dict[str, float]:
    def spent_s(times: tuple[float, float]) -> float:
        return times[0] + times[1]

    found = {"NiFi (Java)": spent_s(server.java().cpu_times()[:2]), "PostgreSQL": here.cpu_s()["database"]}
    return found | {name: spent_s(one.cpu_times()[:2]) for name, one in server.by_type().items()}


def _memory_mib(server: NifiServer) -> dict[str, float]:
    found = {"NiFi (Java)": server.java().memory_info().rss / _MIB}
    return found | {name: one.memory_info().rss / _MIB for name, one in server.by_type().items()}


def starting_s(server: NifiServer) -> float:
    """Seconds until a NiFi answers that is started."""
    began = time.monotonic()
    server.start()
    return time.monotonic() - began


def main() -> int:
    """Measure, show, and hold it against what was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.nifi_rate", description=__doc__)
    parser.add_argument("--coils", type=int, default=6000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="a line for each way, and nothing else")
    add_out(parser)
    arguments = parser.parse_args()
    on = machine()
    with tempfile.TemporaryDirectory(prefix="nifi-") as name, servers() as here:
        folder = Path(name)
        commands = environment_with(f"coilflow @ {build_wheel(folder).as_uri()}", folder / "installed")
        with nifi_server(folder / "nifi") as server:
            command = [str(commands / "coilflow"), "nifi", "install", "--nifi-home", str(server.home), "--json"]
            set_properties(
                server.home, {one["name"]: one["wanted"] for one in json.loads(run(command, folder))["needs"]}
            )
            first_s = starting_s(server)
            server.stop()
            warm_s = starting_s(server)
            nifi = Nifi(server.url, SignIn())
            ways = [(BATCH, 1, 2), (BATCH, 2, 1), (1, 1, 2), (1, 2, 1)]
            found = []
            for a_flowfile, tasks, threads in ways:
                coils = arguments.coils if a_flowfile > 1 else arguments.coils // 20
                given = Run(
                    coils=coils,
                    a_flowfile=a_flowfile,
                    bytes_a_flowfile=0,
                    tasks=tasks,
                    threads=threads,
                    per_s=0.0,
                    lowest=0.0,
                    highest=0.0,
                    cpu_s={},
                    memory_mib={},
                )
                found.append(measure(here, nifi, server, given, arguments.runs))
                if arguments.json:
                    print(json.dumps(asdict(found[-1])))
            version = nifi.version
    if arguments.json:
        return 0
    with report("bench.nifi_rate", "Coils through NiFi", arguments.out, on=f"{on}, NiFi {version}"):
        return _shown(found, arguments.runs, first_s=first_s, warm_s=warm_s)


def _shown(found: Sequence[Run], runs: int, *, first_s: float, warm_s: float) -> int:
    print(f"Coils a second from the first file to the last verdict's commit; median, lowest and highest of {runs}.\n")
    print_table(
        ("coils a FlowFile", "KiB a FlowFile", "concurrent tasks", "ONNX threads", "coils/s", "lowest", "highest"),
        [
            (
                one.a_flowfile,
                f"{one.bytes_a_flowfile / 1024:.1f}",
                one.tasks,
                one.threads,
                f"{one.per_s:.0f}",
                f"{one.lowest:.0f}",
                f"{one.highest:.0f}",
            )
            for one in found
        ],
    )
    names = list(found[0].cpu_s)
    print("\nProcessor milliseconds a coil, of the last run.\n")
    print_table(
        ("coils a FlowFile", "concurrent tasks", *names, "together"),
        [
            (
                one.a_flowfile,
                one.tasks,
                *(f"{1000 * one.cpu_s[name] / one.coils:.2f}" for name in names),
                f"{1000 * sum(one.cpu_s.values()) / one.coils:.2f}",
            )
            for one in found
        ],
    )
    print("\nMemory, resident MiB, after the last run of each.\n")
    memory = list(found[0].memory_mib)
    print_table(
        ("coils a FlowFile", "concurrent tasks", *memory),
        [(one.a_flowfile, one.tasks, *(f"{one.memory_mib[name]:.0f}" for name in memory)) for one in found],
    )
    print(f"\nNiFi answers {first_s:.0f} s after its first start, {warm_s:.0f} s after the next.")
    best = max(one.per_s for one in found if one.a_flowfile == BATCH)
    asked = f"at least {ASKED_PER_S:.0f} coils/s in batches of {BATCH}"
    return print_bars([(asked, f"{best:.0f}", best >= ASKED_PER_S)])


if __name__ == "__main__":
    sys.exit(main())
