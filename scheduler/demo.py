"""The demonstration's story: a line drifts, its models slip, a successor is trained, proved, swapped in and watched.

Nothing is played: the scheduler's own jobs run at the line's time, training is a process of its own, and the host that
judges the coils swaps as any worker does. What is told is read from the database.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from flows.assess import JudgedCoil
from flows.change_models import new_ensemble
from flows.demo import AGED, HOST_NAME, LINE, Host, coils_of, run_block
from flows.serving import following
from models.ensemble import SHIPPED
from plant.line import SimulatedBlock
from scheduler.demo_figures import Figures, figures, latest_score
from scheduler.evidence import Check
from scheduler.once import run_once
from scheduler.policy import says, sure_of
from scheduler.registry import registered_jobs
from schemas.coils import Limits
from schemas.errors import StoreError
from schemas.loop_settings import PolicySettings, PromotionSettings, RetrainSettings
from schemas.rejects import Reject
from schemas.settings import Settings
from store.connection import Connection, connect
from store.databases import refresh_statistics
from store.decisions import StoredDecision, last_decisions
from store.labels import list_labels
from store.migrations import migrate
from store.registered import EVERY_PLANT, serving
from store.registry import start_registry
from store.registry_steps import Actor
from store.schedule import PastFire
from store.swaps import answers
from store.training import Retraining, retrainings

STORY_COILS = 1600  # with so many, a successor is proved whatever the seed
LEAST_COILS = 800  # with fewer, too few are NOK to learn from and to prove a successor on
_CALM_SHARE = 0.15  # of the coils: the line as the models know it
_SHARE_TO_LEARN_FROM = 0.45  # of the coils that have to be labelled first
_RESERVED_COILS = 320  # for training, shadow, swap and what comes after it: with fewer left, nothing is begun
_ANSWER_S = 180.0  # for a swap, whose trial runs on what others leave of the processors
_LOOK_S = 0.1
_STATES = {"shadow": "judging in shadow", "promoted": "champion", "kept": "kept: its watch is over"}

Tell = Callable[[str, Sequence[str]], None]  # who or what, and what is to be told of it, a sentence each


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """What a demonstration showed."""

    figures: Figures
    in_doubt: tuple[JudgedCoil, ...]  # UNDECIDED first, then the closest to their threshold
    limits: Limits
    simulate_s: float
    assess_s: float
    missing: tuple[str, ...]  # what could not be shown, and why


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stage:
    """What every scene needs."""

    host: Host
    dsn: str
    settings: Settings
    seed: int
    tell: Tell
    threads: ThreadPoolExecutor

    @property
    def connection(self) -> Connection:
        return self.host.connection


def story_settings(settings: Settings, coils: int) -> Settings:
    """The settings as a story of so many coils needs them: bounds, tests and what they risk stay as they come.

    Operators look at every coil, so labels come regardless of verdicts; and there is less to wait for than in a plant.
    `_tell_settings` tells each of them.
    """
    return settings.model_copy(
        update={
            "data_dir": settings.data_dir / "demo",  # what successors leave is apart from what serves a plant
            "ensembles_uri": None,
            "policy": PolicySettings(
                feedback="regardless", least_labelled=int(_SHARE_TO_LEARN_FROM * coils), cooldown_h=12.0
            ),
            "retrain": RetrainSettings(niceness=5),
            "promotion": PromotionSettings(shadow_coils=48, watch_coils=100),
        }
    )


def run_story(
    coils: int,
    *,
    seed: int,
    dsn: str,
    settings: Settings,
    trains: bool,
    tell: Tell,
    on_coils: Callable[[int], None],
    on_rejects: Callable[[Sequence[Reject]], None],
    on_ready: Callable[[Settings], None] = lambda _: None,
) -> Story:
    """Let a line run, drift and be followed, into a fresh database, and count what is in it.

    Args:
        coils: how many there are; with fewer than `LEAST_COILS` the line does not drift.
        seed: of the simulation.
        dsn: an empty database.
        settings: of this installation; see `story_settings`.
        trains: whether a successor can be trained here.
        tell: given each step as it happens.
        on_coils: told how many more coils were judged.
        on_rejects: given what was refused.
        on_ready: given the story's settings before the first coil, when the database knows what serves.

    Raises:
        BundleError: the ensemble of the settings is no good.
        StoreError: the database refused, or a job of the scheduler failed.
    """
    given = story_settings(settings, coils)
    migrate(dsn)
    with (
        tempfile.TemporaryDirectory(prefix="coilflow-demo-") as folder,
        connect(dsn) as connection,
        ThreadPoolExecutor(1, thread_name_prefix="demo") as threads,
    ):
        start = Actor(who="demo", why="the first start", at=LINE.started_at)
        start_registry(connection, new_ensemble(given.ensemble or SHIPPED, given), start)
        on_ready(given)
        with following(dsn, given, kind="demo", worker=HOST_NAME) as served:
            host = Host(
                connection=connection,
                serving=served,
                settings=given,
                folder=Path(folder),
                on_coils=on_coils,
                on_rejects=on_rejects,
                now=LINE.started_at,
            )
            stage = _Stage(host=host, dsn=dsn, settings=given, seed=seed, tell=tell, threads=threads)
            missing = _play(stage, coils, trains=trains)
            found = figures(connection, host.made, drifted_at=host.drifted_at, until=host.now)
    return Story(
        figures=found,
        in_doubt=tuple(host.in_doubt),
        limits=host.serving.current().every_plant.champion.limits,
        simulate_s=host.simulate_s,
        assess_s=host.assess_s,
        missing=missing,
    )


def _play(stage: _Stage, coils: int, *, trains: bool) -> tuple[str, ...]:
    drifts = coils >= LEAST_COILS
    calm = int(_CALM_SHARE * coils) if drifts else coils
    _tell_settings(stage)
    stage.tell("line", [f"{calm} coils as the models know them"])
    for block in coils_of(stage.host, calm, seed=stage.seed, line=LINE):
        run_block(stage.host, block, seed=stage.seed)
    refresh_statistics(stage.connection)
    _score(stage)
    _tell_people(stage)
    if not drifts:
        few = f"{coils} coils are too few to learn from and to prove a successor on"
        return (f"drift, retraining and swap: {few}; `coilflow demo --coils {STORY_COILS}` has enough",)
    if trains:
        _run(stage, "retrain").result()
        _tell_decision(stage)
    stage.tell("line", [f"the gauge's source ages: it reads {1 - AGED.gauge.reads_share:.0%} too little from now on"])
    stage.host.drifted_at = stage.host.now
    blocks = coils_of(stage.host, coils - calm, seed=stage.seed + 1, line=AGED)
    return _follow(stage, blocks, coils - calm, trains=trains)


def _follow(stage: _Stage, blocks: Iterator[SimulatedBlock], coils: int, *, trains: bool) -> tuple[str, ...]:
    """Let the drifted line run: after each block the score is reckoned, and what is due is done while coils come."""
    begun = len(stage.host.made)
    for block in blocks:
        run_block(stage.host, block, seed=stage.seed)
        _score(stage)
        if not trains:
            continue
        last = next(iter(retrainings(stage.connection)), None)
        left = coils - (len(stage.host.made) - begun)
        if last is not None and last.state in ("accepted", "shadow", "promoted"):
            _promote(stage, blocks, last)
        elif (last is None or last.state not in ("kept", "rolled_back")) and left >= _RESERVED_COILS:
            _retrain(stage, blocks)
    _tell_people(stage)
    last = next(iter(retrainings(stage.connection)), None)
    return _missing(last, trains=trains)


def _retrain(stage: _Stage, blocks: Iterator[SimulatedBlock]) -> None:
    """Ask the policy; where it acts, one more block is judged while the successor is trained beside."""
    before = len(retrainings(stage.connection))
    asked = _run(stage, "retrain")
    while not asked.done() and len(retrainings(stage.connection)) == before:
        time.sleep(_LOOK_S)
    if len(retrainings(stage.connection)) == before:
        asked.result()
        _tell_decision(stage)
        return
    _tell_decision(stage)
    begun_s = time.monotonic()
    stage.tell("training", [f"new heads for {', '.join(retrainings(stage.connection)[0].members)}, beside the line"])
    beside = _run_one(stage, blocks)
    asked.result()
    last = retrainings(stage.connection)[0]
    took = f"after {time.monotonic() - begun_s:.0f} s, in which {beside} coils came"
    stage.tell("successor", [f"{last.candidate or 'none'} {took}: {last.state}", last.why])


def _promote(stage: _Stage, blocks: Iterator[SimulatedBlock], last: Retraining) -> None:
    """Let the successor take the step that it has earned, and judge on until the host has swapped."""
    _run(stage, "promotion").result()
    now = retrainings(stage.connection)[0]
    if now.state == last.state:
        return
    stage.tell(now.state, [f"{now.candidate} is {_STATES.get(now.state, now.state)}", now.why])
    if now.state in ("shadow", "promoted", "rolled_back"):
        row = serving(stage.connection)[EVERY_PLANT]
        role = "shadow" if now.state == "shadow" else "champion"
        _answered(stage, blocks, getattr(row, role), role)


def _answered(stage: _Stage, blocks: Iterator[SimulatedBlock], version: str, role: str) -> None:
    """Wait for the host's answer on a change; coils keep coming meanwhile, one block of them."""

    def outcome() -> str | None:
        found = [one for one in answers(stage.connection, version) if (one.worker, one.role) == (HOST_NAME, role)]
        return found[-1].outcome if found else None

    beside = 0 if outcome() is not None else _run_one(stage, blocks)
    until_s = time.monotonic() + _ANSWER_S
    while outcome() is None:
        if time.monotonic() > until_s:
            raise StoreError(f"nobody answered in {_ANSWER_S:.0f} s that {version} serves", remedy="run it again")
        time.sleep(_LOOK_S)
    stage.tell("swap", [f"the host answers: {version} {outcome()} as {role}; {beside} coils came meanwhile"])


