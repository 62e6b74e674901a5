"""The coils of an experiment: simulated or read once, kept on disk, and checked before anything trains."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from flows.population import Population, from_source, simulated, unlabelled
from flows.sources.open import open_source
from models.bundle import write_folder
from models.data_spec import DataSpec
from schemas.coils import Limits
from schemas.errors import SourceError, SpecError
from schemas.mapping import PlantMapping

_COILS, _ABOUT = "coils.arrow", "about.json"
_NORMALISATION = (  # what makes a matrix of readings, and what takes coils from a source
    *(f"processors/{name}.py" for name in ("assemble", "calibration", "gauge", "grid", "normalize", "stretch")),
    "flows/matrices.py",
    "flows/population.py",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plant:
    """What a source is read with."""

    limits: Limits  # of the ensemble that serves
    name: str
    mapping: PlantMapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """All coils of an experiment."""

    population: Population  # that models learn from and are judged on, fold by fold
    gold: tuple[tuple[str, Population], ...]  # further coils that judge, by name
    unlabelled: Mapping[str, Population]  # by `data_key`: coils that some models adapt to or are pre-trained on


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where the coils of an experiment lie on disk."""

    population: Path
    gold: tuple[tuple[str, Path], ...]
    unlabelled: Mapping[str, Path]


def gather(data: DataSpec, limits: Limits | None, folder: Path, plant: Plant, *, key: str) -> Path:
    """Put the labelled coils that a specification names on disk, sorted by identity; returns where they lie.

    Args:
        data: where coils come from.
        limits: that matrices are normalised with; None: measured on these very coils if simulated, else the
            serving ensemble's.
        folder: of kept coils; what was simulated before is not simulated again.
        plant: what a source is read with.
        key: of the specification, for errors.

    Raises:
        SpecError: a coil occurs twice.
        SourceError: too few coils have a label.
    """
    if data.simulate is None:
        source = open_source(data.source or "", plant=plant.name, mapping=plant.mapping)
        return _keep(_sorted(from_source(source, limits or plant.limits), key), folder, None)
    place = folder / _made_of(data, limits, "labelled")
    if place.exists():
        return place
    return _keep(_sorted(simulated(data.simulate, limits), key), folder, place)


def gather_unlabelled(data: DataSpec, limits: Limits | None, folder: Path, plant: Plant) -> Path:
    """As `gather`, for coils whose labels are not seen."""
    place = folder / _made_of(data, limits, "unlabelled") if data.simulate is not None else None
    if place is not None and place.exists():
        return place
    source = data.simulate or open_source(data.source or "", plant=plant.name, mapping=plant.mapping)
    batch, known = unlabelled(source, limits or plant.limits)
    blind = batch.set_column(
        batch.schema.get_field_index("label"),
        batch.schema.field("label"),
        pa.nulls(batch.num_rows, pa.string()),
    )
    return _keep(Population(batch=blind, limits=known, source="unlabelled coils"), folder, place)


def opened(place: Path) -> Population:
    """Coils that were kept, mapped from the disk rather than read."""
    try:
        about = json.loads((place / _ABOUT).read_text())
        with pa.memory_map(str(place / _COILS)) as source:
            batch = pa.ipc.open_file(source).read_all().combine_chunks().to_batches()[0]
        limits = Limits.model_validate(about["limits"]) if about["limits"] else None
        population = Population(batch=batch, limits=limits, source=about["source"])
    except (OSError, ValueError, KeyError, IndexError) as error:  # Arrow's errors are ValueErrors
        raise SourceError(f"{place}: kept coils cannot be read ({error})", remedy="remove this folder") from error
    if population.digest() != about["digest"]:
        raise SourceError(f"{place}: kept coils are not those that were written", remedy="remove this folder")
    return population


def material_at(places: Places) -> Material:
    """Open everything."""
    return Material(
        population=opened(places.population),
        gold=tuple((name, opened(place)) for name, place in places.gold),
        unlabelled={key: opened(place) for key, place in places.unlabelled.items()},
    )


def data_key(data: DataSpec) -> str:
    """What unlabelled coils are found by."""
    return data.model_dump_json()


def refuse_shared(material: Material) -> None:
    """Raise SpecError where a coil, by its id or its readings, is both learnt from and judged on."""
    learnt = [("data", material.population), *(("unlabelled", one) for one in material.unlabelled.values())]
    for key, population in learnt:
        ids, revisions = set(identities(population)), set(population.batch.column("revision").to_pylist())
        judging = [*material.gold, *([("data", material.population)] if key == "unlabelled" else [])]
        for name, judged in judging:
            both = [i for i in identities(judged) if i in ids]
            both += [r for r in judged.batch.column("revision").to_pylist() if r in revisions]
            if both:
                place = "gold" if key == "data" else "adapt or pretrain"
                raise SpecError(
                    f"key {place}: {len(both)} coils of {name}, such as {both[0]}, are both learnt from and judged on",
                    remedy="take coils of another seed, period or source",
                )


def refuse_twice(population: Population, key: str) -> None:
    """Raise SpecError where a coil occurs twice, by its id or its readings: it could fall into two folds."""
    for what, values in (
        ("coil", identities(population)),
        ("coil with readings", population.batch.column("revision").to_pylist()),
    ):
        most, times = Counter(values).most_common(1)[0]
        if times > 1:
            raise SpecError(
                f"key {key}: {what} {most} occurs {times} times, so it could be learnt from in one fold and judged in "
                "another",
                remedy="give every coil once",
            )


def identities(population: Population) -> list[str]:
    """Plant and coil id of each coil."""
    plants, coils = (population.batch.column(name).to_pylist() for name in ("plant", "coil_id"))
    return [f"{plant}/{coil}" for plant, coil in zip(plants, coils, strict=True)]


def matrices_code() -> str:
    """SHA-256 over the code that turns readings into matrices: of other code, the same coils are others."""
    root, digest = Path(__file__).parents[2], hashlib.sha256()
    for name in _NORMALISATION:
        digest.update(f"{name}\n".encode() + (root / name).read_bytes())
    return digest.hexdigest()


def code_digest(room: str, *, but: frozenset[str] = frozenset()) -> str:
    """SHA-256 over the Python files of a room, by path; `but` names files that are left out."""
    root = Path(__file__).parents[2] / room
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        if file.name not in but:
            digest.update(f"{file.relative_to(root).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _sorted(population: Population, key: str) -> Population:
    """By plant, coil and revision, so that folds do not depend on the order of a source."""
    refuse_twice(population, key)
    order = pc.sort_indices(
        population.batch.select(["plant", "coil_id"]), sort_keys=[("plant", "ascending"), ("coil_id", "ascending")]
    )
    return Population(batch=population.batch.take(order), limits=population.limits, source=population.source)


def _made_of(data: DataSpec, limits: Limits | None, what: str) -> str:
    settings = [what, data.model_dump(mode="json"), limits.model_dump() if limits else None]
    made_of = [*settings, code_digest("plant"), matrices_code()]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


def _keep(population: Population, folder: Path, place: Path | None) -> Path:
    """Write coils where they are not kept yet; what was read from a source is named by its very content."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, population.batch.schema) as writer:
        writer.write_batch(population.batch)
    coils = sink.getvalue().to_pybytes()
    limits = population.limits.model_dump() if population.limits else None
    about = {"source": population.source, "limits": limits, "digest": population.digest()}
    described = (json.dumps(about) + "\n").encode()
    place = place or folder / hashlib.sha256(described + coils).hexdigest()[:16]
    if not place.exists():
        write_folder(place, {_COILS: coils, _ABOUT: described})
    return place
