"""Build the kind model that coilflow comes with: `python -m flows.kind_bundle`, in two minutes and without torch."""

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.progress import Progress

from flows.known_kinds import compared_coils, known_places
from models.bundle import MANIFEST, MODEL, VERSION_DIGITS, read_file, sha256, write_folder
from models.ensemble import ENSEMBLE, SHIPPED, parse_ensemble
from models.installed import installed_version
from models.kind_fit import LIBRARIES, fit_kinds
from models.kind_places import Kinds, KnownPlaces, coding_of, places_bytes
from models.kind_scores import KindScores, kind_scores
from models.kinds import KNOWN_PLACES, SHIPPED_KINDS, kind_model
from models.place_features import MADE_BY, place_features
from plant.defects import KINDS
from plant.settings import LineSettings
from schemas.coils import Float32Array, Limits
from schemas.kinds import NO_KIND, KindManifest

_RESTLESS = (1.0, 3.0)  # as it runs, and as members learn
_DEFECT_SHARE = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Coils to simulate, and how many places of them are kept."""

    coils: int
    seed: int
    of_a_kind: int  # at most: common kinds would fill the bundle
    of_none: int


LEARNT = Part(coils=16_000, seed=7101, of_a_kind=600, of_none=1800)
JUDGED = Part(coils=4000, seed=7301, of_a_kind=150, of_none=450)


def build_kinds(learnt: Part, judged: Part, limits: Limits, progress: Progress | None) -> dict[str, bytes]:
    """Simulate places, fit a model to them and judge it on others; returns the files of a bundle.

    Args:
        learnt: coils to learn from.
        judged: coils to judge by, of another seed.
        limits: to normalise by.
        progress: a started display, or None to be silent.
    """
    features, kind = _places(learnt, limits, progress)
    others, other_kind = _places(judged, limits, progress)
    coding = coding_of(features)
    places = KnownPlaces(
        coding=coding,
        coded=coding.code(np.concatenate([features, others])),
        kind=np.concatenate([kind, other_kind]),
        holdout=np.arange(len(kind) + len(other_kind)) >= len(kind),
    )
    kinds = (*(one for one in KINDS if one in kind), NO_KIND)
    model = fit_kinds(places, kinds)
    files = {MODEL: model, KNOWN_PLACES: places_bytes(places)}
    version = sha256(model)[:VERSION_DIGITS]
    manifest = KindManifest(
        version=version,
        features=MADE_BY,
        kinds=kinds,
        places=dict(Counter(kind.tolist())),
        metrics={},
        base=version,
        source=f"plant: {learnt.coils} coils, seeds {learnt.seed} and on; judged by {judged.coils} of {judged.seed}",
        code_version=installed_version("coilflow"),
        libraries={name: installed_version(name) for name in LIBRARIES},
        files={name: sha256(content) for name, content in files.items()},
    )
    told = kind_model(manifest, model, place="the new model").probabilities(others)
    scores: KindScores = kind_scores(other_kind, np.array(kinds)[told.argmax(axis=1)])
    final = manifest.model_copy(update={"metrics": scores.as_json()})
    return {**files, MANIFEST: (final.model_dump_json(indent=2) + "\n").encode()}


def _places(part: Part, limits: Limits, progress: Progress | None) -> tuple[Float32Array, Kinds]:
    """Features [N, D] and kinds [N] of places, of restless lines and of both scales alike many."""
    rows, kinds = [], []
    task = None if progress is None else progress.add_task(f"places of seed {part.seed}", total=part.coils)
    for nth, restlessness in enumerate(_RESTLESS):
        line = LineSettings(defect_share=_DEFECT_SHARE, restlessness=restlessness)
        count, seed = part.coils // len(_RESTLESS), part.seed + nth
        kept: Counter[str] = Counter()
        for coil in compared_coils(line, limits, coils=count, seed=seed, scales=("limits", "self")):
            for known in known_places(coil):
                most = part.of_none if known.kind == NO_KIND else part.of_a_kind
                if kept[known.kind] < most // len(_RESTLESS):
                    kept[known.kind] += 1
                    rows.append(place_features(coil.distance, coil.length_m, [known.place])[0])
                    kinds.append(known.kind)
            if progress is not None and task is not None:
                progress.advance(task)
    return np.stack(rows), np.array(kinds)


def main() -> None:
    """Rebuild `models/kind_bundle` and say what came out."""
    console = Console()
    limits = parse_ensemble(read_file(SHIPPED / ENSEMBLE), SHIPPED).limits
    with Progress(console=console) as progress:
        files = build_kinds(LEARNT, JUDGED, limits, progress)
    with TemporaryDirectory() as folder:
        built = Path(folder) / "kinds"
        write_folder(built, files)
        shutil.rmtree(SHIPPED_KINDS, ignore_errors=True)
        shutil.copytree(built, SHIPPED_KINDS)
    manifest = KindManifest.model_validate_json(files[MANIFEST])
    console.print(f"kinds {manifest.version}: {sum(map(len, files.values())) / 1e6:.2f} MB, {manifest.metrics}")
    console.print(f"places learnt from: {manifest.places}")


if __name__ == "__main__":
    main()
