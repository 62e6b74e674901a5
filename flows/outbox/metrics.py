"""Metrics of the outbox; those of messaging in general are in `flows.observe`."""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from store.outbox import Backlog

_DESTINATION = ("messaging_system", "messaging_destination_name")

WAITING = Gauge("coilflow_outbox_waiting_rows", "Rows that this destination has not got yet", _DESTINATION)
LAG_SECONDS = Gauge("coilflow_outbox_lag_seconds", "Age of the oldest row that waits, s; 0: none waits", _DESTINATION)
SET_ASIDE = Gauge("coilflow_outbox_refused_rows", "Rows that this destination refused for good", _DESTINATION)
REFUSALS = Counter("coilflow_outbox_refusals", "Rows refused, each attempt counted", _DESTINATION)
RETRIES = Counter("coilflow_outbox_retries", "Failures of a destination as a whole, each tried again", _DESTINATION)
SLOTS_OWNED = Gauge("coilflow_outbox_slots_owned", "Hash slots that this relay owns, of 64")


def labels(destination: str) -> tuple[str, str]:
    """`kafka:coil.verdicts` -> ("kafka", "coil.verdicts"); both kinds of MQTT payload are the system "mqtt"."""
    system, _, name = destination.partition(":")
    return system.removesuffix("-event"), name


def show_backlog(found: Mapping[str, Backlog], known: frozenset[str]) -> None:
    """Show what waits in the whole database; a destination known, or shown before, for which nothing waits shows 0."""
    by_labels: dict[tuple[str, str], list[Backlog]] = {labels(destination): [] for destination in known}
    for before in [sample.labels for family in WAITING.collect() for sample in family.samples]:
        by_labels.setdefault((before[_DESTINATION[0]], before[_DESTINATION[1]]), [])
    for destination, one in found.items():
        by_labels.setdefault(labels(destination), []).append(one)
    for label, backlogs in by_labels.items():
        WAITING.labels(*label).set(sum(one.waiting for one in backlogs))
        SET_ASIDE.labels(*label).set(sum(one.refused for one in backlogs))
        LAG_SECONDS.labels(*label).set(max((one.lag_s for one in backlogs), default=0))
