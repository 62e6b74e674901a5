"""The road through NiFi without NiFi: AssembleCoil, NormalizeCoil, ScoreCoil and RecordVerdict, one after the other."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from flows.nifi import assemble_coil, record_verdict
from flows.nifi.normalize_coil import NormalizeCoil
from flows.nifi.score_coil import ScoreCoil
from flows.nifi.step import SUCCESS, Hosted, StepResult
from flows.served import always
from schemas.mapping import OUR_NAMES
from schemas.settings import Settings
from tests.flows.judging import MeanScorer
from tests.waiting import wait_until


@dataclass
class Road:
    """The processors with a database, and what they gave."""

    assemble: Hosted
    normalize: Hosted
    score: Hosted
    record: Hosted
    events: list[dict[str, Any]] = field(default_factory=list)

    def send(self, events: Sequence[dict[str, Any]]) -> StepResult:
        """Give events to AssembleCoil, one a line."""
        return self.assemble.run(b"".join(orjson.dumps(event) + b"\n" for event in events), {"uuid": "u"})

    def tick(self) -> StepResult:
        """Give an empty FlowFile to AssembleCoil."""
        return self.assemble.run(b"", {"uuid": "tick"})

    def due(self) -> bytes:
        """Tick until coils are due."""
        found: list[StepResult] = []

        def looked() -> bool:
            found.append(self.tick())
            assert found[-1].relationship in (SUCCESS, assemble_coil.WAITING), found[-1]
            return found[-1].relationship == SUCCESS

        wait_until(looked)
        return found[-1].contents or b""

    def arrived(self, events: Sequence[dict[str, Any]]) -> bytes:
        """COILS of these events, at once or when they are due."""
        given = self.send(events)
        return given.contents or b"" if given.relationship == SUCCESS else self.due()

    def judged(self, coils: bytes | None) -> bytes:
        """VERDICTS of COILS."""
        matrices = self.normalize.run(coils or b"", {})
        assert matrices.relationship == SUCCESS, matrices
        verdicts = self.score.run(matrices.contents or b"", {})
        assert verdicts.relationship == SUCCESS, verdicts
        return verdicts.contents or b""

    def recorded(self, verdicts: bytes) -> StepResult:
        """What RecordVerdict gives; its events are kept."""
        done = self.record.run(verdicts, {})
        self.events += lines(done)
        return done

    def through(self, coils: bytes | None) -> StepResult:
        """From COILS to the end."""
        return self.recorded(self.judged(coils))


def lines(done: StepResult) -> list[dict[str, Any]]:
    """The events of a result."""
    return [orjson.loads(line) for line in (done.contents or b"").splitlines()]


@contextmanager
def road(dsn: str, **properties: str) -> Iterator[Road]:
    """Processors on a database; properties by their display names, with a sign for each blank."""
    given = {"Database DSN": dsn, **{name.replace("_", " "): text for name, text in properties.items()}}
    settings = Settings()
    hosts = Road(
        assemble=Hosted("assemble_coil", assemble_coil.open_step),
        normalize=Hosted(
            "normalize_coil",
            lambda _: NormalizeCoil(limits=MeanScorer.limits, form="coils", mapping=OUR_NAMES, plant="linz"),
        ),
        score=Hosted(
            "score_coil", lambda _: ScoreCoil(current=always(MeanScorer()), settings=settings, held=ExitStack())
        ),
        record=Hosted("record_verdict", record_verdict.open_step),
    )
    everyone = (hosts.assemble, hosts.normalize, hosts.score, hosts.record)
    try:
        for one in everyone:
            one.start(given)
        yield hosts
    finally:
        for one in everyone:
            one.stop()
