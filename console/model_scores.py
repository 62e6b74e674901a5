"""What an ensemble is worth by its last score, for people and for programs."""

from collections.abc import Sequence
from typing import Any

from schemas.scores import ALL, Figure
from store.connection import Connection
from store.registered import ensemble
from store.scores import ModelScore
from store.training import spellings


def score_of(version: str, scores: Sequence[ModelScore]) -> ModelScore | None:
    """The score over all coils of an ensemble: of a champion rather than a shadow, then on most coils.

    Args:
        version: of the ensemble; verdicts may spell it with how its members were combined.
        scores: the newest ones.
    """
    named = spellings(version)
    own = [
        one
        for one in scores
        if one.subject.kind == "ensemble" and one.subject.version in named and one.slice == ALL and one.score.evaluated
    ]
    return max(own, key=lambda one: (one.subject.role == "champion", one.score.evaluated), default=None)


def scores_of_version(connection: Connection, version: str, scored: Sequence[ModelScore]) -> tuple[ModelScore, ...]:
    """Scores of an ensemble, as verdicts may spell it, and of its members; else of whatever has that version.

    Args:
        connection: on a database of this version.
        version: of an ensemble or a model.
        scored: to choose from.

    Raises:
        StoreError: the database refused.
    """
    one = ensemble(connection, version)
    if one is None:
        return tuple(each for each in scored if each.subject.version == version)
    whose = {("", spelt) for spelt in spellings(version)} | {(member.model, member.version) for member in one.members}
    return tuple(each for each in scored if (each.subject.model, each.subject.version) in whose)


def score_object(one: ModelScore | None) -> dict[str, Any] | None:
    """Figures with their limits as JSON; None where no coil of it has a label.

    Recall and false alarms are weighted by the draws of reviews where such were answered, as the policy takes them.
    """
    if one is None:
        return None
    score = one.score
    rates = score.rates if score.weighted is None else score.weighted.rates
    return {
        "role": one.subject.role,
        "evaluated": score.evaluated,
        "agreement": _limits(score.rates.agreement),
        "nok_recall": _limits(rates.recall),
        "false_alarms": _limits(rates.false_alarms),
        "weighted": score.weighted is not None,
        "window_from": one.window_from,
        "computed_at": one.computed_at,
    }


def score_cells(one: ModelScore | None) -> tuple[str, str]:
    """Agreement with its coils, and NOK recall; empty where nothing is known."""
    if one is None:
        return "", ""
    rates = one.score.rates if one.score.weighted is None else one.score.weighted.rates
    agreement, recall = one.score.rates.agreement.value, rates.recall.value
    return (
        "" if agreement is None else f"{agreement:.1%} of {one.score.evaluated}",
        "" if recall is None else f"{recall:.1%}",
    )


def _limits(figure: Figure) -> dict[str, float | None]:
    return {"value": figure.value, "low": figure.low, "high": figure.high}
