"""The oracle: reads the topic itself and says whether the database holds what every coil of it must have become.

It knows nothing of positions, epochs and open coils: it takes all the events of a coil at once, as the local host does.
`python -m tests.streams.oracle` reads questions from its input, one JSON object a line, and answers each with a line:
{"coils": …, "lost": …, "doubled": …, "wrong": …, "details": […]}. It ends with 1 where not all of them are zero.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from kafka import TopicPartition

from flows.kafka.client import reader
from processors.chunks import CoilEvents, coils_from_events, fragment
from processors.decode import ChunkEvent, EventFault, decode_message
from processors.normalize import normalize
from schemas.coils import CoilBatch, CoilKey, Origin
from schemas.matrices import keys_of
from schemas.readings import readings_of
from schemas.stream_settings import KafkaSettings
from store.connection import Connection, connect
from tests.flows.judging import MeanScorer

_BLOCK = 1000


@dataclass(slots=True)
class Seen:
    """All that the topic holds of one coil."""

    events: list[ChunkEvent] = field(default_factory=list)
    faults: list[tuple[int, int, bytes]] = field(default_factory=list)
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """What a coil must end as: a revision with its readings and what the scorer says, or a reject."""

    revision: str | None
    readings: bytes = b""
    p_nok: float | None = None
    error: str = ""


@dataclass(slots=True)
class Finding:
    """Counts, and a line for each."""

    coils: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    details: list[str] = field(default_factory=list)

    def say(self, kind: str, what: str) -> None:
        """Count one fault."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.details.append(f"{kind}: {what}")

    def answer(self) -> dict[str, Any]:
        """As printed."""
        return {
            "coils": self.coils,
            "lost": self.lost,
            "doubled": self.doubled,
            "wrong": self.wrong,
            "details": self.details[:20],
        }


def judge_topic(
    dsn: str, kafka: KafkaSettings, *, destinations: Iterable[str], may_be_open: Iterable[str] = (), scorer: str = "e1"
) -> Finding:
    """Compare a topic's coils with the database's.

    Args:
        dsn: of the database.
        kafka: settings with the topic.
        destinations: where verdicts are announced; none in observe mode.
        may_be_open: coils that were not decided yet, and must not be.
        scorer: version of the ensemble whose probabilities are computed again.
    """
    finding = Finding()
    seen, alone = _read(kafka)
    with connect(dsn) as connection:
        stored = _stored(connection)
        waiting = set(may_be_open)
        finding.coils = len(seen)
        expected = _expected(seen)
        for key, wanted in expected.items():
            _compare(finding, key, seen[key], wanted, stored, waiting=key.coil_id in waiting, scorer=scorer)
        for key in stored.state.keys() - seen.keys():
            finding.say("wrong", f"{key} is in the database and not in the topic")
        _compare_letters(finding, kafka, seen, alone, stored, announced=bool(list(destinations)))
        _compare_outbox(finding, connection, list(destinations))
        if not waiting:
            _compare_positions(finding, connection, kafka)
    return finding


def _read(kafka: KafkaSettings) -> tuple[dict[CoilKey, Seen], dict[tuple[int, int], bytes]]:
    """Every message from the beginning: coils, and messages that stand alone."""
    seen: dict[CoilKey, Seen] = defaultdict(Seen)
    alone: dict[tuple[int, int], bytes] = {}
    consumer = reader(kafka)
    try:
        places = [TopicPartition(kafka.chunks_topic, p) for p in consumer.partitions_for_topic(kafka.chunks_topic)]
        consumer.assign(places)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(places)
        while any(consumer.position(place) < ends[place] for place in places):
            for place, records in consumer.poll(timeout_ms=500).items():
                for record in records:
                    found = decode_message(record.value, record.headers)
                    at = place.partition, record.offset
                    if not isinstance(found, EventFault):
                        coil = seen[found[0].key]
                        coil.events += found
                        coil.ended = coil.ended or found[0].type == "coil.ended"
                    elif found.key is None or found.aside:
                        alone[at] = record.value or b""
                    else:
                        seen[found.key].faults.append((*at, record.value or b""))
    finally:
        consumer.close()
    return seen, alone


def _expected(seen: dict[CoilKey, Seen]) -> dict[CoilKey, Expected]:
    found: dict[CoilKey, Expected] = {}
    keys = list(seen)
    for start in range(0, len(keys), _BLOCK):
        given = [
            CoilEvents(key=key, origin=Origin(place="", original=bytes), events=tuple(seen[key].events))
            for key in keys[start : start + _BLOCK]
        ]
        assembled = coils_from_events(given)
        found |= _of_batch(assembled.coils)
        rejected = {reject.key: reject.error for reject in assembled.rejects if reject.key}
        for one in given:
            if one.key not in found:
                found[one.key] = _of_fragment(one, rejected[one.key], ended=seen[one.key].ended)
    return found


