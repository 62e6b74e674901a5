"""The study's recipe in Ultralytics' own trainer and predictor (FACTS sections 3 and 7).

Each coil is a grey image of 264 × 264: `floor((s + 1) / 2 * 255)`, its columns repeated 15 times and cut. Before
training, changed copies of NOK coils are added, with what keeps spatial meaning: mirrored across the strip per face,
reversed along the length, slightly turned, with Gaussian noise. The trainer's loss is unweighted, so the study's class
weight of 5:1 is copies too: NOK images are added until there are `ok_per_nok` (5) times as many OK. From 2.9% NOK
that is six to seven images of each NOK coil, about the weight that the study gives it.

Validation images are the coils as they are, unless `copy_validation` asks for copies there as well. It matters: the
trainer stops and picks its epoch by accuracy, and of coils as they are, 97% are right for a model that calls all OK,
as that of the first epoch may; no epoch need then be better. The study does not say which of the two it did, so both
should be run, and the better believed.

Copies that alone are turned and noisy can be told by that from coils as they are, OK or NOK: a network may learn the
noise and find no NOK coil that has none. `mirrored_copies` makes them by mirror and reversal only, which leave no such
trace.

All else is Ultralytics' default, which is the point: random crops of half to all of an image, flips, RandAugment and
erasing, a warm-up of three epochs, a learning rate that falls linearly to a hundredth, weight decay, moving averages of
the weights, the best epoch by accuracy on validation images. It rounds 264 to 288, a multiple of 32, and scales images
up to it. On a CPU it takes one thread less than there are cores; here it is given `threads`.
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from bench.study_recipe_weights import NAMES, write_checkpoint
from models.augment import augment
from models.data_spec import Augmentation
from models.network_spec import NetworkKind
from models.networks.yolo import prepare_ultralytics
from schemas.coils import BoolArray, Float32Array, FloatArray

SIDE, REPEATS = 264, 15
CHANGES = Augmentation(mirror=0.5, reverse=0.5, rotation_deg=2.0, noise=0.01, shift_rows=0)
MIRRORED = Augmentation(mirror=0.5, reverse=0.5, noise=0.0, shift_rows=0)
BATCH, LEARNING_RATE, WORKERS = 64, 1e-3, 2
_INTEGRATIONS = ("clearml", "comet", "dvc", "mlflow", "raytune", "sync", "tensorboard", "wandb")
_NOK = next(number for number, name in NAMES.items() if name == "NOK")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What the study leaves open, or what it varied."""

    model: NetworkKind  # yolov8n-cls to yolov8x-cls
    epochs: int  # at most
    patience: int  # epochs without a better accuracy on validation images before it stops; the study's is 5
    imgsz: int
    freeze: int  # of the ten blocks, from the input on
    weights: Path | None  # .safetensors of ours to begin with; None: random
    ok_per_nok: float  # training images, by copies of NOK
    mirrored_copies: bool  # else turned and noisy too
    copy_validation: bool
    seed: int
    threads: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What the recipe says of each coil, and how it came to it."""

    p_nok: Mapping[str, FloatArray]  # by judging set, in the order of its coils
    about: Mapping[str, Any]  # of JSON's types


def run_recipe(
    recipe: Recipe, training: tuple[Float32Array, BoolArray], judged: Mapping[str, tuple[Float32Array, BoolArray]]
) -> Outcome:
    """Train, then predict.

    Args:
        recipe: settings.
        training: coils float32 [N, 264, 18] in [-1, 1], and which are NOK.
        judged: the same by name of the set; `validation`, which also stops the training, is one of them.
    """
    prepare_ultralytics()
    from ultralytics.models import YOLO  # noqa: PLC0415 - reads the environment when imported
    from ultralytics.utils import SETTINGS  # noqa: PLC0415

    dict.update(SETTINGS, dict.fromkeys(_INTEGRATIONS, False))  # of this process; its own update would write a file
    torch_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory(prefix="coilflow-recipe-") as place, torch.random.fork_rng():
        folder = Path(place)
        counts = _write_dataset(folder / "images", recipe, training, judged["validation"])
        for name, (coils, _) in judged.items():
            _write_images(folder / "judged" / name, images(coils))
        begin, said = f"{recipe.model}.yaml", "none"
        if recipe.weights is not None:
            begin = str(folder / "begin.pt")
            said = write_checkpoint(recipe.model, recipe.weights, Path(begin))
        try:
            model: Any = YOLO(begin, verbose=False)
            trained = _train(model, recipe, folder)
            found = {name: _predict(model, folder / "judged" / name, recipe.threads) for name in judged}
        finally:
            torch.set_num_threads(torch_threads)
    settings = {**asdict(recipe), "weights": said, "batch": BATCH, "lr0": LEARNING_RATE}
    about = {
        "settings": settings,
        "images": counts,
        **trained,
        "ms_a_coil": float(np.median(np.concatenate([ms for _, ms in found.values()]))),
        "device": str(next(model.model.parameters()).device),
        "libraries": {name: version(name) for name in ("torch", "torchvision", "ultralytics")},
    }
    return Outcome(p_nok={name: p_nok for name, (p_nok, _) in found.items()}, about=about)


def images(coils: Float32Array) -> npt.NDArray[np.uint8]:
    """Grey images uint8 [N, 264, 264] of coils float32 [N, 264, 18] in [-1, 1] (FACTS section 2)."""
    grey = np.floor((coils + 1) / 2 * 255).astype(np.uint8)
    return np.repeat(grey, REPEATS, axis=2)[:, :, :SIDE]


def with_copies(
    coils: Float32Array, is_nok: BoolArray, *, ok_per_nok: float, changes: Augmentation, generator: torch.Generator
) -> tuple[Float32Array, BoolArray]:
    """All coils, then changed copies of the NOK ones in turn, until there are so many times as many OK."""
    nok = np.flatnonzero(is_nok)
    copies = max(0, round((len(is_nok) - len(nok)) / ok_per_nok) - len(nok))
    sources = torch.from_numpy(coils[np.resize(nok, copies)])[:, None]
    changed = augment(sources, changes, grey=False, generator=generator)[:, 0].clamp(-1, 1).numpy()
    return np.concatenate([coils, changed]), np.concatenate([is_nok, np.ones(copies, dtype=np.bool_)])


def _write_dataset(
    folder: Path, recipe: Recipe, training: tuple[Float32Array, BoolArray], validation: tuple[Float32Array, BoolArray]
) -> dict[str, int]:
    """Ultralytics' folders of a classification, train and val of NOK and OK each; returns how many images."""
    generator = torch.Generator().manual_seed(recipe.seed)
    changes = MIRRORED if recipe.mirrored_copies else CHANGES
    parts = {"train": training, "val": validation}
    counts = {}
    for part, (coils, is_nok) in parts.items():
        if part == "train" or recipe.copy_validation:
            coils, is_nok = with_copies(  # noqa: PLW2901
                coils, is_nok, ok_per_nok=recipe.ok_per_nok, changes=changes, generator=generator
            )
        for name, chosen in (("NOK", is_nok), ("OK", ~is_nok)):
            counts[f"{part} {name}"] = int(chosen.sum())
            _write_images(folder / part / name, images(coils[chosen]))
    return counts


