"""How connections run to the funnels aside: each label in a lane, beside its processor and clear of all boxes."""

from flows.nifi.describe.parts import Connection, Funnel, Place, Processor

_WIDE, _CLEAR = 352, 60  # of a processor; between it and where its connections turn, px
_BEYOND = 190  # from the middle of the lane to where they turn to the funnel, px
_DOWN = 24, 104  # from a processor's top to the labels of its first and its second connection, px


def aside(source: Processor, *ends: tuple[tuple[str, ...], Funnel], lane: int) -> tuple[Connection, ...]:
    """Connections for people to look into; a queue that is full stops the processor, and loses nothing.

    Args:
        source: a processor.
        ends: relationships and the funnel that they lead to; two at most.
        lane: the middle of the labels, x in px.
    """
    return tuple(
        Connection(
            source=source,
            relationships=relationships,
            to=funnel,
            most=10_000,
            bends=tuple(
                Place(x, source.place.y + down) for x in (source.place.x + _WIDE + _CLEAR, lane, lane + _BEYOND)
            ),
            label_at=1,
        )
        for down, (relationships, funnel) in zip(_DOWN, ends, strict=False)
    )
