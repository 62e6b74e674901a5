"""What traces cost a worker: processor time a coil, from its events' bytes to its verdict, with traces off and on.

Without Kafka and PostgreSQL, whose time is the same either way, so the shares are an upper bound. Run as
`python -m bench.tracing [--coils N] [--rounds N] [--out FILE.md]`.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median

from bench.machine import machine
from bench.report import add_out, print_table, report
from bench.stream_setup import simulated_coils
from flows.assemble_due import DueCoil
from flows.judge import judge
from flows.observe import log_to_stderr
from flows.served import Ensembles, only
from flows.tracing import Timeline, Tracing, trace_coils, tracing_of
from models.ensemble import load_ensemble
from processors.decode import EventFault, decode_message
from processors.open_coils import OpenCoil
from schemas.settings import Settings
from schemas.stream_settings import TracingSettings

_BATCH = 16
_REPEATS = 40  # as many coils as wait in the sender's queue at most
_AWAY = "http://127.0.0.1:9"


def _collect() -> None:
    """Take what is sent, in a process of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class has it
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


@contextmanager
def _collector() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-m", "bench.tracing", "--collect"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


def _opened(lines: Sequence[bytes]) -> OpenCoil:
    first = decode_message(lines[0], ())
    assert not isinstance(first, EventFault)
    coil, now_ms = OpenCoil(key=first[0].key), round(1000 * time.time())
    for offset, line in enumerate(lines):
        events = decode_message(line, ())
        assert not isinstance(events, EventFault)
        coil.apply(events, (line, ()), offset=offset, now_ms=now_ms)
    coil.first_timestamp_ms = coil.last_timestamp_ms = now_ms
    return coil


def _judged_s(
    coils: Sequence[Sequence[bytes]], serving: Ensembles, settings: Settings, tracing: Tracing | None
) -> float:
    """Processor time of this process and all of its threads, s a coil."""
    began_s = time.process_time()
    for start in range(0, len(coils), _BATCH):
        due = [
            DueCoil(coil=_opened(lines), place="bench", silent=False, log=None)
            for lines in coils[start : start + _BATCH]
        ]
        timeline = None if tracing is None else Timeline()
        outcome = judge(due, serving, settings, timeline=timeline)
        assert len(outcome.decided) == len(due)
        if tracing is not None and timeline is not None:
            now_ns = time.time_ns()
            trace_coils(
                tracing,
                [one.coil for one in due],
                decided=outcome.decided,
                rejects=outcome.rejects,
                timeline=timeline,
                recorded_ns=(now_ns, now_ns),
            )
    return (time.process_time() - began_s) / len(coils)


def _spans_s(coils: Sequence[Sequence[bytes]], serving: Ensembles, settings: Settings, tracing: Tracing) -> float:
    """Processor time of the spans alone, s a coil: made, and sent by the time that the last is made."""
    due = [DueCoil(coil=_opened(lines), place="bench", silent=False, log=None) for lines in coils[:_BATCH]]
    timeline = Timeline()
    outcome = judge(due, serving, settings, timeline=timeline)
    began_s, now_ns = time.process_time(), time.time_ns()
    for _ in range(_REPEATS):
        trace_coils(
            tracing,
            [one.coil for one in due],
            decided=outcome.decided,
            rejects=outcome.rejects,
            timeline=timeline,
            recorded_ns=(now_ns, now_ns),
        )
    return (time.process_time() - began_s) / (_REPEATS * len(due))


def main() -> None:
    """Print the median of rounds, in which the sides take turns."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--coils", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--collect", action="store_true", help=argparse.SUPPRESS)
    add_out(parser)
    asked = parser.parse_args()
    if asked.collect:
        _collect()
        return
    log_to_stderr()
    with ExitStack() as stack:
        stack.enter_context(report("bench.tracing", "What traces cost a worker", asked.out, on=machine()))
        coils = list(simulated_coils(asked.coils))
        ensemble, settings = load_ensemble(None, threads=1), Settings()
        serving = only(ensemble)
        here = stack.enter_context(_collector())
        sides: dict[str, Tracing | None] = {"off": None}
        for name, endpoint in (("on", here), ("on, the collector away", _AWAY)):
            with_traces = Settings(tracing=TracingSettings(endpoint=endpoint))
            sides[name] = stack.enter_context(tracing_of(with_traces, service="bench"))
        taken: dict[str, list[float]] = {name: [] for name in sides}
        _judged_s(coils[:_BATCH], serving, settings, None)
        for _ in range(asked.rounds):
            for name, tracing in sides.items():
                taken[name].append(_judged_s(coils, serving, settings, tracing))
        print(
            f"Processor time a coil from its events' bytes to its verdict, the shipped ensemble on one thread: medians "
            f"of {asked.rounds} rounds of {asked.coils} coils of {sum(map(len, coils)) / len(coils):.0f} events.\n"
        )
        plain_s = median(taken["off"])
        print_table(
            ("traces", "ms a coil", "more than off"),
            (
                (name, f"{1000 * median(each):.2f} ({1000 * min(each):.2f}–{1000 * max(each):.2f})",
                 f"{1000 * (median(each) - plain_s):+.2f} ms, {median(each) / plain_s - 1:+.1%}")
                for name, each in taken.items()
            ),
        )  # fmt: skip
        alone = [_spans_s(coils, serving, settings, sides["on"]) for _ in range(asked.rounds) if sides["on"]]
        print(
            f"\nSpans alone, without judging: {1000 * median(alone):.2f} ms a coil "
            f"({1000 * min(alone):.2f}–{1000 * max(alone):.2f}), {len(ensemble.members) + 7} spans."
        )


if __name__ == "__main__":
    main()
