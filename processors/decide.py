"""Turn scores into verdicts by the order's tolerance profile."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schemas.coils import FloatArray
from schemas.matrices import keys_of, tensor_values
from schemas.readings import ipc_bytes
from schemas.rejects import Reject
from schemas.settings import ToleranceProfile
from schemas.verdicts import GuardScores, Label, MemberVote, Reason, Scores, Verdict, names_sensors


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """One verdict a coil in the order of the batch, less the coils that could not be decided."""

    verdicts: tuple[Verdict, ...]
    rejects: tuple[Reject, ...]


def decide(
    batch: pa.RecordBatch,
    scores: Scores,
    *,
    profiles: Mapping[str, ToleranceProfile],
    customer_profiles: Mapping[str, str],
    place: str,
) -> Decided:
    """Decide each coil of a scored batch.

    NOK at or above the threshold of the coil's tolerance profile (the order's, else its customer's, else `default`; a
    profile without a threshold takes the ensemble's). UNDECIDED where the probability lies within the profile's doubt
    margin of the threshold, where less than its `min_observed` was measured, or where the models say OK of a coil that
    is like none they learnt from: nearly all of it out of its band, or beyond the limits, or so says the ensemble's
    guard. UNDECIDED too where it would be OK though most of a face read as calibration, and where faulty sensors alone
    make it NOK, or hide that it is: without them its probability lies on the other side of the threshold. A profile
    that the settings do not know rejects its coil.

    Args:
        batch: the B coils that were scored.
        scores: of the same coils, in the same order.
        profiles: tolerance profiles by name; holds `default`.
        customer_profiles: customer -> name of a profile.
        place: where the batch came from, for rejects.
    """
    verdicts: list[Verdict] = []
    rejects: list[Reject] = []
    out_of_band, clipped = _extent(batch)
    given = batch.select(["revision", "observed", "reasons", "customer", "tolerance_profile"]).to_pylist()
    for i, (key, coil) in enumerate(zip(keys_of(batch), given, strict=True)):
        name = coil["tolerance_profile"] or customer_profiles.get(coil["customer"], "default")
        profile = profiles.get(name)
        if profile is None:
            rejects.append(
                Reject(
                    step="decide",
                    place=place,
                    key=key,
                    error=f"tolerance profile {name!r} is not in the settings, known: {', '.join(sorted(profiles))}",
                    remedy="define it under tolerance_profiles, or correct the order",
                    original=ipc_bytes(batch.slice(i, 1)),
                )
            )
            continue
        p_nok = float(scores.p_nok[i])
        threshold = scores.threshold if profile.threshold is None else profile.threshold
        label, doubts = _label(p_nok, threshold, coil["observed"], profile)
        given_reasons = tuple(coil["reasons"] or ())
        strange = []
        if label is Label.OK:
            strange = _strange(out_of_band[i], clipped[i], profile) + _anomalous(scores.anomaly, i)
        if strange or (label is Label.OK and any(r.startswith(Reason.LITTLE_OBSERVED) for r in given_reasons)):
            label = Label.UNDECIDED
        without = np.nan if scores.p_nok_without_faults is None else float(scores.p_nok_without_faults[i])
        hangs_on_faults = label is not Label.UNDECIDED and (without >= threshold) != (label is Label.NOK)
        if not np.isnan(without) and (hangs_on_faults or label is Label.NOK):
            label = Label.UNDECIDED if hangs_on_faults else label
            given_reasons = tuple(_sure_of(reason, without) for reason in given_reasons)
        skipped = [Reason.MEMBERS_SKIPPED.of(", ".join(scores.skipped))] if scores.skipped else []
        verdicts.append(
            Verdict(
                key=key,
                revision=coil["revision"],
                label=label,
                p_nok=p_nok,
                threshold=threshold,
                ensemble_version=scores.ensemble_version,
                members=tuple(
                    MemberVote(model=m.model, version=m.version, p_nok=float(p))
                    for m, p in zip(scores.members, scores.member_p_nok[i], strict=True)
                ),
                observed=coil["observed"],
                reasons=(*given_reasons, *doubts, *strange, *skipped),
            )
        )
    return Decided(verdicts=tuple(verdicts), rejects=tuple(rejects))


def _sure_of(reason: str, p_nok_without_faults: float) -> str:
    if not names_sensors(reason):
        return reason
    return f"{reason}; without faulty sensors p_nok {p_nok_without_faults:.3f}"


def _extent(batch: pa.RecordBatch) -> tuple[FloatArray, FloatArray]:
    """Share of each coil out of its band, and share clipped at the limits, [B] each; zero on scale `self`."""
    if "limits" not in batch.column("scale").to_pylist()[:1]:
        return np.zeros(batch.num_rows), np.zeros(batch.num_rows)
    size = np.abs(tensor_values(batch))
    return (size > 0).mean(axis=(1, 2)), (size >= 1).mean(axis=(1, 2))


def _strange(out_of_band: float, clipped: float, profile: ToleranceProfile) -> list[str]:
    strange = []
    if out_of_band > profile.max_out_of_band:
        strange.append(Reason.OUT_OF_BAND.of(f"{out_of_band:.0%} of the coil"))
    if clipped > profile.max_clipped:
        strange.append(Reason.CLIPPED_CELLS.of(f"{clipped:.0%} of the coil is beyond what the models know"))
    return strange


def _anomalous(guard: GuardScores | None, i: int) -> list[str]:
    if guard is None or guard.p_nok[i] < guard.threshold:
        return []
    who = f"{guard.guard.model} {guard.guard.version}"
    return [Reason.ANOMALY.of(f"{who} says {guard.p_nok[i]:.3f}, a review is due from {guard.threshold:.3f} on")]


def _label(p_nok: float, threshold: float, observed: float, profile: ToleranceProfile) -> tuple[Label, list[str]]:
    doubts = []
    if abs(p_nok - threshold) < profile.doubt_margin:
        doubts.append(Reason.DOUBT.of(f"p_nok {p_nok:.3f} is within {profile.doubt_margin:g} of {threshold:.3f}"))
    if observed < profile.min_observed:
        doubts.append(Reason.LITTLE_OBSERVED.of(f"{observed:.0%} measured, {profile.min_observed:.0%} wanted"))
    if doubts:
        return Label.UNDECIDED, doubts
    return (Label.NOK if p_nok >= threshold else Label.OK), doubts