def _of_batch(coils: CoilBatch) -> dict[CoilKey, Expected]:
    scorer = MeanScorer()
    normalized = normalize(coils, scorer.limits)
    p_nok = dict(zip(keys_of(normalized.batch), scorer.score(normalized.batch).p_nok.tolist(), strict=True))
    rejected = {reject.key: reject.error for reject in normalized.rejects}
    return {
        header.key: Expected(coils.revisions[i], readings_of(coils, i), p_nok[header.key])
        if header.key in p_nok
        else Expected(None, error=rejected[header.key])
        for i, header in enumerate(coils.headers)
    }


def _of_fragment(coil: CoilEvents, error: str, *, ended: bool) -> Expected:
    """What never ended and lacks its start or a face is kept as UNDECIDED; anything else was wrong."""
    part = None if ended else fragment(coil)
    return Expected(None, error=error) if part is None else Expected(part[0].revisions[0], readings_of(part[0], 0))


@dataclass(slots=True)
class _Stored:
    state: dict[CoilKey, str] = field(default_factory=dict)
    verdicts: dict[CoilKey, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    letters: list[dict[str, Any]] = field(default_factory=list)
    refused: set[CoilKey] = field(default_factory=set)  # coils with a dead letter of their own


def _stored(connection: Connection) -> _Stored:
    stored = _Stored()
    for row in connection.execute("select plant, coil_id, state from coilflow.coils"):
        stored.state[CoilKey(plant=row["plant"], coil_id=row["coil_id"])] = row["state"]
    verdicts = connection.execute(
        "select v.*, r.readings from coilflow.verdicts v join coilflow.readings r using (plant, coil_id, revision) "
        "where role = 'champion'"
    )
    for row in verdicts:
        stored.verdicts[CoilKey(plant=row["plant"], coil_id=row["coil_id"])].append(row)
    letters = connection.execute(
        "select dead_letter_id, plant, coil_id, whole_coil, kafka_partition, kafka_offset, original, step, error "
        "from coilflow.dead_letters"
    )
    stored.letters = letters.fetchall()
    stored.refused = {
        CoilKey(plant=row["plant"], coil_id=row["coil_id"])
        for row in stored.letters
        if row["whole_coil"] and row["coil_id"] is not None
    }
    return stored


def _compare(
    finding: Finding, key: CoilKey, seen: Seen, wanted: Expected, stored: _Stored, *, waiting: bool, scorer: str
) -> None:
    verdicts, state = stored.verdicts.get(key, []), stored.state.get(key)
    if waiting:
        if state != "open" or verdicts:
            finding.say("wrong", f"{key} is {state}, expected open")
        return
    standing = _standing(finding, key, verdicts)
    refused = key in stored.refused
    if wanted.revision is None or (seen.faults and not verdicts):
        if not refused:
            finding.say("lost", f"{key} must be refused ({wanted.error}) and has no dead letter")
        elif state != ("decided" if verdicts else "dead_lettered"):
            finding.say("wrong", f"{key} is {state}")
    elif not standing:
        finding.say("lost", f"{key} has no verdict and is {state}")
    elif state != "decided":
        finding.say("wrong", f"{key} is {state} and has a verdict")
    elif not (refused and seen.faults):  # else the verdict before the fault stands
        _compare_verdict(finding, key, standing[-1], wanted, scorer)


def _standing(finding: Finding, key: CoilKey, verdicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Verdicts that no other supersedes; more than one is a coil judged twice."""
    revisions = Counter(row["revision"] for row in verdicts)
    if any(count > 1 for count in revisions.values()):
        finding.say("doubled", f"{key} has two verdicts on one revision")
    replaced = {row["supersedes"] for row in verdicts}
    standing = [row for row in verdicts if row["revision"] not in replaced]
    if len(standing) > 1:
        finding.say("doubled", f"{key} has {len(standing)} standing verdicts")
    return standing


def _compare_verdict(finding: Finding, key: CoilKey, last: dict[str, Any], wanted: Expected, scorer: str) -> None:
    if last["revision"] != wanted.revision or bytes(last["readings"]) != wanted.readings:
        finding.say("wrong", f"{key} stands on {last['revision'][:8]}, all its events give {wanted.revision}")
    elif last["ensemble_version"] == scorer and not _same(last["p_nok"], wanted.p_nok):
        finding.say("wrong", f"{key} was given {last['p_nok']}, expected {wanted.p_nok}")


def _same(one: float | None, other: float | None) -> bool:
    return one == other if one is None or other is None else abs(one - other) < 1e-9


def _compare_letters(
    finding: Finding,
    kafka: KafkaSettings,
    seen: dict[CoilKey, Seen],
    alone: dict[tuple[int, int], bytes],
    stored: _Stored,
    *,
    announced: bool,
) -> None:
    messages = {(r["kafka_partition"], r["kafka_offset"]): r for r in stored.letters if not r["whole_coil"]}
    for at, value in alone.items():
        row = messages.pop(at, None)
        if row is None:
            finding.say("lost", f"the message at {at} has no dead letter")
        elif bytes(row["original"]) != value:
            finding.say("wrong", f"the dead letter of {at} has other bytes")
    late = {(partition, offset) for coil in seen.values() for partition, offset, _ in coil.faults}
    for at, row in messages.items():
        if at not in late and row["step"] != "consume":
            finding.say("wrong", f"{at} has a dead letter without cause: {row['error']}")
    wholes = Counter((r["plant"], r["coil_id"], r["kafka_offset"]) for r in stored.letters if r["whole_coil"])
    for what, count in wholes.items():
        if count > 1:
            finding.say("doubled", f"{what} was refused {count} times")


def _compare_outbox(finding: Finding, connection: Connection, destinations: list[str]) -> None:
    """One row a verdict and destination, one a dead letter, and early warnings; nothing else."""
    rows = connection.execute(
        "select destination, payload ->> 'type' as type, payload -> 'data' ->> 'plant' as plant, "
        "payload -> 'data' ->> 'coil_id' as coil_id, payload -> 'data' ->> 'revision' as revision, dead_letter_id "
        "from coilflow.outbox"
    ).fetchall()
    verdicts = connection.execute(
        "select plant, coil_id, revision from coilflow.verdicts where role = 'champion'"
    ).fetchall()
    wanted = Counter((d, v["plant"], v["coil_id"], v["revision"]) for d in destinations for v in verdicts)
    got = Counter(
        (r["destination"], r["plant"], r["coil_id"], r["revision"]) for r in rows if r["type"] == "coil.verdict"
    )
    for missing in (wanted - got).elements():
        finding.say("lost", f"{missing} is not announced")
    for extra in (got - wanted).elements():
        finding.say("doubled", f"{extra} is announced without cause")
    warned = Counter((r["destination"], r["plant"], r["coil_id"]) for r in rows if r["type"] == "coil.warning")
    for coil, count in warned.items():
        if count > 1:
            finding.say("doubled", f"{coil} is warned of {count} times")
    letters = connection.execute("select dead_letter_id from coilflow.dead_letters").fetchall()
    told = Counter(r["dead_letter_id"] for r in rows if r["dead_letter_id"] is not None)
    wanted_letters = Counter(r["dead_letter_id"] for r in letters) if destinations else Counter[Any]()
    if told != wanted_letters:
        finding.say("wrong", f"dead letters announced {sum(told.values())}, expected {sum(wanted_letters.values())}")


def _compare_positions(finding: Finding, connection: Connection, kafka: KafkaSettings) -> None:
    """With nothing open, all was read: a position behind the end means that messages are not accounted for."""
    consumer = reader(kafka)
    try:
        places = [TopicPartition(kafka.chunks_topic, p) for p in consumer.partitions_for_topic(kafka.chunks_topic)]
        ends = {place.partition: end for place, end in consumer.end_offsets(places).items()}
    finally:
        consumer.close()
    rows = connection.execute(
        "select partition, next_offset from coilflow.positions where topic = %s", (kafka.chunks_topic,)
    )
    stored = {row["partition"]: row["next_offset"] for row in rows}
    for partition, end in ends.items():
        if end and stored.get(partition) != end:
            finding.say("lost", f"partition {partition} is done up to {stored.get(partition)}, it ends at {end}")
    open_coils = connection.execute("select count(*) as n from coilflow.coils where state = 'open'").fetchone()
    parked = connection.execute("select count(*) as n from coilflow.parked_coils").fetchone()
    if open_coils and open_coils["n"]:
        finding.say("lost", f"{open_coils['n']} coils are open")
    if parked and parked["n"]:
        finding.say("wrong", f"{parked['n']} parked coils were left behind")


def main() -> int:
    """Answer questions until the input ends."""
    clean = True
    for line in sys.stdin.buffer:
        question = orjson.loads(line)
        finding = judge_topic(
            question["dsn"],
            KafkaSettings(**question["kafka"]),
            destinations=question.get("destinations", ()),
            may_be_open=question.get("may_be_open", ()),
            scorer=question.get("scorer", "e1"),
        )
        clean = clean and not (finding.lost or finding.doubled or finding.wrong)
        sys.stdout.buffer.write(orjson.dumps(finding.answer()) + b"\n")
        sys.stdout.buffer.flush()
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
