"""A shadow judges the same coils, counts for nothing, and harms nothing."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from flows.inbox import judge_due
from flows.served import Ensembles, Served, always, only
from flows.swap_metrics import SHADOW_FAILURES
from processors.decode import EventFault, decode_message
from processors.score import Scorer
from schemas.settings import Settings
from schemas.stream_settings import StreamSettings
from schemas.verdicts import MemberId, Scores
from store.coils import counts
from store.connection import Connection
from store.inbox import InboxEvent, store_events
from tests.flows.judging import MeanScorer
from tests.store.test_inbox import LONG_AGO
from tests.streams.lines import coil

SETTINGS = Settings(stream=StreamSettings(settle_s=0.01), destinations=("kafka:coil.verdicts",))


class Named(MeanScorer):
    """Says NOK to everything, under a name of its own."""

    def __init__(self, version: str) -> None:
        self.version = version

    def score(self, batch: pa.RecordBatch) -> Scores:
        """All NOK."""
        ones = np.ones(batch.num_rows)
        members = (MemberId(model="m", version=self.version),)
        said = replace(super().score(batch), ensemble_version=self.version, members=members)
        return replace(said, p_nok=ones, member_p_nok=ones[:, None])


class Broken(MeanScorer):
    """Fails whatever it is given."""

    def score(self, batch: pa.RecordBatch) -> Scores:
        """Raises."""
        raise RuntimeError("out of cheese")


class Unstorable(Named):
    """Gives verdicts that no database takes."""

    def score(self, batch: pa.RecordBatch) -> Scores:
        """A version that holds a NUL."""
        return replace(super().score(batch), ensemble_version="\x00")


def take_in(connection: Connection, names: Sequence[str], plant: str = "linz") -> None:
    """Whole coils into the inbox."""
    events = []
    for line in [line for name in names for line in coil(name)]:
        envelope = orjson.loads(line)
        envelope["data"]["plant"] = plant
        own = orjson.dumps(envelope)
        found = decode_message(own)
        assert not isinstance(found, EventFault)
        kind = found[0].type
        events.append(
            InboxEvent(
                key=found[0].key,
                source=f"/plants/{plant}",
                event_id=envelope["id"],
                is_start=kind == "coil.started",
                is_end=kind == "coil.ended",
                event=own,
            )
        )
    store_events(connection, events, SETTINGS.stream)


def judged(connection: Connection, ensembles: Ensembles) -> None:
    judge_due(connection, ensembles, SETTINGS, decode=decode_message, up_since=LONG_AGO)


def verdicts(connection: Connection) -> list[dict[str, Any]]:
    return connection.execute(
        "select plant, coil_id, role, ensemble_version, label, p_nok, review, review_probability, supersedes"
        " from coilflow.verdicts order by plant, coil_id, role"
    ).fetchall()


def test_a_shadows_verdicts_stand_beside_the_champions_and_count_for_nothing(connection: Connection) -> None:
    take_in(connection, ["1", "2"])
    judged(connection, only(MeanScorer(), Named("s1")))
    rows = verdicts(connection)
    assert [(row["coil_id"], row["role"], row["ensemble_version"], row["label"]) for row in rows] == [
        ("1", "champion", "e1", "OK"),
        ("1", "shadow", "s1", "NOK"),
        ("2", "champion", "e1", "OK"),
        ("2", "shadow", "s1", "NOK"),
    ]
    for champion, shadow in zip(rows[::2], rows[1::2], strict=True):
        assert shadow["review_probability"] == champion["review_probability"]
        assert (shadow["review"], shadow["supersedes"]) == ([], None)
    stored = counts(connection)
    assert (stored.verdicts, stored.ok, stored.nok, stored.duplicated) == (2, 2, 0, 0)
    sent = connection.execute("select payload -> 'data' ->> 'ensemble_version' as v from coilflow.outbox").fetchall()
    assert [row["v"] for row in sent] == ["e1", "e1"]
    votes = connection.execute(
        "select v.role, a.version from coilflow.assessments a join coilflow.verdicts v using (verdict_id)"
    ).fetchall()
    assert sorted((row["role"], row["version"]) for row in votes) == [("champion", "1")] * 2 + [("shadow", "s1")] * 2


@pytest.mark.parametrize(("shadow", "step"), [(Broken(), "score"), (Unstorable("s1"), "store")])
def test_a_shadow_that_fails_harms_no_verdict(connection: Connection, shadow: Scorer, step: str) -> None:
    take_in(connection, ["1", "2"])
    before = SHADOW_FAILURES.labels(step)._value.get()
    judged(connection, only(MeanScorer(), shadow))
    assert [(row["role"], row["ensemble_version"]) for row in verdicts(connection)] == [("champion", "e1")] * 2
    assert counts(connection).dead_letters == 0
    assert SHADOW_FAILURES.labels(step)._value.get() == before + 1


def test_a_batch_of_several_plants_is_divided_by_their_ensembles(connection: Connection) -> None:
    for plant in ("graz", "linz", "wels"):
        take_in(connection, ["1", "2"], plant)
    own = Served(champion=Named("of linz"), shadow=MeanScorer())
    judged(connection, Ensembles(every_plant=Served(champion=MeanScorer()), plants={"linz": own}))
    assert [(row["plant"], row["role"], row["ensemble_version"]) for row in verdicts(connection)] == [
        *[("graz", "champion", "e1")] * 2,
        *[("linz", "champion", "of linz"), ("linz", "shadow", "e1")] * 2,
        *[("wels", "champion", "e1")] * 2,
    ]


def test_one_look_at_what_serves_holds_for_a_whole_batch() -> None:
    current = always(MeanScorer())
    assert current() is current()
    assert current().of("linz") is current().of("graz")
