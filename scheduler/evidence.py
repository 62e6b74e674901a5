"""What is known of a serving version, and what each bound of the policy is tested on.

**Agreement and false alarms** are tested on every coil that the version decided, in the order of decision. Where people
look at alarms, the coils with labels are mostly alarms, and agreement over them is the precision of alarms: a few
percent at 1% NOK, for the best of models. So a coil counts as wrong once its label says so, and as right until then.
Wrong coils are only ever under-counted, and evidence never falls where an outcome turns from right to wrong: whichever
labels come, however late and in whatever order, a finding is no likelier than if all coils had labels at once. What it
costs is small, since nearly all errors at a few percent NOK are false alarms, and those are looked at.

**Recall** is tested on NOK labels of coils called NOK and of coils that a review was asked for, in the order in which
the labels came. A missed coil is seen only where a review asked for it, with a known probability, and stands for
1 / probability of its kind: without that, 0.1 of recall under a draw of 2% looks like 0.85. It takes for granted that
coils called NOK are looked at, and about as soon as those drawn. Labels that nobody asked for (a customer's complaint)
say nothing of how many more there are: they count for agreement, not for recall.

**A disputed coil** counts for nothing until that is settled: nobody knows what it is, and as a right one it would hide
errors for as long as nobody settles it. It keeps its place in the order. That takes for granted that people do not
disagree mostly about coils that the version has right.

**Where labels come without regard to the verdict** (`feedback = "regardless"`) labelled coils stand for all, in the
order in which labels came, and coils without a label are left out.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from models.anytime import below, upper_limit
from schemas.coils import BoolArray, FloatArray
from schemas.loop_settings import PolicySettings

Figure = Literal["agreement", "recall", "false alarms"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcomes:
    """The coils that a version decided, in the order of decision; arrays [N], or [..., N] of several runs.

    All of them, or all but the first ones: a whole number of horizons, which say nothing any more. An undecided coil is
    called NOK where its p_nok is at its threshold or above; one without p_nok is left out.
    """

    called_nok: BoolArray
    is_nok: BoolArray  # the label; means nothing where there is none
    labelled_at: FloatArray  # s since any moment; NaN: no label yet, or disputed
    review_probability: FloatArray  # with which a review was asked for, (0, 1]; NaN: none was
    disputed: BoolArray | None = None  # people differ on it, and nobody has settled it; None: none is
    least_probability: float = 1.0  # of a review of a coil that it calls NOK; below 1 of a member, which may be alone
    before: int = 0  # coils decided before these
    before_nok: int = 0  # of them labelled NOK
    before_disputed: int = 0  # of them disputed


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """The version's score over its window, shares in [0, 1]; None where there is no such coil."""

    evaluated: int  # coils with a label
    agreement: float | None
    recall: float | None  # of NOK coils, weighted where reviews are drawn
    false_alarms: float | None  # of OK coils, likewise


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """All that the policy looks at."""

    outcomes: Outcomes
    score: Score
    found_nok: Outcomes | None = None  # every coil labelled NOK, in the order of decision; None: `outcomes` has them
    labelled: int  # coils to learn from, of all versions
    labelled_nok: int
    new_labelled: int | None  # since the last attempt; None: there was none
    last_attempt: datetime | None = None
    drift: tuple[str, ...] = ()  # what has drifted, a sentence each
    frozen: bool = False  # a person stopped all automatic change
    pending: str | None = None  # version of a successor that is in training, in shadow or waits for approval


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """Outcomes in order, as `models.anytime` takes them: [..., N] each."""

    right: BoolArray
    weight: FloatArray
    before: int = 0  # outcomes before these that count


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What is known of one figure against its bound: shares in [0, 1]."""

    figure: Figure
    bound: float  # agreement and recall are to be at least that, false alarms at most
    alpha: float
    score: float | None  # over the window
    breached: bool  # by the score
    coils: int  # that count for it
    limit: float  # confidence limit at all times: upper of agreement and recall, lower of false alarms
    established_at: int | None  # coils after which the breach was sure; None: it is not
    by_coils: int | None  # the latest of them, since when the figure was out of bounds


def agreement_stream(outcomes: Outcomes, feedback: str) -> Stream:
    """Right where the label agrees with the verdict, or is not there yet; a disputed coil counts for nothing."""
    labelled = ~np.isnan(outcomes.labelled_at)
    right = ~(labelled & (outcomes.called_nok != outcomes.is_nok))
    stream = Stream(
        right=right,
        weight=np.where(_uncounted(outcomes), 0.0, 1.0),
        before=outcomes.before - outcomes.before_disputed,
    )
    return _labelled_only(stream, outcomes, labelled) if feedback == "regardless" else stream


def false_alarm_stream(outcomes: Outcomes, feedback: str) -> Stream:
    """Right where a coil is no false alarm; coils labelled NOK or disputed keep their place and count for nothing."""
    labelled = ~np.isnan(outcomes.labelled_at)
    stream = Stream(
        right=~(labelled & outcomes.called_nok & ~outcomes.is_nok),
        weight=np.where((labelled & outcomes.is_nok) | _uncounted(outcomes), 0.0, 1.0),
        before=outcomes.before - outcomes.before_nok - outcomes.before_disputed,
    )
    return _labelled_only(stream, outcomes, labelled) if feedback == "regardless" else stream


def recall_stream(outcomes: Outcomes, feedback: str) -> Stream:
    """Right where a coil labelled NOK was called NOK; of one run, arrays [N].

    What an ensemble calls NOK is looked at. What one of its members alone calls NOK is seen no oftener than what it
    misses: both stand for 1 / probability, and to keep weights of right ones within 1, all count for the least of it.

    It is the least of the version's whole life, so that after a time of few reviews a member is found wanting as late
    as if there had always been so few. A scale must be known before the coil that it scales, or the bet is not fair.
    The least of the coils looked at is not: it rises as they move on, and each rise would bet again on what was seen.
    The share that was drawn when a coil was decided is known before it, but is kept only where the review was not
    certain. The least of a life falls only where the share falls below all before it; alpha holds from each such fall.
    """
    nok = ~np.isnan(outcomes.labelled_at) & outcomes.is_nok
    if feedback == "regardless":
        return _labelled_only(Stream(right=outcomes.called_nok, weight=np.ones(nok.shape)), outcomes, nok)
    surely = outcomes.called_nok & (outcomes.least_probability == 1)
    weight = outcomes.least_probability / np.where(surely, 1.0, outcomes.review_probability)
    return _labelled_only(Stream(right=outcomes.called_nok, weight=weight), outcomes, nok & ~np.isnan(weight))


def check_all(evidence: Evidence, settings: PolicySettings) -> tuple[Check, ...]:
    """Agreement, recall and false alarms, each against its bound by a sequence of its own.

    Alpha is per figure: `alpha` of agreement, `alpha_rates` of recall and of false alarms. A model exactly at all
    three bounds at once is found wanting, falsely, with a chance of at most their sum over a horizon of each.
    """
    given, score = evidence.outcomes, evidence.score
    agreement = agreement_stream(given, settings.feedback)
    recall = recall_stream(evidence.found_nok or given, settings.feedback)
    alarms = false_alarm_stream(given, settings.feedback)
    most = settings.most_false_alarms
    return (
        _check("agreement", agreement, settings.least_agreement, settings.alpha, score.agreement, settings),
        _check("recall", recall, settings.least_recall, settings.alpha_rates, score.recall, settings),
        _check("false alarms", alarms, most, settings.alpha_rates, score.false_alarms, settings),
    )


def _check(
    figure: Figure, stream: Stream, bound: float, alpha: float, score: float | None, settings: PolicySettings
) -> Check:
    """One figure; that of false alarms is one minus the share of coils that are none."""
    mirrored = figure == "false alarms"
    horizon = settings.horizon_coils
    least = 1 - bound if mirrored else bound
    found = below(stream.right, stream.weight, bound=least, alpha=alpha, horizon=horizon)
    limit = upper_limit(stream.right, stream.weight, alpha=alpha, horizon=horizon)
    counts = stream.weight > 0
    return Check(
        figure=figure,
        bound=bound,
        alpha=alpha,
        score=score,
        breached=score is not None and (score > bound if mirrored else score < bound),
        coils=stream.before + int(counts.sum()),
        limit=1 - limit if mirrored else limit,
        established_at=None if found is None else stream.before + int(counts[: found.at].sum()),
        by_coils=None if found is None else int(counts[found.since : found.at].sum()),
    )


def _uncounted(outcomes: Outcomes) -> BoolArray:
    return np.zeros(outcomes.called_nok.shape, dtype=np.bool_) if outcomes.disputed is None else outcomes.disputed


def _labelled_only(stream: Stream, outcomes: Outcomes, wanted: BoolArray) -> Stream:
    """Of one run, the coils that are wanted, in the order in which their labels came."""
    kept = np.flatnonzero(wanted)
    order = kept[np.argsort(outcomes.labelled_at[kept], kind="stable")]
    return Stream(right=stream.right[order], weight=stream.weight[order])
