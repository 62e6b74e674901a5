"""How members of an ensemble can decide together."""

from typing import Literal

PlainCombine = Literal["mean", "confidence_sum", "union"]  # those that need nothing fitted
Combine = Literal[PlainCombine, "weighted", "stacking"]
