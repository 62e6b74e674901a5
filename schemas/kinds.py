"""Kinds of defects: what a place is said to look like, and the manifest of what says so."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.bundles import Sha256

NO_KIND = "none"  # of the kinds that are known
_Share = Annotated[float, Field(ge=0, le=1)]


class SaidKind(BaseModel):
    """A kind of defect and how likely a place is one of it."""

    model_config = ConfigDict(frozen=True)

    kind: str  # `none`: none of those that are known
    p: _Share


class KindManifest(BaseModel):
    """`manifest.json` of a kind model: `model.onnx` maps `places` float32 [N, D] to `p` float32 [N, kinds]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["coilflow.kinds/1"] = "coilflow.kinds/1"
    version: str
    features: str  # how a place is put into numbers: `models.place_features.MADE_BY`
    kinds: Annotated[tuple[str, ...], Field(min_length=2)]  # columns of `p`
    places: dict[str, int]  # kind -> places that were learnt from
    metrics: dict[str, Any]  # on places that were not, with ci95
    base: str  # version of the bundle whose simulated places were learnt from; its own, where it is that
    source: str  # of the places, for people
    words_digest: Sha256 | None = None  # over what people marked; None: nothing of that was learnt from
    code_version: str
    libraries: dict[str, str]
    files: dict[str, Sha256]  # file name -> digest, every file but the manifest


def kind_in_words(kind: str) -> str:
    """A kind for people.

    Example:
        >>> kind_in_words("thin_edge"), kind_in_words("none")
        ('thin edge', 'no known kind')
    """
    return "no known kind" if kind == NO_KIND else kind.replace("_", " ")


def kind_name(said: str) -> str:
    """A kind as it is kept, however a person writes it.

    Example:
        >>> kind_name("  Zinc-drip"), kind_name("zinc  drip")
        ('zinc_drip', 'zinc_drip')
    """
    return "_".join(said.lower().replace("-", " ").replace("_", " ").split())
