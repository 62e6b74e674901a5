"""The coil of an audit report as it was normalised for the verdict that stands."""

from flows.assess import JudgedCoil
from flows.coil_matrix import CoilMatrix, coil_matrix
from schemas.audit import CoilReport
from schemas.coils import CoilKey, Limits
from schemas.verdicts import MemberVote, Verdict
from store.connection import Connection


def judged_again(connection: Connection, report: CoilReport) -> tuple[JudgedCoil, Limits] | str:
    """The readings of the verdict that stands, normalised with the limits of the ensemble that gave it.

    Args:
        connection: on a database of this version.
        report: of the coil.

    Returns:
        What `console.pictures` draws, or why it cannot be drawn.

    Raises:
        StoreError: the database refused.
    """
    stands = [one for one in report.verdicts if one.stands]
    if not stands:
        return "no verdict stands"
    one = stands[-1]
    if not one.ensembles:
        return "the ensemble that judged was never registered, so that its limits are not known"
    if one.readings.digest == "differs":
        return "the stored readings are not those that were judged"
    key, limits = CoilKey(plant=report.plant, coil_id=report.coil_id), one.ensembles[0].limits
    found = coil_matrix(connection, key, revision=one.revision, otherwise=limits)
    if not isinstance(found, CoilMatrix) or found.limits is None:
        return "its readings cannot be normalised with the limits of the ensemble that judged"
    verdict = Verdict(
        key=CoilKey(plant=_printable(key.plant), coil_id=_printable(key.coil_id)),
        revision=one.revision,
        label=one.label,
        p_nok=float("nan") if one.p_nok is None else one.p_nok,
        threshold=one.threshold,
        ensemble_version=one.ensemble_version,
        members=tuple(
            MemberVote(model=_printable(m.model), version=m.version, p_nok=m.p_nok)
            for m in one.members
            if m.p_nok is not None
        ),
        observed=one.observed,
        reasons=tuple(map(_printable, one.reasons)),
    )
    length_m = None if report.coil is None else report.coil.length_m
    coil = JudgedCoil(
        verdict=verdict,
        truth=None,
        matrix=found.matrix,
        length_m=length_m,
        band_g_m2=found.band_g_m2,
        scale="self" if limits is None else "limits",
        record=None,
    )
    return coil, limits


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
