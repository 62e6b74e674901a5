"""Does self-supervised pre-training help with real coils?

    python -m bench.real_coils.self_supervised REAL.parquet --out docs/results/real_coils

The shipped recipe for scale `self` (models/specs/4-cnn10-self-1.yaml) with and without SimCLR before it, and a head on
what SimCLR alone has learnt, fitted to real coils fold by fold: the folds and thresholds of the protocol.
"""

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bench.machine import machine
from bench.real_coils.coils import RealCoils, SimulatedCoils, read_real, simulate_coils
from bench.real_coils.judged import (
    Scored,
    calibrated,
    figures,
    file_predictions,
    fold_threshold,
    judged_on_folds,
    judged_zero_shot,
    read_folds,
)
from bench.real_coils.networks import said_of, validation_of
from bench.real_coils.on_folds import features_over_views, head_on, out_of_fold
from bench.real_coils.zero_shot import FEW, Said, asked_of, of_seeds
from bench.report import print_table
from flows.bundles import SPECS
from models.networks import build
from models.objectives_spec import SelfSupervised
from models.spec import TrainSpec, read_spec
from models.training.batches import Drawing
from models.training.calibration import class_weights
from models.training.classifying import classifying_stage
from models.training.coils import Epoch, LabelledCoils
from models.training.course import Course
from models.training.loop import run_stage
from models.training.pretraining import pretraining_stage
from models.training.scoring import features
from schemas.coils import FloatArray

SEED = 11  # of the simulated coils
SEEDS = (4, 5, 6)
SIMCLR = SelfSupervised(epochs=6)


@dataclass(frozen=True, kw_only=True, slots=True)
class Learnt:
    """What one seed gives."""

    plain: Said
    pretrained: Said
    of_real: FloatArray  # features after SimCLR alone
    of_simulated: FloatArray


def learnt(spec: TrainSpec, real: RealCoils, coils: SimulatedCoils) -> Learnt:
    """Train the recipe twice, once after SimCLR."""
    known, _ = validation_of(len(coils))
    plain = _course(spec, coils)
    run_stage(plain.network, classifying_stage(plain, None), on_epoch=_say)
    course = _course(spec, coils)
    run_stage(course.network, pretraining_stage(course, SIMCLR, course.training.coils), on_epoch=_say)
    of_real = features_over_views(course.network.eval(), real.matrix)
    of_simulated = features(course.network, coils.matrix[known][:, None]).numpy().astype(np.float64)
    run_stage(course.network, classifying_stage(course, None), on_epoch=_say)
    said = [asked_of(partial(said_of, one.network.eval()), real, coils) for one in (plain, course)]
    return Learnt(plain=said[0], pretrained=said[1], of_real=of_real, of_simulated=of_simulated)


def _course(spec: TrainSpec, coils: SimulatedCoils) -> Course:
    training, validation = (
        LabelledCoils(coils=coils.matrix[part][:, None], is_nok=coils.is_nok[part])
        for part in validation_of(len(coils))
    )
    torch.manual_seed(spec.seed)
    network = build(spec.kind, spec.network).to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(spec.seed)
    return Course(
        spec=spec,
        network=network,
        training=training,
        validation=validation,
        validation_weights=class_weights(spec, training.is_nok),
        drawing=Drawing(
            size=spec.batch, augment=spec.augment, grey=True, generator=generator, device=torch.device("cpu")
        ),
    )


def _say(epoch: Epoch) -> None:
    print(f"  {epoch}", flush=True)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m bench.real_coils.self_supervised", description=__doc__)
    parser.add_argument("coils", type=Path, help="grey-level Parquet with labels")
    parser.add_argument("--out", type=Path, required=True, help="folder of folds.csv, and of what is filed")
    asked = parser.parse_args()
    real = read_real(asked.coils)
    folds = read_folds(asked.out / "folds.csv", real.ids)
    coils = simulate_coils(FEW, seed=SEED)
    spec = read_spec(SPECS / "4-cnn10-self-1.yaml")
    found = [learnt(spec.model_copy(update={"seed": seed}), real, coils) for seed in SEEDS]
    labels = coils.is_nok[validation_of(FEW)[1]]
    scored: dict[str, Scored] = {}
    for name, said in (
        ("supervised", of_seeds([one.plain for one in found])),
        ("simclr-supervised", of_seeds([one.pretrained for one in found])),
    ):
        scored[name] = judged_zero_shot(calibrated(said, labels), labels, real, folds)
    head = head_on([one.of_real for one in found], [one.of_simulated for one in found], real.is_nok)
    scored["simclr-head"] = judged_on_folds(out_of_fold(folds, head, fold_threshold(real)))
    print(f"\n{machine()}\n")
    rows = []
    for name, one in scored.items():
        area, by_rule = figures(one, real.is_nok)
        rows.append([name, area.said(), *(f"{rule} {figure.said()}" for rule, figure in by_rule.items())])
    print_table(["approach", "ROC-AUC", "F1", "", ""], [[*row, *[""] * (5 - len(row))] for row in rows])
    file_predictions(asked.out / "predictions_self_supervised.csv", scored, real)


if __name__ == "__main__":
    main()