def _write_images(folder: Path, pictures: npt.NDArray[np.uint8]) -> None:
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number:06}.png")


def _train(model: Any, recipe: Recipe, folder: Path) -> dict[str, Any]:  # noqa: ANN401 - Ultralytics is not typed
    """Ultralytics' own training; its model is then that of the best epoch. Returns seconds and epochs."""
    epochs: list[dict[str, float]] = []

    def said(trainer: Any) -> None:  # noqa: ANN401
        losses = trainer.label_loss_items(trainer.tloss)
        found = {
            "epoch": trainer.epoch + 1,
            **{key: float(value) for key, value in {**losses, **trainer.metrics}.items()},
        }
        epochs.append(found)
        line = ", ".join(f"{key} {value:.4g}" for key, value in found.items())
        print(f"{time.perf_counter() - started:.0f} s: {line}", file=sys.stderr, flush=True)

    model.add_callback("on_train_start", lambda _: torch.set_num_threads(recipe.threads))
    model.add_callback("on_model_save", said)  # once an epoch, judged by then
    started = time.perf_counter()
    model.train(
        data=str(folder / "images"),
        epochs=recipe.epochs,
        patience=recipe.patience,
        imgsz=recipe.imgsz,
        batch=BATCH,
        optimizer="Adam",
        lr0=LEARNING_RATE,
        freeze=recipe.freeze,
        seed=recipe.seed,
        deterministic=True,
        workers=WORKERS,
        amp=False,  # on a CPU it is off anyway, on a GPU its check would download a model
        plots=False,
        verbose=False,
        project=str(folder / "runs"),
        name="recipe",
    )
    return {
        "training_seconds": time.perf_counter() - started,
        "epochs": epochs,
        "best_epoch": int(model.trainer.stopper.best_epoch),
        "trained_at": int(model.trainer.args.imgsz),
    }


def _predict(model: Any, folder: Path, threads: int) -> tuple[FloatArray, FloatArray]:  # noqa: ANN401
    """Probability of NOK, and milliseconds without reading the file, of each image of a folder by its number."""
    model.add_callback("on_predict_start", lambda _: torch.set_num_threads(threads))
    count = len(list(folder.iterdir()))
    p_nok, ms = np.full(count, np.nan), np.full(count, np.nan)
    for result in model.predict(source=str(folder), stream=True, batch=BATCH, verbose=False):
        number = int(Path(result.path).stem)
        p_nok[number] = float(result.probs.data[_NOK])
        ms[number] = sum(result.speed.values())
    assert model.names == NAMES
    assert np.isfinite(p_nok).all()
    return p_nok, ms
