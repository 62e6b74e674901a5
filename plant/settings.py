"""Settings of the simulated line, its gauge and its expert; units stand in the names."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

# Order bands per face, g/m², as published samples of the plant's tables show them.
BANDS_G_M2: tuple[tuple[float, float], ...] = (
    (40.0, 55.0),
    (60.0, 80.0),
    (100.0, 120.0),
    (155.0, 175.0),
    (215.0, 258.0),
)
CUSTOMERS: tuple[str, ...] = tuple(f"C{number:02d}" for number in range(1, 13))
MATERIALS: tuple[str, ...] = ("DX51D+Z", "S250GD+Z", "S320GD+Z", "S350GD+Z", "HX340LAD+Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class GaugeSettings:
    """How well the gauge measures and what goes wrong between gauge and table; shares are 0..1 of coils."""

    noise_share: float = 0.0025  # median standard deviation of a tile's mean of 24-48 samples, relative to its coating
    step_g_m2: float = 1.0  # of what is reported; real coils are stored in grey levels, which cannot tell
    reads_share: float = 1.0  # of the true coating: a source that ages reads less, and nobody has calibrated it
    calibrations_per_face: float = 0.2  # about 305 of 4,640 sensor tracks had one
    stuck_share: float = 0.004  # a sensor repeats one value to the end of the coil
    offset_share: float = 0.004  # a sensor reads a constant amount too much or too little
    dead_share: float = 0.0  # a sensor reads near zero to the end of the coil; the members learnt from a line without
    noisy_share: float = 0.0  # a sensor's readings scatter to the end of the coil; as above
    missing_share: float = 0.03  # some rows were never recorded
    repeated_share: float = 0.03  # some rows were recorded twice, alike
    damaged_share: float = 0.0  # a partial row, or a repeat that disagrees: nobody can assess these


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpertSettings:
    """The human judge: what counts as a relevant section, where it is forgiven, and how often the judge errs."""

    threshold: float = 0.28  # badness at which the median customer's coil is NOK
    relevance: float = 0.015  # deviation from the band, over sqrt(100 · zn_min), that nobody looks at
    excess_weight: float = 0.05  # too much zinc costs the mill, not the customer; on the real coils it speaks for OK
    edge_weight: float = 0.45  # outermost sensor against the middle
    forgiven_head_m: float = 35.0  # median length of head that is judged leniently
    forgiven_tail_m: float = 12.0
    strictness_spread: float = 0.22  # of log threshold between the strictest and the median customer
    judgement_noise: float = 0.2  # standard deviation of log badness, coil by coil
    lapse_share: float = 0.008  # labels that are simply wrong


@dataclass(frozen=True, kw_only=True, slots=True)
class DisturbanceSettings:
    """How strip, bath and knives stray in a coil without a defect, at restlessness 1, 100 g/m² and 3 mm of strip.

    Standard deviations unless said otherwise; shares are relative changes of coating. Sizes are drawn anew for each
    coil, and set so that coils as restless as TRAINING's resemble the 30 real ones (docs/results/line_likeness.md).
    """

    coil_spread: float = 0.4  # of log restlessness, coil by coil
    # What moves both faces for the whole coil or half of it: real coils are thin over long stretches on both.
    mismatch_share: float = 0.032  # gauge and set-point disagree
    speed_step_share: float = 0.06  # a change of strip speed, until the knives have met it
    speed_steps: float = 1.2  # mean number a coil
    bath_c: float = 0.7
    # What moves one face.
    trim_share: float = 0.016  # each knife off its set-point, the whole coil
    trim_step_share: float = 0.03  # a correction of one knife
    trim_steps: float = 2.0  # mean number a knife and coil
    # What moves the faces against each other.
    off_centre_mm: float = 0.13  # strip towards one knife, the whole coil
    off_centre_step_mm: float = 0.21  # a correction of the roll that holds it
    off_centre_steps: float = 3.0  # mean number a coil
    off_centre_wander_mm: float = 0.12  # median
    flutter_mm: float = 0.008  # median amplitude; a tile averages over several waves
    bow_mm: float = 0.22
    wedge_mm: float = 0.13
    buckle_mm: float = 0.25  # height of a buckle: strip that is not flat at one place
    buckles: float = 2.0  # mean number a coil
    # What a lip leaves.
    stripe_share: float = 0.00225  # from sensor to sensor, median
    lip_bend_share: float = 0.008
    edge_share: float = 0.02  # outermost sensor, each edge and face
    fouling_share: float = 0.0036  # within a coil
    # The weld and the tail.
    head_m: float = 30.0  # median, until the knives stand
    head_spread: float = 0.75  # of log length
    head_ramp: tuple[float, float] = (0.05, 0.6)  # shares of the head in which the new set-up comes in
    head_reopened_share: float = 0.035  # knives that step back from the weld, or close late
    weld_off_centre_mm: float = 0.4  # the stabiliser lets go of the strip while a weld passes
    tail_off_centre_mm: float = 0.22


DISTURBANCES = DisturbanceSettings()


@dataclass(frozen=True, kw_only=True, slots=True)
class LineSettings:
    """One galvanizing line as it runs for a while."""

    plant: str = "plant-1"
    line: int = 1
    started_at: datetime = datetime(2026, 1, 5, 6, tzinfo=UTC)  # of the first coil
    defect_share: float = 0.03  # of coils with an injected defect
    restlessness: float = 1.0  # scales every benign disturbance; 0 is a line at rest
    drift_per_1000_coils: float = 0.0  # relative change of coating as knives and gauge age
    disturbances: DisturbanceSettings = DISTURBANCES
    gauge: GaugeSettings = field(default_factory=GaugeSettings)
    expert: ExpertSettings = field(default_factory=ExpertSettings)


PRODUCTION = LineSettings()
TRAINING = LineSettings(defect_share=0.35, restlessness=3.0)  # about a third of the coils NOK
