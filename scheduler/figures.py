"""Figures of the whole database, counted now and then by every scheduler, whether it leads or stands by.

They are the same wherever they come from, so dashboards and alerts take `max by` of them: two schedulers count nothing
twice, and one that is gone leaves the other's figures. A scrape reads what was counted last and waits for nobody.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from flows.limited_database import LimitedDatabase
from flows.outbox.metrics import show_backlog
from scheduler import metrics
from scheduler.metrics import SHOWN, Shown
from schemas.errors import StoreError
from schemas.scores import ALL, Figure
from schemas.settings import Settings
from schemas.verdicts import MemberId
from store.alarms import unheard_plants
from store.connection import Connection
from store.drift import latest_drift_checks
from store.figures import Table, Tables, read_figures
from store.leadership import last_leader
from store.outbox import backlog
from store.registered import automation, serving
from store.registry_steps import known_ensemble
from store.scores import ModelScore, latest_scores

_EVERY_S = 15.0
_OLDEST_S = 150.0  # what was counted longer ago is not shown: each of ten statements may take ten seconds
_MEASURES = ("agreement", "recall", "false_alarms", "precision")
_LIMITS = ("low", "value", "high")
_TABLES: tuple[tuple[Shown, Table, str], ...] = (  # a figure, the table that has it, and its column there
    (metrics.UNFINISHED, "figures_unfinished", "coils"),
    (metrics.OLDEST_UNFINISHED, "figures_unfinished", "oldest_s"),
    (metrics.MISFILED, "figures_misfiled", "coils"),
    (metrics.VERDICTS, "figures_verdicts", "coils"),
    (metrics.LAST_VERDICT, "figures_verdicts", "last_at_s"),
    (metrics.FEEDBACK, "figures_feedback", "words"),
    (metrics.LAST_FEEDBACK, "figures_feedback", "last_at_s"),
    (metrics.REVIEWS, "figures_reviews", "coils"),
    (metrics.LETTERS, "figures_letters", "letters"),
    (metrics.FIRES, "figures_fires", "fires"),
    (metrics.FIRE_WAITS, "figures_waiting_fires", "waiting_s"),
    (metrics.ALARMS, "figures_alarms", "alarms"),
    (metrics.ENSEMBLE_WORKERS, "figures_answers", "workers"),
)
_log = structlog.stdlib.get_logger(__name__)


class Figures(Collector):
    """What was counted last; replaced whole, so that a scrape never sees half of it."""

    def __init__(self) -> None:
        self.families: Sequence[GaugeMetricFamily] = ()
        self._told_s = time.monotonic()

    def tell(self, families: Sequence[GaugeMetricFamily]) -> None:
        """Show these from now on."""
        self.families, self._told_s = families, time.monotonic()

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Which figures there are, before any was counted."""
        return (one.family(()) for one in SHOWN)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The figures; of a count that hangs or has ended only that there are none."""
        if time.monotonic() - self._told_s > _OLDEST_S:
            return iter((metrics.DATABASE_UP.family([((), 0)]),))
        return iter(self.families)


@contextmanager
def showing_figures(
    dsn: str, settings: Settings, *, every_s: float = _EVERY_S, registry: CollectorRegistry = REGISTRY
) -> Iterator[Figures]:
    """Count in a thread of its own while the block lasts; nothing is counted where no port shows it.

    Args:
        dsn: of a database of this version.
        settings: `metrics_port`, destinations, bounds of the policy.
        every_s: between two counts.
        registry: that shows them.
    """
    figures, stop = Figures(), threading.Event()
    if settings.metrics_port is None:
        yield figures
        return
    thread = threading.Thread(target=_keep_counting, args=(figures, dsn, settings, every_s, stop), name="figures")
    registry.register(figures)
    thread.start()
    try:
        yield figures
    finally:
        stop.set()
        thread.join()
        registry.unregister(figures)


def _keep_counting(figures: Figures, dsn: str, settings: Settings, every_s: float, stop: threading.Event) -> None:
    database, failed = LimitedDatabase(dsn, application_name="coilflow figures"), False
    while not stop.is_set():
        try:
            began_s = time.monotonic()
            counted = count_figures(database.connection(), settings, now=datetime.now(UTC))
            took = metrics.COUNTING_SECONDS.family([((), time.monotonic() - began_s)])
            figures.tell((metrics.DATABASE_UP.family([((), 1)]), took, *counted))
            failed = False
        except Exception as error:  # noqa: BLE001 - whatever it is: who watches goes on watching
            figures.tell((metrics.DATABASE_UP.family([((), 0)]),))  # old figures would look like new ones
            database.close()
            if not isinstance(error, StoreError):
                _log.exception("counting what monitoring shows failed and is tried again")
            elif not failed:
                _log.warning("what monitoring shows cannot be counted", reason=str(error), remedy=error.remedy)
            failed = True
        stop.wait(every_s)
    database.close()


def count_figures(connection: Connection, settings: Settings, *, now: datetime) -> tuple[GaugeMetricFamily, ...]:
    """Count once; what waits in the outbox goes to the outbox's own metrics.

    Raises:
        StoreError: the database refused, or took too long.
    """
    tables = read_figures(connection)
    show_backlog(backlog(connection), frozenset(settings.destinations))
    return (
        *(_from_table(shown, tables, table, column) for shown, table, column in _TABLES),
        *_of_leader(connection),
        metrics.FROZEN.family([((), automation(connection).frozen)]),
        *_of_feedback(connection, tables, settings, now),
        *_of_scores(connection, settings),
        *_of_drift(connection),
    )


def _from_table(shown: Shown, tables: Tables, table: Table, column: str) -> GaugeMetricFamily:
    return shown.family(([row[label] for label in shown.labels], row[column]) for row in tables[table])


def _of_leader(connection: Connection) -> Iterator[GaugeMetricFamily]:
    leader = last_leader(connection)
    yield metrics.LEADING.family([((), leader is not None and leader.leads)])
    yield metrics.LEADER_SILENCE.family([] if leader is None else [((), leader.silent_s)])


def _of_feedback(
    connection: Connection, tables: Tables, settings: Settings, now: datetime
) -> Iterator[GaugeMetricFamily]:
    quiet = unheard_plants(connection, since=now - timedelta(days=settings.alarms.no_feedback_days), now=now)
    plants = {row["plant"] for row in tables["figures_verdicts"]} | set(quiet)
    yield metrics.DRIED_UP.family(([plant], plant in quiet) for plant in sorted(plants))


def _of_scores(connection: Connection, settings: Settings) -> Iterator[GaugeMetricFamily]:
    policy, rows = settings.policy, serving(connection).values()
    served = {("champion", row.champion) for row in rows} | {("shadow", row.shadow) for row in rows}
    members = {(role, member) for role, name in served if name for member in known_ensemble(connection, name).members}
    scores = [one for one in latest_scores(connection) if _serves(one, served, members)]
    yield metrics.SCORE.family(
        ([*_names(one), measure, limit], value)
        for one in scores
        for measure in _MEASURES
        for limit in _LIMITS
        if (value := getattr(_figure(one, measure), limit)) is not None
    )
    yield metrics.SCORED.family((_names(one), one.score.evaluated) for one in scores)
    yield metrics.BOUND.family(
        [
            (["agreement"], policy.least_agreement),
            (["recall"], policy.least_recall),
            (["false_alarms"], policy.most_false_alarms),
        ]
    )
    yield metrics.LEAST_SCORED.family([((), policy.more_than_coils)])


def _serves(one: ModelScore, served: set[tuple[str, str | None]], members: set[tuple[str, MemberId]]) -> bool:
    """Whether the score is of all coils or of a plant's, and of what serves now in that role."""
    if one.slice != ALL and one.slice.kind != "plant":
        return False
    subject = one.subject
    if subject.kind == "member":
        return (subject.role, MemberId(model=subject.model, version=subject.version)) in members
    return (subject.role, subject.version.partition("+")[0]) in served  # combined as the settings say: VERSION+mean


def _names(one: ModelScore) -> list[str]:
    return [one.slice.value, one.subject.role, one.subject.model, one.subject.version]


def _figure(one: ModelScore, measure: str) -> Figure:
    """As the policy takes them: recall and false alarms weighted by the draws of reviews, where any was answered."""
    weighted = one.score.weighted
    rates = one.score.rates if measure == "agreement" or weighted is None else weighted.rates
    figure: Figure = getattr(rates, measure)
    return figure


def _of_drift(connection: Connection) -> Iterator[GaugeMetricFamily]:
    checks = latest_drift_checks(connection)
    figures = [([one.plant, name], figure) for one in checks for name, figure in one.figures.items()]
    yield metrics.DRIFT.family((labels, figure["psi"]) for labels, figure in figures)
    yield metrics.DRIFT_BOUND.family((labels, figure["at_least"]) for labels, figure in figures)
    yield metrics.DRIFTED.family(([one.plant], one.drifted) for one in checks)
    yield metrics.LAST_DRIFT_CHECK.family(([one.plant], one.checked_at.timestamp()) for one in checks)
