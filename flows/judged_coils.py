"""Rows of the database as a model score takes them."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from processors.model_score import JudgedCoils
from schemas.verdicts import Label


class JudgedRow(Protocol):
    """A coil that a version judged, and what people said of it."""

    @property
    def labelled(self) -> bool:
        """Somebody judged it, and nobody disputes that."""

    @property
    def is_nok(self) -> bool:
        """What they said; false where nobody said."""

    @property
    def called_nok(self) -> bool:
        """By the version."""

    @property
    def p_nok(self) -> float:
        """In [0, 1]."""

    @property
    def undecided(self) -> bool:
        """Whether that was its verdict."""

    @property
    def asked(self) -> bool:
        """Somebody was asked to look at it."""

    @property
    def probability(self) -> float | None:
        """With which such a coil is asked for; None where it was not kept."""

    @property
    def plant(self) -> str:
        """Whose coil it is."""

    @property
    def champion_verdict(self) -> Label | None:
        """What people saw."""


def judged_coils(rows: Sequence[JudgedRow]) -> JudgedCoils:
    """Rows as arrays [N], in their order; strata are plant, verdict and way of asking.

    Alarms are answered more often than draws, and some plants answer more than others.
    """
    strata = [f"{row.plant}, {row.champion_verdict}, {'certain' if row.probability == 1 else 'drawn'}" for row in rows]
    return JudgedCoils(
        answered=np.array([row.labelled for row in rows], dtype=np.bool_),
        is_nok=np.array([row.is_nok for row in rows], dtype=np.bool_),
        called_nok=np.array([row.called_nok for row in rows], dtype=np.bool_),
        p_nok=np.array([row.p_nok for row in rows], dtype=np.float64),
        undecided=np.array([row.undecided for row in rows], dtype=np.bool_),
        asked=np.array([row.asked for row in rows], dtype=np.bool_),
        probability=np.array([row.probability for row in rows], dtype=np.float64),  # None: NaN
        strata=np.array(strata, dtype=np.str_),
    )
