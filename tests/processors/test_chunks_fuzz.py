"""Whatever the data of events hold, a coil comes out as a coil or as a reject."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.chunks import CoilEvents, coils_from_events
from processors.decode import ChunkEvent
from schemas.coils import CoilKey, Origin
from schemas.contracts import example_of

KEY = CoilKey(plant="linz-hdg2", coil_id="226031456")
EXAMPLES = {kind: example_of(kind)["data"] for kind in ("coil.started", "coil.chunk", "coil.ended")}
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["top", "bottom", "12"]),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


def events(kind: str) -> st.SearchStrategy[ChunkEvent]:
    """An example with up to three of its fields replaced."""
    damage = st.dictionaries(st.sampled_from([n for n in EXAMPLES[kind] if n not in ("plant", "coil_id")]), values)
    return damage.map(lambda changed: ChunkEvent(kind, KEY, EXAMPLES[kind] | dict(list(changed.items())[:3])))


@given(
    started=st.lists(events("coil.started"), max_size=2),
    chunks=st.lists(events("coil.chunk"), max_size=4),
    ended=st.lists(events("coil.ended"), max_size=2),
)
@settings(max_examples=100)
def test_no_data_raise(started: Any, chunks: Any, ended: Any) -> None:
    sound = [
        ChunkEvent("coil.chunk", KEY, EXAMPLES["coil.chunk"] | {"face": face, "position": position})
        for face in ("top", "bottom")
        for position in (0.0, 1000.0, 2000.0)
    ]
    coil = CoilEvents(key=KEY, origin=Origin(place="here", original=bytes), events=(*started, *chunks, *ended, *sound))
    assembled = coils_from_events([coil])
    assert len(assembled.coils) + len(assembled.rejects) == 1
