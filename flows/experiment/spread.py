"""Runs on this machine, one after another or in processes, or on a Ray cluster; results come back as they finish."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from joblib import Parallel as Processes
from joblib import delayed

from flows.experiment.coils import Places, material_at
from flows.experiment.member import train_run
from flows.experiment.plan import Run
from flows.experiment.spec import Parallel
from schemas.errors import UsageError

Files = Mapping[str, bytes]


def spread(runs: Sequence[Run], places: Places, parallel: Parallel) -> Generator[tuple[Run, Files], None, None]:
    """Train runs and yield the files of each as soon as it is done, in any order.

    Leaving the iterator early ends what still trains. A run gives the same model wherever and beside whatever it is
    trained, given the same processor, libraries and `threads`.

    Args:
        runs: what to train.
        places: where the kept coils lie.
        parallel: where, how many at once, and on how many threads each.

    Raises:
        UsageError: Ray is asked for and not installed.
    """
    if parallel.where == "ray":
        yield from _on_ray(runs, places, parallel)
    elif parallel.jobs == 1:
        material = material_at(places)
        for run in runs:
            yield run, train_run(run, material, threads=parallel.threads, beside=1)
    else:
        beside = min(parallel.jobs, len(runs))
        tasks = (delayed(_train_here)(place, run, places, parallel.threads, beside) for place, run in enumerate(runs))
        processes = Processes(n_jobs=beside, backend="loky", return_as="generator_unordered", pre_dispatch=beside)
        for place, files in processes(tasks):
            yield runs[place], files


def _train_here(place: int, run: Run, places: Places, threads: int, beside: int) -> tuple[int, Files]:
    return place, train_run(run, material_at(places), threads=threads, beside=beside)


def _on_ray(runs: Sequence[Run], places: Places, parallel: Parallel) -> Generator[tuple[Run, Files], None, None]:
    """Coils travel through Ray's object store and files come back: no folder need be shared."""
    try:
        import ray  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise UsageError(
            "key parallel.where: ray is not installed", remedy="pip install ray, or set where: local"
        ) from error
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False)
    try:
        material = ray.put(material_at(places))
        task = ray.remote(num_cpus=parallel.threads)(train_run)
        waiting = list(runs)
        going: dict[Any, Run] = {}
        while waiting or going:
            while waiting and len(going) < parallel.jobs:
                run = waiting.pop(0)
                going[task.remote(run, material, threads=parallel.threads, beside=parallel.jobs)] = run
            (first, *_), _ = ray.wait(list(going), num_returns=1)
            yield going.pop(first), ray.get(first)
    finally:
        if started:
            ray.shutdown()
