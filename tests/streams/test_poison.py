"""Poison between good coils: every good coil is judged, every poison is kept with its bytes and told."""

from kafka.admin import ConfigResource, ConfigResourceType

from flows.kafka.client import admin
from schemas.stream_settings import StreamSettings
from tests.streams.lines import coil
from tests.streams.poison import POISON
from tests.streams.stand import Stream, StreamMaker
from tests.waiting import wait_until

RULES = StreamSettings(deadline_s=600.0, settle_s=0.3, warn_length_m=10.0)


def poisoned(stream: StreamMaker) -> tuple[Stream, dict[str, int]]:
    """A stream with each poison between good coils; offset of each."""
    it = stream(partitions=1, stream=RULES)
    topic = it.settings.kafka.chunks_topic
    with admin(it.settings.kafka) as client:
        client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(64 * 2**20)})])
    offsets = {}
    for i, poison in enumerate(POISON):
        victim = coil(poison.coil_id) if poison.coil_id else []
        it.send([*coil(f"good {i}")[:5], *victim[:5]])
        offsets[poison.name] = it.ends.get(0, 0)
        it.send_raw([(b"key", poison.value, list(poison.headers))])
        it.send([*victim[5:], *coil(f"good {i}")[5:]])
    return it, offsets


def test_every_good_coil_is_judged_and_every_poison_is_kept_and_told(stream: StreamMaker) -> None:
    it, offsets = poisoned(stream)
    with it.worker():
        it.drain()
    assert it.decided() == len(POISON)
    alone = [poison for poison in POISON if poison.coil_id is None]
    letters = {row["kafka_offset"]: row for row in it.rows("select * from coilflow.dead_letters where not whole_coil")}
    assert {poison.name: offsets[poison.name] in letters for poison in alone} == {poison.name: True for poison in alone}
    assert len(letters) == len(alone)
    for poison in alone:
        letter = letters[offsets[poison.name]]
        assert bytes(letter["original"]) == (poison.value or b""), poison.name
        assert len(letter["headers"]) == len(poison.headers), poison.name
        assert bytes(letter["kafka_key"]) == b"key"
        assert letter["error"]
        assert letter["remedy"]
    spoilt = {p.coil_id for p in POISON if p.coil_id}
    whole = it.rows("select coil_id, original from coilflow.dead_letters where whole_coil")
    assert {row["coil_id"] for row in whole} == spoilt
    assert len(whole) == len(spoilt)
    assert all(len(bytes(row["original"]).splitlines()) == 11 for row in whole)
    told = it.rows("select destination from coilflow.outbox where dead_letter_id is not null")
    assert [row["destination"] for row in told] == [f"kafka:{it.settings.kafka.chunks_topic}.dead-letter"] * len(POISON)
    it.check(len(POISON) + len(spoilt))


def test_poison_that_is_read_again_is_told_once(stream: StreamMaker) -> None:
    it = stream(partitions=1)
    it.send(coil("endless")[:3])
    small = [poison for poison in POISON if len(poison.value or b"") < 2**20 and poison.coil_id is None]
    it.send_raw([(b"key", poison.value, list(poison.headers)) for poison in small])
    for _ in range(2):
        with it.worker():
            wait_until(lambda: it.one("select count(*) from coilflow.dead_letters") == len(small))
            wait_until(lambda: it.one("select count(*) from coilflow.coils where state = 'open'") == 1)
    it.send(coil("endless")[3:])
    with it.worker():
        it.drain()
    assert it.one("select count(*) from coilflow.dead_letters") == len(small)
    it.check(1)


def test_poison_that_names_a_decided_coil_leaves_its_verdict(stream: StreamMaker) -> None:
    it = stream(partitions=1)
    it.send(coil("c"))
    with it.worker():
        it.drain()
        [verdict] = it.verdicts("c")
        named = [(p, (p.value or b"").replace(p.coil_id.encode(), b"c")) for p in POISON if p.coil_id]
        it.send_raw([(b"key", value, list(poison.headers)) for poison, value in named])
        it.drain()
        wait_until(lambda: it.one("select count(*) from coilflow.dead_letters where whole_coil") >= 1)
    assert it.verdicts("c") == [verdict]
    assert it.one("select state from coilflow.coils") == "decided"
