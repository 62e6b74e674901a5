"""Similar coils: whether neighbours share a defect's kind and place, and how long it takes to find them.

Run as `python -m bench.similar [--coils 1500] [--stored 100000] [--out FILE.md]`. Coils of the simulated line with one
defect each; features of the shipped members (their graphs without the head) beside the embedding by hand.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.machine import machine
from bench.report import add_out, print_bars, print_table, report
from flows.recent_shapes import COMPARED, RecentShapes
from flows.similar import similar_coils
from models.bundle import FEATURES, INPUT, MODEL, open_session
from models.ensemble import COILS_AT_ONCE, Ensemble, load_ensemble
from models.head_graph import with_features
from models.similar import MADE_BY, WIDTH, Embeddings, cosine, embed
from plant.line import simulate
from plant.settings import LineSettings
from processors.assemble import assemble
from processors.normalize import normalize
from schemas.coils import CoilKey, Float32Array, Limits
from schemas.explanations import SimilarCoils
from schemas.matrices import keys_of, tensor_values
from schemas.readings import readings_of
from schemas.verdicts import Label, Verdict
from store.connection import Connection, connect
from store.embedded import embedded_postgres
from store.embeddings import EmbeddedCoil, store_embeddings
from store.migrations import migrate
from store.verdicts import Decided, record_verdicts

NEAREST = 5
ALLOWED_MS = 50.0
SEED = 31
PLANT = "linz"
LIMITS = Limits(low=-191.0, high=377.0)  # g/m², for coils whose ensemble is not registered
ASKED_COILS = 40
WARM_UP = 3
_AT_ONCE = 5000
# Statement by statement, without the trigger that looks for a verdict to supersede: there is none.
_COILS = (
    "insert into coilflow.coils (plant, coil_id, state) select %(plant)s, 'c' || n, 'decided' "
    "from generate_series(1, %(coils)s) as n",
    "insert into coilflow.readings (plant, coil_id, revision, readings) select plant, coil_id, 'r', '' "
    "from coilflow.coils",
    "analyze coilflow.coils, coilflow.readings",
    "alter table coilflow.verdicts disable trigger user",
    "insert into coilflow.verdicts (plant, coil_id, revision, label, p_nok, threshold, ensemble_version, observed, "
    "decided_at) select plant, coil_id, revision, 'OK', 0.1, 0.5, 'e1', 1, now() from coilflow.readings",
    "alter table coilflow.verdicts enable trigger user",
    "analyze coilflow.verdicts",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Struck:
    """Coils with one defect each that shows."""

    matrix: Float32Array  # [N, 264, 18]
    kind: NDArray[np.str_]
    face: NDArray[np.str_]
    label: NDArray[np.str_]
    place: Float32Array  # [N, 2] from and to, of the length


def struck_coils(limits: Limits, *, coils: int) -> Struck:
    """Simulate coils and keep those with one defect that leave their band."""
    found = []
    for block in simulate(coils, seed=SEED, line=LineSettings(defect_share=0.9)):
        batch = normalize(assemble(block.rows, block.headers).coils, limits).batch
        told = {h.key: (h, truth) for h, truth in zip(block.headers, block.truth, strict=True)}
        for matrix, key in zip(tensor_values(batch), keys_of(batch), strict=True):
            header, truth = told[key]
            if len(truth.defects) == 1 and np.any(matrix):
                [defect] = truth.defects
                length_m = header.order.length_m or 1.0
                found.append(
                    (
                        matrix.copy(),
                        defect.kind,
                        defect.face,
                        truth.judgement.label,
                        (defect.start_m / length_m, defect.end_m / length_m),
                    )
                )
    matrix, kind, face, label, place = (np.array(values) for values in zip(*found, strict=True))
    return Struck(matrix=matrix, kind=kind, face=face, label=label, place=place.astype(np.float32))


def member_features(ensemble: Ensemble, matrix: Float32Array) -> Iterator[tuple[str, Float32Array]]:
    """What each member of scale `limits` decides on, by its name."""
    for member in ensemble.members:
        if member.manifest.scale == "limits":
            path = member.folder / MODEL
            session = open_session(with_features(path.read_bytes(), place=path), place=path, threads=2)
            parts = [matrix[start : start + COILS_AT_ONCE] for start in range(0, len(matrix), COILS_AT_ONCE)]
            yield (
                f"features of {member.manifest.name}",
                np.concatenate([session.run([FEATURES], {INPUT: part})[0] for part in parts]),
            )


def shares(coils: Struck, vectors: Float32Array) -> tuple[float, ...]:
    """Of the nearest coils, how many have the same kind, kind and face, label, and a place that overlaps."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    alike = unit @ unit.T
    np.fill_diagonal(alike, -2)
    near = np.argsort(-alike, axis=1, kind="stable")[:, :NEAREST]
    kind = coils.kind[near] == coils.kind[:, None]
    face = coils.face[near] == coils.face[:, None]
    first = np.maximum(coils.place[near, 0], coils.place[:, None, 0])
    last = np.minimum(coils.place[near, 1], coils.place[:, None, 1])
    label = coils.label[near] == coils.label[:, None]
    return float(kind.mean()), float((kind & face).mean()), float(label.mean()), float((last > first).mean())


