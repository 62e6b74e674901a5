"""Runs on this machine, one after another or in processes, or on a Ray cluster; results come back as they finish."""

import logging
import os
import socket
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from joblib import Parallel as Processes
from joblib import delayed

from flows.experiment.coils import Material, Places, material_at
from flows.experiment.member import train_run
from flows.experiment.plan import Run
from flows.experiment.spec import Parallel
from schemas.errors import CoilflowError, UsageError

Files = Mapping[str, bytes]
_ANSWERS_WITHIN_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Refused:
    """An error of ours on its way from another process: exceptions with a remedy do not survive pickling."""

    kind: type[CoilflowError]
    sentence: str
    remedy: str


def spread(runs: Sequence[Run], places: Places, parallel: Parallel) -> Generator[tuple[Run, Files], None, None]:
    """Train runs and yield the files of each as soon as it is done, in any order.

    Leaving the iterator early ends what still trains. A run gives the same model wherever and beside whatever it is
    trained, given the same processor, libraries and `threads`.

    Args:
        runs: what to train.
        places: where the kept coils lie.
        parallel: where, how many at once, and on how many threads each.

    Raises:
        UsageError: Ray is asked for and not installed, not reached, or too small for one run.
        CoilflowError: a run cannot be trained, or was lost on Ray.
    """
    if parallel.where == "ray":
        yield from _on_ray(runs, places, parallel)
    elif parallel.jobs == 1:
        material = material_at(places)
        for run in runs:
            yield run, train_run(run, material, threads=parallel.threads, beside=1)
    else:
        beside = min(parallel.jobs, len(runs))
        refused: list[_Refused] = []  # after one, no more are begun; what still trains is waited for and kept
        tasks = (
            delayed(_train_here)(place, run, places, parallel.threads, beside)
            for place, run in enumerate(runs)
            if not refused
        )
        processes = Processes(n_jobs=beside, backend="loky", return_as="generator_unordered", pre_dispatch=beside)
        for place, found in processes(tasks):
            if isinstance(found, _Refused):
                refused.append(found)
            else:
                yield runs[place], found
        for one in refused:
            _files(one)


def _train_here(place: int, run: Run, places: Places, threads: int, beside: int) -> tuple[int, Files | _Refused]:
    try:
        return place, train_run(run, material_at(places), threads=threads, beside=beside)
    except CoilflowError as error:
        return place, _refused(error)


def _train_there(run: Run, material: Material, threads: int, beside: int) -> Files | _Refused:
    try:
        return train_run(run, material, threads=threads, beside=beside)
    except CoilflowError as error:
        return _refused(error)


def _refused(error: CoilflowError) -> _Refused:
    return _Refused(kind=type(error), sentence=str(error), remedy=error.remedy)


def _files(found: Files | _Refused) -> Files:
    if isinstance(found, _Refused):
        raise found.kind(found.sentence, remedy=found.remedy)
    return found


def _on_ray(runs: Sequence[Run], places: Places, parallel: Parallel) -> Generator[tuple[Run, Files], None, None]:
    """Coils travel through Ray's object store and files come back: no folder need be shared."""
    with _cluster() as ray:
        _refuse_small(ray, parallel)
        material = ray.put(material_at(places))
        task = ray.remote(num_cpus=parallel.threads)(_train_there)
        beside = min(parallel.jobs, len(runs))
        waiting = list(runs)
        going: dict[Any, Run] = {}
        while waiting or going:
            while waiting and len(going) < beside:
                run = waiting.pop(0)
                going[task.remote(run, material, parallel.threads, beside)] = run
            (first, *_), _ = ray.wait(list(going), num_returns=1)
            run = going.pop(first)
            yield run, _files(_fetched(ray, first, run))


@contextmanager
def _cluster() -> Iterator[Any]:
    """Ray, connected to the cluster that RAY_ADDRESS names, else started here and stopped afterwards.

    Nothing is told to Ray's makers, and no dashboard listens.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported
    try:
        import ray  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise UsageError(
            "key parallel.where: ray is not installed", remedy="pip install 'coilflow[ray]', or set where: local"
        ) from error
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS", "")
    try:
        _refuse_deaf(address)
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        place = f"the Ray cluster at {address} cannot be reached" if address else "Ray cannot be started here"
        raise UsageError(
            f"key parallel.where: {place} ({_first_line(error)})", remedy="correct RAY_ADDRESS, or set where: local"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _refuse_deaf(address: str) -> None:
    """Raise OSError where nothing answers at `host:port`: Ray itself would try for minutes."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.hostname and parts.port:
        socket.create_connection((parts.hostname, parts.port), timeout=_ANSWERS_WITHIN_S).close()


def _refuse_small(ray: Any, parallel: Parallel) -> None:  # noqa: ANN401 - the module, imported where it is needed
    """A run that no machine has the cores for would wait for ever."""
    most = max((int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]), default=0)
    if parallel.threads > most:
        raise UsageError(
            f"key parallel.threads: a run asks for {parallel.threads} cores, the largest machine of Ray has {most}",
            remedy=f"set threads to at most {most}, or add machines to the cluster",
        )


def _fetched(ray: Any, reference: Any, run: Run) -> Files | _Refused:  # noqa: ANN401 - as above
    try:
        found: Files | _Refused = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise CoilflowError(
            f"{run.title} was lost on Ray ({type(error).__name__}: {_first_line(error)})",
            remedy="run it again, what is done stays done; with lower parallel.jobs where memory was short",
        ) from error
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
