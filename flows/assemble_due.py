"""Assemble coils that are due: the same for every host that judges, and for NiFi, which scores elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from processors.assemble import Assembled
from processors.chunks import coils_from_events, fragment
from processors.open_coils import OpenCoil
from schemas.coils import CoilBatch, CoilKey, Order
from schemas.errors import CoilflowError
from schemas.rejects import LogPlace, Reject, Step
from schemas.settings import Settings

log = structlog.get_logger("coilflow.judge")


@dataclass(frozen=True, kw_only=True, slots=True)
class DueCoil:
    """An open coil that is decided now."""

    coil: OpenCoil
    place: str  # of its messages, for people
    silent: bool  # it passed its deadline without an end
    log: LogPlace | None  # its last message; None where it did not come from Kafka


@dataclass(frozen=True, kw_only=True, slots=True)
class FragmentCoil:
    """A silent coil that lacks its start or a face: it gets no matrix, and is UNDECIDED."""

    due: DueCoil
    coils: CoilBatch  # itself alone
    order: Order | None  # None where its start did not come


@dataclass(frozen=True, kw_only=True, slots=True)
class AssembledDue:
    """Each coil is a fragment, in `whole.coils` or in `whole.rejects`, which hold the messages that came."""

    fragments: tuple[FragmentCoil, ...]
    whole: Assembled


def assemble_due(due: Sequence[DueCoil], settings: Settings) -> AssembledDue:
    """Assemble coils that are due.

    A silent coil that lacks its start or a face is a fragment, so that what comes late makes a revision of it.
    Stragglers of a coil that was refused before are refused as it was.

    Args:
        due: coils of one host, each once.
        settings: rules of the stream.
    """
    fragments, rest = [], []
    for one in due:
        partial = one.silent and one.coil.is_fragment and not one.coil.is_straggler
        part = _fragment(one, settings) if partial else None
        if part is None:
            rest.append(one)
        else:
            fragments.append(part)
    whole = coils_from_events(
        [one.coil.events_so_far(place=one.place, rules=settings.stream, silent=one.silent) for one in rest]
    )
    by_key = {one.coil.key: one for one in rest}
    rejects = tuple(with_messages(reject, by_key) for reject in whole.rejects)
    return AssembledDue(fragments=tuple(fragments), whole=replace(whole, rejects=rejects))


def with_messages(reject: Reject, by_key: Mapping[CoilKey, DueCoil]) -> Reject:
    """A step refuses what it was given; what is kept is what came."""
    if reject.key is None:
        return reject
    one = by_key[reject.key]
    return replace(reject, place=one.place, original=one.coil.original(), log=one.log)


def broken_coil(one: DueCoil, step: Step, error: Exception) -> Reject:
    """A coil that a step breaks on, to be refused alone; what is no error of ours is logged."""
    known = isinstance(error, CoilflowError)
    if not known:
        log.error("a step breaks on a coil", **one.coil.key._asdict(), exc_info=error)
    return Reject(
        step=step,
        place=one.place,
        key=one.coil.key,
        error=str(error) if known else f"unexpected {type(error).__name__}: {error}",
        remedy=error.remedy if isinstance(error, CoilflowError) else "report what the log shows, then replay it",
        original=one.coil.original(),
        log=one.log,
    )


def _fragment(one: DueCoil, settings: Settings) -> FragmentCoil | None:
    found = fragment(one.coil.events_so_far(place=one.place, rules=settings.stream, silent=True))
    return None if found is None else FragmentCoil(due=one, coils=found[0], order=found[1])