def main() -> int:
    """Print what neighbours share, and how long they take to be found."""
    parser = argparse.ArgumentParser(prog="python -m bench.similar")
    parser.add_argument("--coils", type=int, default=1500, help="simulated, to be compared")
    parser.add_argument("--stored", type=int, default=COMPARED, help="embeddings in the database")
    parser.add_argument("--rounds", type=int, default=40, help="of each timing")
    add_out(parser)
    given = parser.parse_args()
    ensemble = load_ensemble(None, threads=2)
    with report(
        "bench.similar", "Similar coils: what neighbours share, and how long they take", given.out, on=machine()
    ):
        coils = struck_coils(ensemble.limits, coils=given.coils)
        distance = coils.matrix * np.where(coils.matrix < 0, -ensemble.limits.low, ensemble.limits.high)
        embedded = embed(distance.astype(np.float32))
        chance = np.random.default_rng(0).normal(size=(len(coils.matrix), 8)).astype(np.float32)
        sides = [
            (f"embedding by hand, {MADE_BY}", embedded.astype(np.float32)),
            *member_features(ensemble, coils.matrix),
            ("at random", chance),
        ]
        print(f"{len(coils.matrix)} simulated coils with one defect that shows; shares of the {NEAREST} nearest.\n")
        found = {name: shares(coils, vectors) for name, vectors in sides}
        print_table(
            ("by cosine of", "numbers", "same kind", "kind and face", "same label", "places overlap"),
            [(name, vectors.shape[1], *(f"{share:.1%}" for share in found[name])) for name, vectors in sides],
        )
        start = time.perf_counter()
        embed(distance[:256].astype(np.float32))
        print(f"\nTo embed a coil takes {(time.perf_counter() - start) / 256 * 1e3:.2f} ms.\n")
        median_ms = _asked(embedded, given.stored, given.rounds)
        hand, best = found[sides[0][0]][0], max(found[name][0] for name, _ in sides[1:-1])
        return print_bars(
            [
                (
                    f"neighbours among {given.stored:,} coils: {ALLOWED_MS:.0f} ms",
                    f"{median_ms:.0f} ms",
                    median_ms < ALLOWED_MS,
                ),
                (
                    "neighbours share the kind more often than by any member's features",
                    f"{hand:.1%}, {best:.1%}",
                    hand > best,
                ),
            ]
        )


def _asked(embedded: Embeddings, stored: int, rounds: int) -> float:
    """Time of the whole question in PostgreSQL with so many embeddings; returns the median in ms."""
    with tempfile.TemporaryDirectory() as folder, embedded_postgres(Path(folder)) as dsn:
        migrate(dsn)
        with connect(dsn) as connection:
            keys = _fill(connection, embedded, stored)
            whole: list[float] = []
            recent, first = RecentShapes(), list[float]()
            for _ in range(WARM_UP):
                start = time.perf_counter()
                similar_coils(connection, keys[0], RecentShapes(), limit=6, otherwise=LIMITS)
                first.append(1e3 * (time.perf_counter() - start))
            for turn in range(rounds + WARM_UP):
                start = time.perf_counter()
                found = similar_coils(connection, keys[turn % len(keys)], recent, limit=6, otherwise=LIMITS)
                whole.append(1e3 * (time.perf_counter() - start))
                assert isinstance(found, SimilarCoils)
                assert found.compared == min(stored, COMPARED)
    many, alone = np.resize(embedded, (stored, WIDTH)), []
    for _ in range(rounds):
        start = time.perf_counter()
        cosine(many[:1], many)
        alone.append(1e3 * (time.perf_counter() - start))
    print_table(
        (f"among {stored:,} coils", "median ms", "p95 ms"),
        [
            (name, f"{np.median(times):.1f}", f"{np.quantile(times, 0.95):.1f}")
            for name, times in (
                ("the whole question", whole[WARM_UP:]),
                ("of that, cosines", alone),
                ("the first question of a minute", first),
            )
        ],
    )
    return float(np.median(whole[WARM_UP:]))


def _fill(connection: Connection, embedded: Embeddings, stored: int) -> list[CoilKey]:
    """Decided coils of one plant, the last of which have readings; the keys of those."""
    for statement in _COILS:
        connection.execute(statement, {"plant": PLANT, "coils": stored} if "%(" in statement else None)
    ids = [row["verdict_id"] for row in connection.execute("select verdict_id from coilflow.verdicts").fetchall()]
    many = np.resize(embedded, (stored, WIDTH))
    for start in range(0, stored, _AT_ONCE):
        part = [
            EmbeddedCoil(verdict_id=verdict_id, plant=PLANT, scale="limits", embedding=row.tobytes())
            for verdict_id, row in zip(ids[start : start + _AT_ONCE], many[start : start + _AT_ONCE], strict=True)
        ]
        store_embeddings(connection, MADE_BY, part)
    connection.execute("vacuum analyze coilflow.embeddings")
    [block] = simulate(ASKED_COILS, seed=SEED, line=LineSettings(plant=PLANT, defect_share=0.9))
    coils = assemble(block.rows, block.headers).coils
    decided = [
        Decided(
            verdict=Verdict(
                key=header.key,
                revision=coils.revisions[row],
                label=Label.OK,
                p_nok=0.1,
                threshold=0.5,
                ensemble_version="e1",
                members=(),
                observed=1.0,
                reasons=(),
            ),
            readings=readings_of(coils, row),
            order=header.order,
            started_at=header.started_at,
            truth=None,
        )
        for row, header in enumerate(coils.headers)
    ]
    record_verdicts(connection, decided, decided_at=datetime.now(UTC), destinations=[])
    return [header.key for header in coils.headers]


if __name__ == "__main__":
    raise SystemExit(main())
