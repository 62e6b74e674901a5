"""Which ensembles judge a batch: one immutable table, looked at once a batch, so that no batch mixes two."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from processors.score import Scorer

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What judges the coils of a plant."""

    champion: Scorer  # its verdicts count
    shadow: Scorer | None = None  # scores the same matrices; its verdicts are stored and count for nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class Ensembles:
    """What judges the coils of every plant."""

    every_plant: Served  # without ensembles of its own
    plants: Mapping[str, Served] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, plant: str) -> Served:
        """What judges the coils of a plant."""
        return self.plants.get(plant, self.every_plant)


Current = Callable[[], Ensembles]  # what serves now; asked once a batch


def only(champion: Scorer, shadow: Scorer | None = None) -> Ensembles:
    """One ensemble for every plant."""
    return Ensembles(every_plant=Served(champion=champion, shadow=shadow))


def always(champion: Scorer, shadow: Scorer | None = None) -> Current:
    """One ensemble for every plant that nothing replaces."""
    table = only(champion, shadow)
    return lambda: table


def by_ensembles(items: Iterable[T], plant: Callable[[T], str], ensembles: Ensembles) -> list[tuple[Served, list[T]]]:
    """Divide what is judged together by what judges it, in the order in which it comes.

    Args:
        items: such as coils.
        plant: of one of them.
        ensembles: what serves.
    """
    groups: dict[Hashable, tuple[Served, list[T]]] = {}
    for item in items:
        served = ensembles.of(plant(item))
        groups.setdefault(id(served), (served, []))[1].append(item)
    return list(groups.values())