def _run_one(stage: _Stage, blocks: Iterator[SimulatedBlock]) -> int:
    block = next(blocks, None)
    if block is None:
        return 0
    run_block(stage.host, block, seed=stage.seed)
    return len(block)


def _run(stage: _Stage, job: str) -> "Future[PastFire]":
    """Run a job of the scheduler now, at the line's time, under an epoch of its own."""
    at = stage.host.now

    def run() -> PastFire:
        ran = run_once(
            stage.dsn,
            job,
            settings=stage.settings,
            jobs=registered_jobs(stage.settings),
            clock=lambda: at,
            who="demo",
            why="the demonstration",
            stop=threading.Event(),
        )
        if ran.outcome != "committed":
            raise StoreError(f"the job {job} {ran.outcome}: {ran.error}", remedy="report what it says")
        return ran

    return stage.threads.submit(run)


def _score(stage: _Stage) -> None:
    _run(stage, "score").result()
    row = serving(stage.connection)[EVERY_PLANT]
    score = latest_score(stage.connection, row.champion or "")
    stage.tell("score", [f"{len(stage.host.made):4} coils  {score}"])


def _tell_decision(stage: _Stage) -> None:
    """What the policy said of the whole ensemble last; what it was sure of before is told again where it acts."""
    found = [one for one in last_decisions(stage.connection, "retrain", most=20) if ": ensemble " in one.subject]
    if not found:
        return
    one = found[0]
    checks = _checks(one)
    of_figures = {sentence for check in checks for sentence in says(check)}
    holds, sure = [why for why in one.why if why not in of_figures], list(sure_of(checks))
    told = len(found) > 1 and bool(sure_of(_checks(found[1])))
    shown = holds if told and not one.act else sure + holds
    stage.tell("policy", ["a successor is due" if one.act else "no successor is due", *(shown or one.why)])


