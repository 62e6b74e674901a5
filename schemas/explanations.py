"""What a verdict was driven by, and which coils look alike, as people and pages get it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.coils import Truth
from schemas.kinds import SaidKind
from schemas.layout import Face
from schemas.matrices import Scale
from schemas.verdicts import Label

Contributions = list[list[list[float]]]  # face (top, bottom), window along the strip, group of sensors
_Share = Annotated[float, Field(ge=0, le=1)]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True)


class ExplainedRegion(_Said):
    """A rectangle of a face that speaks for NOK or against it."""

    face: Face
    from_m: float | None  # along the strip; None where the length is not known
    to_m: float | None
    from_row: int  # of the 264 rows of the matrix
    to_row: int  # exclusive
    sensors: list[int]  # 1..9
    delta_p_nok: float  # what it contributes to p_nok, above zero speaks for NOK: the mean of what it takes away,
    delta_log_odds: float  # were it left out, and of what it brings to a coil that is undisturbed elsewhere
    p_nok_without: _Share  # of the coil with undisturbed strip there
    p_nok_alone: _Share  # of undisturbed strip with nothing but this
    kinds: list[SaidKind]  # what it looks like, the likeliest first; empty where it speaks against NOK
    text: str  # the same in words


class CoilExplanation(_Said):
    """Which metres, face and sensors drove the score of a coil."""

    plant: str
    coil_id: str
    revision: str
    scale: Scale
    ensemble_version: str  # that is explained
    judged_by: str | None  # that gave the verdict that stands; None: no verdict is asked about
    base_p_nok: _Share
    threshold: _Share
    undisturbed_p_nok: _Share  # with the whole coil undisturbed
    p_nok_without_regions: _Share  # with all regions undisturbed that speak for NOK
    length_m: float | None
    faces: list[Face]
    sensor_groups: list[list[int]]
    windows_rows: list[tuple[int, int]]  # of the 264 rows, the end exclusive
    windows_m: list[tuple[float, float]] | None  # the same in metres, where the length is known
    cells: Contributions  # to p_nok, above zero speaks for NOK
    cells_log_odds: Contributions
    regions: list[ExplainedRegion]  # largest first
    kinds_version: str  # of what says the kinds
    text: str  # one sentence


class SimilarCoil(_Said):
    """A coil that looks like the one asked about."""

    plant: str
    coil_id: str
    similarity: Annotated[float, Field(ge=-1, le=1)]  # cosine of the two embeddings, 1 alike
    decided_at: datetime
    verdict: Label  # that stands
    p_nok: float | None
    label: Truth | None  # what people say, where they agree


class SimilarCoils(_Said):
    """Coils that look alike, the most similar first."""

    plant: str
    coil_id: str
    scale: Scale
    made_by: str  # version of the embedding
    compared: int  # coils that were looked at: the latest of the plant and scale
    items: list[SimilarCoil]
    state: Literal["ready", "empty"]  # empty: no other coil of the plant and scale has an embedding yet
