"""What a successor has to pass: the holdout, the shadow, and the watch. Figures in, a verdict with its reasons out."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from models.anytime import below
from models.share_intervals import wilson_interval
from processors.model_score import weighted_rates
from scheduler.evidence import Outcomes, Stream, agreement_stream, false_alarm_stream, recall_stream
from scheduler.reasons import Reason, reason
from schemas.loop_settings import PolicySettings, PromotionSettings
from schemas.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """What becomes of a successor, and why."""

    way: Literal["pass", "wait", "reject"]
    why: tuple[Reason, ...]


def holdout_gate(compared: dict[str, Any] | None, settings: Settings) -> Gate:
    """Whether a successor has proved better on coils that nobody learnt from.

    One look is taken at each successor. It *passes* where its F1 is higher by `promotion.margin` and the paired test
    says that this is no chance (`promotion.alpha`). It *waits* for a person where the holdout cannot tell: too few NOK
    coils, no coil drawn at random (so that its own false alarms are unseen), or a difference that may be chance. It is
    *rejected* where it is not better.

    Args:
        compared: `models.weighted_pairs.Compared` as JSON; None: no coil of the holdout says anything of the line.
        settings: `retrain.least_holdout_nok`, `promotion`, `policy.feedback`.
    """
    least, promotion = settings.retrain.least_holdout_nok, settings.promotion
    if compared is None:
        return Gate(way="wait", why=(reason("holdout_empty", "no coil of the holdout was asked for by a review"),))
    difference, p_value = compared["difference"], compared["p_value"]
    said = (
        f"F1 {compared['successor']['f1']:.3f} on {compared['coils']} coils of the holdout ({compared['nok']} NOK), "
        f"the champion {compared['champion']['f1']:.3f}: {difference:+.3f}{_within(compared['ci95'])}, p {p_value:.3g}"
    )
    if compared["nok"] < least:
        text = f"{compared['nok']} NOK coils in the holdout, {least} wanted; {said}"
        return Gate(way="wait", why=(reason("few_nok", text),))
    if not _is_higher(difference, promotion):
        return Gate(way="reject", why=(reason("not_better", f"margin {promotion.margin:g} wanted; {said}"),))
    if settings.policy.feedback == "alarms" and not compared["drawn"]:
        text = "no coil of the holdout was drawn at random, so false alarms of the successor alone are unseen"
        return Gate(way="wait", why=(reason("no_draws", f"{text}; set review.share; {said}"),))
    if p_value > promotion.alpha:
        return Gate(way="wait", why=(reason("may_be_chance", f"alpha {promotion.alpha:g} wanted; {said}"),))
    return Gate(way="pass", why=(reason("better", said),))


@dataclass(frozen=True, kw_only=True, slots=True)
class InShadow:
    """What a shadow did beside the champion."""

    coils: int  # that both judged
    differ: int  # where they called it otherwise
    alarms_alone: int  # called NOK by the shadow alone, and by no person
    compared: dict[str, Any] | None  # on coils with a label; None: none says anything of the line
    refused: str | None  # what a live worker refuses it for, tried again
    refused_yet: str | None = None  # likewise, where that may pass: not tried again yet, or its files are away
    days: float = 0.0  # since it began


def shadow_gate(seen: InShadow, settings: Settings) -> Gate:
    """Whether a shadow may take over: it has judged enough coils, and proves better on those with a label.

    Both are compared by the paired test that the holdout has proved the successor better by. Labels may be few by then,
    for few coils are asked for: the shadow waits until it is surely better by the margin, and is rejected where it is
    not within `score.window_days`; with `promotion.in_shadow = "no_worse"` only one that is surely worse is rejected.
    Nobody looks at the alarms of a shadow unless the coil was drawn: where it alone calls more than
    `policy.most_false_alarms` of all coils NOK, a person has to say whether they are.

    Args:
        seen: beside the champion.
        settings: `promotion`, `policy.most_false_alarms`, `score.window_days`.
    """
    most, wanted = settings.policy.most_false_alarms, settings.promotion.shadow_coils
    if seen.refused is not None:
        return Gate(way="reject", why=(reason("refused", seen.refused),))
    if seen.refused_yet is not None:
        return Gate(way="wait", why=(reason("refused_yet", seen.refused_yet),))
    if seen.coils < wanted:
        return Gate(way="wait", why=(reason("few_coils", f"{seen.coils} of {wanted} coils judged in shadow"),))
    told = f"{seen.coils} coils judged in shadow, {seen.differ} otherwise than the champion"
    gate, share = _by_labels(seen, told, settings), seen.alarms_alone / seen.coils
    if gate.way != "reject" and share > most:
        text = f"{share:.1%} of coils called NOK by it alone and by no person, most is {most:.1%}"
        return Gate(way="wait", why=(reason("many_alarms", f"{text}; {told}"),))
    return gate


def _by_labels(seen: InShadow, told: str, settings: Settings) -> Gate:
    found, promotion = seen.compared, settings.promotion
    told = f"{told}; {'none of them has a label that tells' if found is None else _compared(found)}"
    sure = found is not None and found["p_value"] <= promotion.alpha
    difference = 0.0 if found is None else found["difference"]
    if sure and difference < 0:
        return Gate(way="reject", why=(reason("worse_in_shadow", told),))
    if sure and _is_higher(difference, promotion):
        return Gate(way="pass", why=(reason("better", told),))
    if promotion.in_shadow == "no_worse":
        return Gate(way="pass", why=(reason("no_worse", told),))
    told = f"margin {promotion.margin:g} and alpha {promotion.alpha:g} wanted; {told}"
    if seen.days >= settings.score.window_days:
        return Gate(way="reject", why=(reason("not_better", f"in {seen.days:.0f} days in shadow; {told}"),))
    return Gate(way="wait", why=(reason("not_better_yet", told),))


def watch_gate(outcomes: Outcomes, before: Outcomes, policy: PolicySettings, promotion: PromotionSettings) -> Gate:
    """Whether a new champion does worse than the one before did: *reject* means that it is rolled back.

    Agreement, recall and false alarms are each tested after every coil, by betting (`models.anytime`, Ville 1939),
    against what the champion before did: the 95% limit on its bad side, so that it is not held against the new one that
    the old one was lucky. Alpha is divided among the three, so that a champion as good as that is rolled back with a
    chance of at most `promotion.alpha` however often one looks. A coil without a label counts as right (as in
    `scheduler.evidence`): late labels can only delay a finding. Where nothing is known of the champion before, the
    bounds of the policy stand in.

    Args:
        outcomes: of the first `promotion.watch_coils` coils of the new champion, in the order of decision.
        before: of the last as many of the champion before.
        policy: how labels come, and bounds.
        promotion: alpha, and the watched coils, which are the horizon of every look.
    """
    feedback, alpha = policy.feedback, promotion.alpha / 3
    looks = (
        ("agreement", agreement_stream(outcomes, feedback), _least(agreement_stream(before, feedback))),
        ("recall", recall_stream(outcomes, feedback), _least_recall(before, feedback)),
        ("false alarms", false_alarm_stream(outcomes, feedback), _least(false_alarm_stream(before, feedback))),
    )
    bounds = (policy.least_agreement, policy.least_recall, 1 - policy.most_false_alarms)
    why = []
    for (figure, stream, least), otherwise in zip(looks, bounds, strict=True):
        bound = otherwise if least is None else least
        if not 0 < bound < 1 or not len(stream.right):
            continue
        found = below(stream.right, stream.weight, bound=bound, alpha=alpha, horizon=promotion.watch_coils)
        if found is not None:
            shown = 1 - bound if figure == "false alarms" else bound
            side = "above" if figure == "false alarms" else "below"
            text = f"{figure} {side} {shown:.1%}, sure after {found.at} coils (alpha {alpha:.3g})"
            why.append(reason("worse_than_before", text))
    if why:
        return Gate(way="reject", why=tuple(why))
    return Gate(way="pass", why=(reason("no_worse", "than the champion before"),))


def _is_higher(difference: float, promotion: PromotionSettings) -> bool:
    """Whether F1 is higher by the margin."""
    return 0 < difference >= promotion.margin


def _least(stream: Stream) -> float | None:
    """Lower 95% limit of the share that was right."""
    counts = stream.weight > 0
    size = int(counts.sum())
    return wilson_interval(int((stream.right & counts).sum()), size)[0] if size else None


def _least_recall(before: Outcomes, feedback: str) -> float | None:
    found = ~np.isnan(before.labelled_at) & before.is_nok
    chance = np.ones(len(found)) if feedback == "regardless" else before.review_probability
    found &= ~np.isnan(chance)
    if not found.any():
        return None
    return weighted_rates(before.is_nok[found], before.called_nok[found], chance[found]).recall.low


def _compared(found: dict[str, Any]) -> str:
    within = _within(found["ci95"])
    return f"F1 {found['difference']:+.3f}{within}, p {found['p_value']:.3g} on {found['coils']} with a label"


def _within(ci95: tuple[float, float] | None) -> str:
    return "" if ci95 is None else f" [{ci95[0]:+.3f}, {ci95[1]:+.3f}]"
