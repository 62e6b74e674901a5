"""Whether a serving version gets a successor trained now, and why (or why not)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from scheduler.evidence import Check, Evidence, check_all
from schemas.loop_settings import PolicySettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """To act or not, and what it rests on."""

    act: bool
    eligible: bool  # by the plant's rule and its kin, on few coils already
    why: tuple[str, ...]  # what speaks for acting, then what holds it back
    checks: tuple[Check, ...]
    may_act_from: datetime  # the earliest, as far as time alone says


def decide(evidence: Evidence, settings: PolicySettings, now: datetime) -> Decision:
    """Decide on one serving version.

    *Eligible* is a version with more than `more_than_coils` evaluated coils of which a figure is out of its bounds over
    the window (the plant's rule), or is established to be so by the latest coils, which a long window may not feel yet.
    It is *acted* on where a figure is established to be out of bounds (`scheduler.evidence`) and nothing holds back:
    a freeze, a successor on its way, the cooldown, too few labels. Drift is told, and decides nothing.

    Args:
        evidence: on the version.
        settings: of the policy.
        now: with a time zone.
    """
    checks = check_all(evidence, settings)
    evaluated = evidence.score.evaluated
    enough = evaluated > settings.more_than_coils
    sure = any(check.established_at is not None for check in checks)
    eligible = enough and (sure or any(check.breached for check in checks))
    cooled = now
    if evidence.last_attempt is not None:
        cooled = max(now, evidence.last_attempt + timedelta(hours=settings.cooldown_h))
    holds = [] if enough else [f"{evaluated} coils evaluated, more than {settings.more_than_coils} wanted"]
    holds += _holds(evidence, settings, now, cooled)
    why = (
        *(sentence for check in checks for sentence in says(check)),
        *(f"a look was due, not more: {sentence}" for sentence in evidence.drift),
        *holds,
    )
    act = eligible and sure and not holds
    return Decision(
        act=act,
        eligible=eligible,
        why=why if _is_judged(evidence) else ("no coil that it decided has a label yet: nothing is known of it",),
        checks=checks,
        may_act_from=cooled,
    )


def _is_judged(evidence: Evidence) -> bool:
    looked_at = [evidence.outcomes] if evidence.found_nok is None else [evidence.outcomes, evidence.found_nok]
    return evidence.score.evaluated > 0 or any(not np.isnan(one.labelled_at).all() for one in looked_at)


def sure_of(checks: Sequence[Check]) -> tuple[str, ...]:
    """The sentences, among those that `decide` gives, on figures that are established to be out of their bounds."""
    return tuple(says(check)[-1] for check in checks if check.established_at is not None)


def says(check: Check) -> list[str]:
    """What the score says of a figure, where it has one; and last what is established of it."""
    mirrored = check.figure == "false alarms"
    side, limit = ("above", "at least") if mirrored else ("below", "at most")
    bound, coils = f"{check.bound:.1%}", "NOK labels" if check.figure == "recall" else "coils"
    said = []
    if check.score is not None:
        within = f"{side} the bound {bound}" if check.breached else f"within the bound {bound}"
        said.append(f"{check.figure} {check.score:.1%} over the window, {within}")
    now = f"{limit} {check.limit:.1%} after {check.coils} {coils} (alpha {check.alpha:g})"
    if check.established_at is None:
        return [*said, f"{check.figure}: not established to be {side} {bound}, {now}"]
    found = f"after {check.established_at} {coils}, by the last {check.by_coils} of them"
    return [*said, f"{check.figure}: established to be {side} {bound} {found}; {now}"]


def _holds(evidence: Evidence, settings: PolicySettings, now: datetime, cooled: datetime) -> list[str]:
    """What holds back whatever the figures are."""
    holds = []
    if evidence.frozen:
        holds.append("automatic change is frozen")
    if evidence.pending is not None:
        holds.append(f"successor {evidence.pending} is on its way")
    if cooled > now and evidence.last_attempt is not None:
        last, until = (f"{at:%Y-%m-%d %H:%M %Z}" for at in (evidence.last_attempt, cooled))
        holds.append(f"the last attempt was {last}, the next may be from {until} on")
    wanted = (
        ("labelled coils to learn from", evidence.labelled, settings.least_labelled),
        ("of them NOK", evidence.labelled_nok, settings.least_labelled_nok),
        ("labelled since the last attempt", evidence.new_labelled, settings.least_new_labelled),
    )
    holds += [
        f"{got} {what}, at least {least} wanted" for what, got, least in wanted if got is not None and got < least
    ]
    return holds
