"""The plant's expert: a label from the true coating, by a judgement of its own.

Not-OK where a relevant section leaves the band (FACTS: where, how much and for which customer all matter). On the real
coils a long thin coating over most of a face separates best, a short or narrow one hardly, and excess not at all
(docs/results/line_likeness.md). So the longer and wider a section, the less depth makes it relevant; the head is
forgiven, edges count less, too much zinc hardly counts; the judge has noise and lapses. Injected defects are not looked
at: a mild one passes, and a bad coil without any is not-OK.
"""

from dataclasses import dataclass

import numpy as np

from plant.orders import PlannedCoil
from plant.settings import CUSTOMERS, ExpertSettings
from schemas.coils import FloatArray, Truth
from schemas.layout import SENSORS_PER_FACE

# Sections: so many metres, or that share of the coil, by so many sensors side by side; and how much their depth weighs.
_SECTIONS: tuple[tuple[float, int, float], ...] = (
    (25.0, 3, 0.35),
    (80.0, 3, 0.6),
    (240.0, 3, 0.9),
    (80.0, 7, 1.0),
    (240.0, 7, 1.5),
    (0.5, 7, 1.8),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """An expert's label, the badness it saw (g/m² missing or too many, relative, in the worst section) and its bar."""

    label: Truth
    badness: float
    threshold: float


def badness(
    coating_g_m2: FloatArray, along_m: FloatArray, plan: PlannedCoil, expert: ExpertSettings, head_m: float
) -> float:
    """Badness of the worst section of a coil whose true coating is [2, n, 9], with `head_m` forgiven."""
    low, high = plan.order.zn_min_g_m2, plan.order.zn_max_g_m2
    deviation = np.maximum(low - coating_g_m2, expert.excess_weight * (coating_g_m2 - high))
    # Half by what is missing, half by how much of the order that is: 10 g/m² weigh more on a light coating.
    relevant = np.maximum(deviation / np.sqrt(100.0 * low) - expert.relevance, 0.0)
    lenience = np.minimum(
        np.clip(0.1 + (along_m - 0.6 * head_m) / head_m, 0.1, 1.0),
        np.clip(0.1 + (along_m[-1] - along_m) / expert.forgiven_tail_m, 0.1, 1.0),
    )
    across = np.ones(SENSORS_PER_FACE)
    across[[0, -1]] = expert.edge_weight
    across[[1, -2]] = (1.0 + expert.edge_weight) / 2
    seen = relevant * lenience[:, None] * across
    along = np.concatenate([np.zeros((2, 1, SENSORS_PER_FACE)), np.cumsum(seen, axis=1)], axis=1)
    total = np.concatenate([np.zeros((2, along.shape[1], 1)), np.cumsum(along, axis=2)], axis=2)
    rows = along_m.size
    pitch_m = float(along_m[1] - along_m[0])
    worst = 0.0
    for length, sensors, weight in _SECTIONS:
        section_m = length * plan.length_m if length < 1.0 else length
        window = min(rows, max(1, round(section_m / pitch_m)))
        sums = total[:, window:] - total[:, :-window]
        deepest = float((sums[..., sensors:] - sums[..., :-sensors]).max()) / (window * sensors)
        worst = max(worst, weight * deepest)
    return worst


def strictness(customer: str | None, expert: ExpertSettings) -> float:
    """Factor on the threshold for a customer: below 1 is strict."""
    rank = CUSTOMERS.index(customer) / (len(CUSTOMERS) - 1) if customer in CUSTOMERS else 0.5
    return float(np.exp(expert.strictness_spread * (2.0 * rank - 1.0)))


def judge(
    rng: np.random.Generator, coating_g_m2: FloatArray, along_m: FloatArray, plan: PlannedCoil, expert: ExpertSettings
) -> Judgement:
    """Label one coil from its true coating [2, n, 9] in g/m² at `along_m` [n]."""
    head_m = min(expert.forgiven_head_m * float(rng.lognormal(0.0, 0.35)), 0.35 * plan.length_m)
    seen = badness(coating_g_m2, along_m, plan, expert, head_m) * float(rng.lognormal(0.0, expert.judgement_noise))
    threshold = expert.threshold * strictness(plan.order.customer, expert)
    lapse = rng.random() < expert.lapse_share
    label: Truth = "NOK" if (seen >= threshold) != lapse else "OK"
    return Judgement(label=label, badness=seen, threshold=threshold)
