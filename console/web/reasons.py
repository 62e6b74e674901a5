"""What the codes in verdicts mean to a person, and what to do about them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Wording:
    """A reason in words."""

    code: str
    detail: str  # as the verdict says it
    title: str
    means: str
    act: str  # what to do


_WORDS: dict[str, tuple[str, str, str]] = {
    "doubt": (
        "Too close to call",
        "The models' probability lies within the margin of doubt around the threshold.",
        "Look at the coil: your word decides.",
    ),
    "missing_rows": (
        "Rows missing",
        "The gauge sent fewer rows than the coil has; the rest was judged.",
        "If it goes on, have the connection to the gauge looked at.",
    ),
    "extra_rows": (
        "More rows than promised",
        "More rows came than the end of the coil announced.",
        "Check whether two coils were recorded under one number.",
    ),
    "little_observed": (
        "Little was measured",
        "Less of the coil was measured than a verdict needs.",
        "Inspect the coil by hand, and have the gauge looked at.",
    ),
    "gauge_dead": (
        "Sensor dead",
        "A sensor read near zero for longer than any calibration, so nothing is known of the strip below it.",
        "Have that sensor repaired before the next campaign.",
    ),
    "gauge_stuck": (
        "Sensor stuck",
        "A sensor repeated one value, so what it says of the coating cannot be trusted.",
        "Have that sensor checked before the next campaign.",
    ),
    "gauge_noisy": (
        "Sensor noisy",
        "A sensor jumped to and fro from row to row, as no strip does.",
        "Have that sensor and its cables checked before the next campaign.",
    ),
    "gauge_offset": (
        "Sensor reads off",
        "One sensor alone stood beside its face by the same share over the whole coil.",
        "See on the page of the data whether it goes on; then have that sensor calibrated.",
    ),
    "clipped_cells": (
        "Beyond what the models know",
        "Readings lie outside the limits that the models learnt from.",
        "Check the gauge and the ordered band; if both are right, inspect the coil.",
    ),
    "out_of_band": (
        "Nearly all of it out of band",
        "The models call it OK, but nearly all of the coil lies outside the ordered band.",
        "Check whether the order's band is the right one.",
    ),
    "anomaly": (
        "Like none before",
        "The guard, which does not vote, finds the coil unlike any that it knows.",
        "Look at the coil: a new kind of defect may be on it.",
    ),
    "not_ended": (
        "Its end was never announced",
        "The coil was judged on what there was, for its end was never announced.",
        "Check that the line announces the end of each coil.",
    ),
    "deadline": (
        "Judged at the deadline",
        "Nothing more came for too long, so it was judged on what there was.",
        "Check the stream of events between line and coilflow.",
    ),
    "members_skipped": (
        "Some models did not vote",
        "Models that cannot take this coil's scale were left out.",
        "Nothing, where the source has grey levels alone; else have the ensemble looked at.",
    ),
    "alarm": (
        "Every NOK is looked at",
        "The models call the coil NOK, which a person is to confirm.",
        "Confirm it, or say that it is OK.",
    ),
    "undecided": (
        "The models did not decide",
        "The verdict is UNDECIDED, so a person decides.",
        "Look at the coil: your word decides.",
    ),
    "random": (
        "Drawn at random",
        "Now and then any coil is looked at, so that missed defects are counted too.",
        "Say what you see, as of any other coil.",
    ),
    "disputed": (
        "People differ",
        "Two voices said different things, so the coil counts for nothing until that is settled.",
        "Look at it together, then settle it.",
    ),
    "second": (
        "A second pair of eyes",
        "Drawn so that a second person looks without knowing what the first one said.",
        "Say what you see; the verdict and the first word are not shown.",
    ),
}


def worded(reason: str) -> Wording:
    """A reason, `code: detail`, in words; a code that is not known stands for itself."""
    code, _, detail = reason.partition(": ")
    title, means, act = _WORDS.get(code) or (_title(code), "", "")
    if code == "undecided":
        detail = ", ".join(_title(one) for one in detail.split(", "))
    return Wording(code=code, detail=detail.replace("p_nok", "p(NOK)"), title=title, means=means, act=act)


def sentence(why: str) -> str:
    """Why a job did something, `code: detail`, with the code in words.

    >>> sentence("out_of_bounds: over the window")
    'Out of bounds: over the window'
    """
    code, colon, detail = why.partition(": ")
    return f"{_title(code)}: {detail}" if colon and code.isidentifier() else why


def _title(code: str) -> str:
    return _WORDS[code][0] if code in _WORDS else code.replace("_", " ").capitalize()