def _checks(decision: StoredDecision) -> tuple[Check, ...]:
    """What a decision that is kept rests on."""
    return tuple(Check(**check) for check in decision.evidence["checks"])


def _tell_settings(stage: _Stage) -> None:
    """What is otherwise than in a plant, so that nobody takes the story for more than it is."""
    policy, promotion = stage.settings.policy, stage.settings.promotion
    plant, usual = PolicySettings(), PromotionSettings()
    stage.tell(
        "settings",
        [
            f"{LINE.defect_share:.0%} of the coils have a defect put in, and operators look at every coil",
            f"a successor is trained from {policy.least_labelled} labels on (otherwise {plant.least_labelled}), "
            f"again after {policy.cooldown_h:g} h of the line ({plant.cooldown_h:g}), shadows {promotion.shadow_coils} "
            f"coils ({usual.shadow_coils}), and is watched for {promotion.watch_coils} ({usual.watch_coils})",
            "every bound and every test is as it comes",
        ],
    )


def _tell_people(stage: _Stage) -> None:
    found = list_labels(stage.connection)
    disputed, settled = (sum(getattr(one, what) for one in found) for what in ("disputed", "settled"))
    stage.tell(
        "people",
        [
            f"{len(found)} coils were looked at; on {disputed} operators disagree, so that they count for nothing; "
            f"{settled} settled by the head of the shift, {stage.host.corrected} word corrected"
        ],
    )


def _missing(last: Retraining | None, *, trains: bool) -> tuple[str, ...]:
    """What the story could not show."""
    if not trains:
        return ("retraining and swap: pip install 'coilflow[retrain]'",)
    more = f"more coils have more labels, e.g. `--coils {STORY_COILS}`, or twice as many as now"
    if last is None:
        return (f"retraining and swap: the policy found no reason to act, or too few coils were left; {more}",)
    if last.state in ("promoted", "kept"):
        return ()
    if last.state == "rolled_back":
        return (f"recovery: the successor was rolled back: {last.why}",)
    if last.state in ("accepted", "shadow"):
        return (f"swap: the coils ran out while the successor {last.candidate} was on its way; {more}",)
    return (f"swap: no successor was proved better, so the first models judge on: {last.why}; {more}",)
