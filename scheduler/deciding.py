"""What the policy says of all that serves a plant, and whether there is enough to train a successor from."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from flows.bundle_store import local_copy, read_folder
from flows.split import place_of
from scheduler.evidence import Evidence
from scheduler.gather import Gathered
from scheduler.policy import Decision, decide
from scheduler.training_run import named
from schemas.errors import BundleError
from schemas.settings import Settings
from schemas.verdicts import MemberId

_PARTS = ("holdout", "validation", "training")


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """Decisions on an ensemble and on each member that votes in it."""

    ensemble: Decision
    members: Mapping[MemberId, Decision]
    lacking: tuple[str, ...]  # what a successor that is due cannot be trained without

    @property
    def acting(self) -> tuple[MemberId, ...]:
        """Members that are due by themselves."""
        return tuple(member for member, decision in self.members.items() if decision.act)

    @property
    def acts(self) -> bool:
        """Whether a successor is trained."""
        return (self.ensemble.act or bool(self.acting)) and not self.lacking


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """A decision on one version."""

    subject: str
    decision: Decision
    evidence: Evidence


def decide_all(gathered: Gathered, settings: Settings, now: datetime) -> Decided:
    """Decide on what serves a plant.

    Args:
        gathered: what is known of it.
        settings: of the policy, and how coils are divided.
        now: with a time zone.
    """
    ensemble = decide(gathered.ensemble, settings.policy, now)
    members = {member: decide(one, settings.policy, now) for member, one in gathered.members.items()}
    due = ensemble.act or any(decision.act for decision in members.values())
    return Decided(ensemble=ensemble, members=members, lacking=_lacking(gathered, settings) if due else ())


def each(gathered: Gathered, decided: Decided) -> Iterator[About]:
    """The ensemble first, then its members."""
    plant = named(gathered.scope)
    subject = f"{plant}: ensemble {gathered.champion.version}"
    yield About(subject=subject, decision=decided.ensemble, evidence=gathered.ensemble)
    for member, decision in decided.members.items():
        subject = f"{plant}: {member.model} {member.version}"
        yield About(subject=subject, decision=decision, evidence=gathered.members[member])


def evidence_of(about: About) -> dict[str, Any]:
    """The figures that a decision rests on, as they are kept with it."""
    decision, evidence = about.decision, about.evidence
    return {
        "checks": [asdict(check) for check in decision.checks],
        "score": asdict(evidence.score),
        "labelled": evidence.labelled,
        "labelled_nok": evidence.labelled_nok,
        "new_labelled": evidence.new_labelled,
        "eligible": decision.eligible,
        "may_act_from": decision.may_act_from.isoformat(),
    }


def _lacking(gathered: Gathered, settings: Settings) -> tuple[str, ...]:
    """Which part of the coils to learn from lacks a label, by the draw that divides them; else training would fail."""
    try:
        champion = read_folder(local_copy(gathered.champion, settings))
    except BundleError as error:
        return (f"the champion's files: {error}; {error.remedy}",)
    validation = min(float(member.training.spec.get("validation_share", 0)) for member in champion.members)
    counts = {(part, label): 0 for part in _PARTS for label in ("OK", "NOK")}
    for coil in gathered.coils:
        place = place_of(coil.key.coil_id)
        held, validates = place < settings.retrain.holdout_share, place >= 1 - validation
        counts["holdout" if held else "validation" if validates else "training", coil.label] += 1
    return tuple(
        f"the {part} part of {len(gathered.coils)} labelled coils has no {label} coil"
        for (part, label), count in counts.items()
        if not count
    )
