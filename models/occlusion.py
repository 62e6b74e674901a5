"""What becomes of the score of a coil where parts of it are replaced by undisturbed strip."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from models.bundle import SPREAD
from models.combine import combine
from models.ensemble import COILS_AT_ONCE, Ensemble
from models.scales import GREY_LEVELS, to_self_scale, to_self_spread
from schemas.coils import BoolArray, Float32Array, FloatArray
from schemas.layout import MATRIX_SHAPE
from schemas.matrices import Scale, tensor_values

_TOP = np.float32(GREY_LEVELS - 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """A coil on one scale, and what an undisturbed strip of it looks like there; float32 [264, 18] each."""

    matrix: Float32Array
    spread: Float32Array
    plain: Float32Array
    plain_spread: Float32Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Occluded:
    """One coil whose parts can be replaced."""

    ensemble: Ensemble
    scale: Scale  # of the source
    forms: Mapping[Scale, Form]  # as its members take it
    changed: BoolArray  # [264, 18] cells that differ from undisturbed strip for any member

    def p_nok(self, masks: BoolArray) -> FloatArray:
        """The ensemble's p_nok with the cells of each mask replaced, float64 [N].

        Args:
            masks: bool [N, 264, 18], true where strip is replaced.

        Raises:
            BundleError: ONNX Runtime fails.
        """
        members, rule = self.ensemble.taking(self.scale)
        found = np.empty((len(masks), len(members)))
        for start in range(0, len(masks), COILS_AT_ONCE):
            part = slice(start, start + COILS_AT_ONCE)
            replaced = {scale: _replaced(form, masks[part]) for scale, form in self.forms.items()}
            for column, member in enumerate(members):
                found[part, column] = member.p_nok(*replaced[_form_of(member.manifest.scale, self.scale)])
        return combine(found, rule)


def occluded(batch: pa.RecordBatch, ensemble: Ensemble) -> Occluded:
    """Make a coil ready to have parts of it replaced.

    Zeiler & Fergus (2014, ECCV, section 4.2) put a grey square over a part. A network that never saw bars answers to
    the bar as well as to what it hides, so what stands there has to be something that it knows as nothing (Sturmfels,
    Lundberg & Lee 2020, Distill; Petsiuk et al. 2018, RISE, blur for the same reason). Here it is strip in its band. On
    scale `limits` that is zero by the plant's definition; on scale `self` it is the coil's commonest level, which the
    form has at zero too and which is its band where any of it was (`models.scales`). A profile of the coil itself, the
    median of each sensor, would keep what lies all along the strip, such as a wedge, and with it the verdict.

    A member of scale `self` sees a `limits` coil stretched as the whole coil is, with or without a part: what a part
    does is not mixed with what stretching the rest anew would do.

    Args:
        batch: of MATRIX_BATCH, one coil.
        ensemble: whose verdict is asked about.

    Raises:
        BundleError: no member takes the coil's scale.
        ValueError: there is not one coil.
    """
    if batch.num_rows != 1:
        raise ValueError(f"expected one coil, got {batch.num_rows}")
    scale: Scale = batch.column("scale").to_pylist()[0]
    members, _ = ensemble.taking(scale)
    matrix, spread = tensor_values(batch)[:1], tensor_values(batch, SPREAD)[:1]
    forms: dict[Scale, Form] = {}
    for member in members:
        wanted = _form_of(member.manifest.scale, scale)
        if wanted not in forms:
            forms[wanted] = _form(wanted, scale, matrix, spread)
    changed = np.zeros(MATRIX_SHAPE, dtype=np.bool_)
    for form in forms.values():
        changed |= form.matrix != form.plain
    for member in members:
        if member.takes_spread:
            form = forms[_form_of(member.manifest.scale, scale)]
            changed |= form.spread != form.plain_spread
    return Occluded(ensemble=ensemble, scale=scale, forms=forms, changed=changed)


def _form_of(member: Scale, source: Scale) -> Scale:
    """A `self` coil is stretched for a `self` member too, as `Ensemble.score` does."""
    return "self" if source == "self" else member


def _form(member: Scale, source: Scale, matrix: Float32Array, spread: Float32Array) -> Form:
    seen, seen_spread, level = matrix[0], spread[0], np.float32(0)
    if member == "self":
        seen, seen_spread = to_self_scale(matrix)[0], to_self_spread(spread, matrix)[0]
        level = _stretched_zero(matrix[0], seen) if source == "limits" else level
    return Form(
        matrix=seen,
        spread=seen_spread,
        plain=np.full(MATRIX_SHAPE, level, dtype=np.float32),
        plain_spread=np.broadcast_to(np.median(seen_spread, axis=0), MATRIX_SHAPE).astype(np.float32),
    )


def _stretched_zero(matrix: Float32Array, stretched: Float32Array) -> np.float32:
    """Where the band of a `limits` coil comes to lie when the coil is stretched to its own range, in whole levels."""
    lowest, span = matrix.min(), np.ptp(matrix)
    if not span:
        return np.float32(0)
    level = np.rint((np.float32(0) - lowest) / span * _TOP)
    commonest = -np.rint(stretched.min() * _TOP)
    return np.float32(np.clip((level - commonest) / _TOP, -1, 1))


def _replaced(form: Form, masks: BoolArray) -> tuple[Float32Array, Float32Array]:
    return np.where(masks, form.plain, form.matrix), np.where(masks, form.plain_spread, form.spread)
