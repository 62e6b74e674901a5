"""Fit the kinds again with what people marked: a kind that they name often enough becomes one that is told."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flows.marked_kinds import MarkedPlaces
from models.bundle import MODEL, VERSION_DIGITS, sha256
from models.installed import installed_version
from models.kind_fit import LIBRARIES, fit_kinds
from models.kind_places import Kinds, KnownPlaces
from models.kind_scores import MacroDifference, kind_scores, macro_difference
from models.kinds import KindModel, kind_model
from models.share_intervals import wilson_interval
from schemas.coils import Float32Array
from schemas.kinds import KindManifest, kind_in_words

LEAST_LEARNT = 10  # coils of a new kind: fewer hardly show what of a place is the kind and what the coil
LEAST_JUDGED = 4  # with all of four found, recall is above one half for sure (Wilson 1927)
_MARGIN = 0.03  # of macro F1 that a new kind may cost the others


@dataclass(frozen=True, kw_only=True, slots=True)
class Refit:
    """A model that was fitted again, and whether it is to be asked from now on."""

    manifest: KindManifest
    model: bytes
    taken: bool
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fitted:
    model: bytes
    opened: KindModel


def refit(base: KindManifest, places: KnownPlaces, marked: MarkedPlaces, before: KindModel) -> Refit:
    """Learn from simulated places and marked ones together, and judge the outcome beside the model that is asked now.

    A kind that people name becomes one that is told where at least ten coils teach it and four others judge it, and
    where it is found more often than not for sure. The model is taken where macro F1 over the kinds that the one before
    knows too cannot have fallen by more than 0.03, on simulated and marked places that neither learnt from.

    A kind that people named once and that too few coils teach by now is no longer told.

    Args:
        base: manifest of the bundle that the simulated places come with.
        places: those.
        marked: by people.
        before: is asked now.
    """
    named = sorted({*marked.learnt.coils, *marked.judged.coils} - {*base.kinds})
    new = [
        kind
        for kind in named
        if marked.learnt.coils[kind] >= LEAST_LEARNT and marked.judged.coils[kind] >= LEAST_JUDGED
    ]
    why = [_too_few(kind, marked) for kind in named if kind not in new]
    joined = _joined(places, marked)
    fitted = _fit(base, joined, marked, new)
    missed = [kind for kind in new if not _found(fitted.opened, marked, kind)]
    if missed:
        why += [f"{kind_in_words(kind)} is found too seldom to be told" for kind in missed]
        new = [kind for kind in new if kind not in missed]
        fitted = _fit(base, joined, marked, new)
    both = [kind for kind in before.manifest.kinds if kind in fitted.opened.manifest.kinds]
    judges = joined.holdout & np.isin(joined.kind, both)
    features, true = joined.features[judges], joined.kind[judges]
    change = macro_difference(true, _told(before, features), _told(fitted.opened, features))
    taken = change.low >= -_MARGIN
    told, let_go = ("is told", "is no longer told") if taken else ("would be told", "would no longer be told")
    why += [f"{kind_in_words(kind)} {told}, by {marked.learnt.coils[kind]} coils" for kind in new]
    why += [f"{kind_in_words(kind)} {let_go}" for kind in before.manifest.kinds if kind not in both]
    why.append(_weighed(change, len(true), taken=taken))
    return Refit(manifest=fitted.opened.manifest, model=fitted.model, taken=taken, why="; ".join(why))


def _too_few(kind: str, marked: MarkedPlaces) -> str:
    return (
        f"{kind_in_words(kind)} was marked on {marked.learnt.coils[kind]} coils to learn from and "
        f"{marked.judged.coils[kind]} to judge by, {LEAST_LEARNT} and {LEAST_JUDGED} are needed"
    )


def _weighed(change: MacroDifference, places: int, *, taken: bool) -> str:
    return (
        f"{'taken' if taken else 'not taken'}: macro F1 {change.value:+.3f} [{change.low:+.3f}, {change.high:+.3f}] "
        f"beside the one before, on {places} places that neither learnt from"
    )


def _joined(places: KnownPlaces, marked: MarkedPlaces) -> KnownPlaces:
    coded = places.coding.code(np.concatenate([marked.learnt.features, marked.judged.features]))
    holdout = np.arange(len(coded)) >= len(marked.learnt.kind)
    return places.beside(coded, np.concatenate([marked.learnt.kind, marked.judged.kind]), holdout)


def _fit(base: KindManifest, joined: KnownPlaces, marked: MarkedPlaces, new: Sequence[str]) -> _Fitted:
    kinds = (*base.kinds, *new)
    model = fit_kinds(joined, kinds)
    taught = joined.kind[~joined.holdout & np.isin(joined.kind, list(kinds))]
    manifest = KindManifest(
        version=sha256(model)[:VERSION_DIGITS],
        features=base.features,
        kinds=kinds,
        places=dict(Counter(taught.tolist())),
        metrics={},
        base=base.base,
        source=f"{base.source}; {sum(marked.learnt.coils.values())} coils that people marked",
        words_digest=marked.digest,
        code_version=installed_version("coilflow"),
        libraries={name: installed_version(name) for name in LIBRARIES},
        files={MODEL: sha256(model)},
    )
    opened = kind_model(manifest, model, place="the new kind model")
    judges = joined.holdout & np.isin(joined.kind, list(kinds))
    scores = kind_scores(joined.kind[judges], _told(opened, joined.features[judges]))
    judged = manifest.model_copy(update={"metrics": scores.as_json()})
    return _Fitted(model=model, opened=KindModel(manifest=judged, session=opened.session))


def _found(model: KindModel, marked: MarkedPlaces, kind: str) -> bool:
    """Whether a kind is found more often than not, beyond chance."""
    own = marked.judged.kind == kind
    low, _ = wilson_interval(int((_told(model, marked.judged.features[own]) == kind).sum()), int(own.sum()))
    return low > 0.5


def _told(model: KindModel, features: Float32Array) -> Kinds:
    told: Kinds = np.array(model.manifest.kinds)[model.probabilities(features).argmax(axis=1)]
    return told
