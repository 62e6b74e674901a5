"""What serves: what the registry says, swapped as it changes; the settings' ensemble where nothing serves yet."""

import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from flows.change_models import model_destinations, new_ensemble
from flows.kafka.database import Database, backoff_s
from flows.loading import load_registered
from flows.served import Ensembles, Served
from flows.swap_metrics import SERVING, SWAPS
from flows.trial import TrialStoppedError
from models.bundle import read_file
from models.ensemble import ENSEMBLE, SHIPPED, Ensemble, load_ensemble, parse_ensemble
from schemas.errors import BundleAwayError, BundleError, StoreError
from schemas.settings import Settings
from schemas.verdicts import Role
from store.connection import Connection
from store.registered import EVERY_PLANT, ServingRow, StoredEnsemble, champion_of, champions_before, serving
from store.registry import start_registry
from store.registry_steps import Actor, known_ensemble
from store.swaps import (
    UNREACHABLE,
    Outcome,
    SwapAnswer,
    Worker,
    answer,
    answers,
    listen,
    note_worker,
    wait_for_change,
    workers,
)

log = structlog.get_logger("coilflow.models")

_POLL_S = 3.0  # where no word of a change comes through, as behind some poolers
_SLICE_S = 0.25  # until a stop is noticed
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_TRY_AGAIN_S = 60.0  # what was refused: its files may have been restored

Place = tuple[str, Role]  # plant and role
_FIRST: Place = (EVERY_PLANT, "champion")


def serving_ensemble(settings: Settings) -> Ensemble:
    """Load the ensemble that the settings name.

    Raises:
        BundleError: it is missing, altered or not what its manifest says.
    """
    return load_ensemble(settings.ensemble, threads=settings.threads, how=settings.combine)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Refusal:
    version: str
    again_s: float  # monotonic time of the next try


class Serving:
    """The ensembles of one process: `current()` is one reference, replaced whole while batches go on.

    A thread of its own hears of changes, and tries, loads and warms the next ensemble; hosts only read.

    Args:
        dsn: of a database of this version.
        settings: the ensemble of a first start, data folder, threads, `promotion.slowest`.
        kind: of the host, for people: kafka, inbox, mqtt or local.
        worker: name of this process; None makes one.
    """

    def __init__(self, dsn: str, settings: Settings, *, kind: str, worker: str | None = None) -> None:
        self._settings = settings
        self._host, self._kind = socket.gethostname(), kind
        self._worker = worker or f"{self._host}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._announce = model_destinations(settings)
        self._database = Database(dsn, application_name=f"coilflow models {self._worker}"[:63])
        self._stop = threading.Event()
        self._loaded: dict[str, Ensemble] = {}  # by registered version
        self._served: dict[Place, str] = {}  # version
        self._refused: dict[Place, _Refusal] = {}
        self._unanswered: list[tuple[SwapAnswer, str]] = []  # with the ensemble's name
        self._current: Ensembles | None = None
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)

    def current(self) -> Ensembles:
        """What serves now; a host asks once a batch."""
        if self._current is None:
            raise RuntimeError("nothing was loaded yet")
        return self._current

    def load(self) -> None:
        """Load what the registry says; where it says nothing yet, register and promote the settings' ensemble.

        A champion that is damaged here is refused, and the champion before it serves.

        Raises:
            BundleError: nothing that the registry names can be loaded.
            StoreError: the database cannot be reached, or refused.
        """
        connection = self._database.connection()
        if EVERY_PLANT not in serving(connection):
            self._first_start(connection)
        rows = serving(connection)
        champion = rows[EVERY_PLANT].champion
        failures: dict[str, Exception] = {}
        for version in dict.fromkeys((champion, *champions_before(connection, EVERY_PLANT))):
            stored = known_ensemble(connection, version or "")
            error = self._taken(connection, _FIRST, stored, None)
            if error is None:
                break
            failures[stored.version] = error
        else:
            raise _nothing_serves(failures)
        self._follow(connection, rows)
        self._say_where_settings_differ(champion)

    def start(self) -> None:
        """Follow the registry from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Follow it no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._database.close()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                connection = self._database.connection()
                listen(connection)
                while not self._stop.is_set():
                    self._follow(connection, serving(connection))
                    self._answer(connection)
                    failures = 0
                    self._wait(connection)
            except TrialStoppedError:
                return
            except Exception as error:  # whatever it is: what serves goes on, and the registry is read again
                self._database.close()
                failures += 1
                pause_s = backoff_s(failures, jitter=random.random())  # noqa: S311 - no secret
                if isinstance(error, StoreError):
                    log.warning("the registry is away", error=str(error), remedy=error.remedy, pause_s=pause_s)
                else:
                    log.exception("what serves could not be followed and is looked at again", pause_s=pause_s)
                self._stop.wait(pause_s)

    def _wait(self, connection: Connection) -> None:
        until_s = time.monotonic() + _POLL_S
        while time.monotonic() < until_s and not self._stop.is_set():
            if wait_for_change(connection, most_s=_SLICE_S):
                return

    def _follow(self, connection: Connection, rows: Mapping[str, ServingRow]) -> None:
        """Serve what the registry says; what is refused leaves what served before."""
        wanted: dict[Place, str] = {}
        for row in rows.values():
            wanted |= {(row.plant, "champion"): row.champion} if row.champion else {}
            wanted |= {(row.plant, "shadow"): row.shadow} if row.shadow else {}
        self._end(connection, rows, wanted)
        self._refused = {place: one for place, one in self._refused.items() if wanted.get(place) == one.version}
        for place in sorted(wanted, key=lambda place: place[1]):  # champions first
            version, refused = wanted[place], self._refused.get(place)
            if self._served.get(place) == version or (refused and time.monotonic() < refused.again_s):
                continue
            stored = known_ensemble(connection, version)
            self._taken(connection, place, stored, champion_of(rows, place[0]))
        self._loaded = {version: self._loaded[version] for version in self._served.values()}

    def _end(self, connection: Connection, rows: Mapping[str, ServingRow], wanted: Mapping[Place, str]) -> None:
        """End what the registry does not name any more; an old champion goes on until the next one is loaded."""
        for place in list(self._served):
            plant, role = place
            if place == _FIRST or (place in wanted and (role == "champion" or wanted[place] == self._served[place])):
                continue
            del self._served[place]
            self._swap()
            back = champion_of(rows, plant)
            if role == "champion" and back is not None:
                self._note(place, known_ensemble(connection, back), "swapped")

    def _taken(
        self, connection: Connection, place: Place, stored: StoredEnsemble, champion: str | None
    ) -> Exception | None:
        """As `_take`; what it is refused for, whatever that is: the other places must not wait for it."""
        try:
            self._take(connection, place, stored, champion)
        except (TrialStoppedError, StoreError):  # nothing of the ensemble
            raise
        except Exception as error:
            if not isinstance(error, BundleError):
                log.exception("an ensemble could not be taken", ensemble=stored.version, plant=place[0], role=place[1])
            self._refuse(place, stored, error)
            return error
        return None

    def _take(self, connection: Connection, place: Place, stored: StoredEnsemble, champion: str | None) -> None:
        """Load an ensemble, unless it is, and let it serve.

        Args:
            connection: to the registry.
            place: where it is to serve.
            stored: the ensemble.
            champion: version of what the registry names as champion there.

        Raises:
            BundleError: it is not to serve.
        """
        now = self._current
        beaten = self._served.get((place[0], "champion"), self._served.get(_FIRST, champion))
        if stored.version not in self._loaded:
            self._loaded[stored.version] = load_registered(
                stored,
                self._settings,
                champion=known_ensemble(connection, beaten) if beaten not in (None, stored.version) else None,
                limits=now.every_plant.champion.limits if now else None,
                proven=not self._thread.is_alive() and self._proven_here(connection, stored.version),
                stop=self._stop,
                beat=lambda: self._say_alive(connection),
            )
        self._served[place] = stored.version
        known = self._refused.get(place)
        if known is not None and known.version == stored.version:  # else what the registry names is refused still
            del self._refused[place]
        self._swap()
        self._note(place, stored, "swapped")

    def _proven_here(self, connection: Connection, version: str) -> bool:
        """Whether a worker of this machine serves it already, or did: another machine proves nothing for this one."""
        here = {one.worker for one in workers(connection, since=_EVER) if one.host == self._host}
        return any(one.outcome == "swapped" and one.worker in here for one in answers(connection, version))

    def _swap(self) -> None:
        """Replace what serves, in one assignment."""
        table = {plant: self._served_to(plant) for plant, _ in self._served}
        self._current = Ensembles(every_plant=table.pop(EVERY_PLANT), plants=table)
        SERVING.clear()
        for (plant, role), version in self._served.items():
            SERVING.labels(plant, role, version).set(1)

    def _served_to(self, plant: str) -> Served:
        champion = self._served.get((plant, "champion"), self._served[_FIRST])
        shadow = self._served.get((plant, "shadow"))
        judges = shadow is not None and shadow != champion
        return Served(champion=self._loaded[champion], shadow=self._loaded[shadow] if judges and shadow else None)

    def _refuse(self, place: Place, stored: StoredEnsemble, error: Exception) -> None:
        known = self._refused.get(place)
        self._refused[place] = _Refusal(version=stored.version, again_s=time.monotonic() + _TRY_AGAIN_S)
        if known is None or known.version != stored.version:
            said = str(error) if isinstance(error, BundleError) else f"{type(error).__name__}: {error}"
            may_pass = isinstance(error, (BundleAwayError, OSError, MemoryError))  # those of the machine
            reason = f"{UNREACHABLE}{said}" if may_pass else said
            self._note(place, stored, "refused", reason)

    def _note(self, place: Place, stored: StoredEnsemble, outcome: Outcome, reason: str = "") -> None:
        plant, role = place
        SWAPS.labels(role, outcome).inc()
        if outcome == "refused":
            refused = {"plant": plant, "role": role, "ensemble": stored.version, "reason": reason}
            log.error("an ensemble is refused, what served before goes on", **refused)
        given = SwapAnswer(
            worker=self._worker,
            plant=plant,
            ensemble_version=stored.version,
            role=role,
            outcome=outcome,
            reason=reason,
            at=datetime.now(UTC),
        )
        self._unanswered.append((given, stored.name))

    def _answer(self, connection: Connection) -> None:
        """Tell the database what became of changes, what it could not be told before too; and that this one serves."""
        while self._unanswered:
            given, name = self._unanswered[0]
            answer(connection, given, name=name, announce=self._announce)
            if given.outcome == "swapped":
                log.info("an ensemble serves", ensemble=given.ensemble_version, plant=given.plant, role=given.role)
            self._unanswered.pop(0)
        self._say_alive(connection)

    def _say_alive(self, connection: Connection) -> None:
        seen = Worker(worker=self._worker, host=self._host, kind=self._kind, seen_at=datetime.now(UTC))
        note_worker(connection, seen)

    def _first_start(self, connection: Connection) -> None:
        found = serving_ensemble(self._settings)
        whole = new_ensemble(self._settings.ensemble or SHIPPED, self._settings)
        actor = Actor(who="start", why="the first start", at=datetime.now(UTC), announce=self._announce)
        if start_registry(connection, whole, actor):
            self._loaded[whole.manifest.version] = found

    def _say_where_settings_differ(self, champion: str | None) -> None:
        folder = self._settings.ensemble
        if folder is None:
            return
        try:
            named = parse_ensemble(read_file(folder / ENSEMBLE), folder).version
        except BundleError as error:
            log.warning("the settings' ensemble is no good, the registry's serves", error=str(error), serves=champion)
            return
        if named != champion:
            remedy = f"coilflow models register {folder}, then coilflow models promote {named}"
            log.warning("the registry has another ensemble than the settings", serves=champion, remedy=remedy)


def _nothing_serves(failures: Mapping[str, Exception]) -> BundleError:
    """What to tell where neither the champion, the first of them, nor one before it can be loaded here."""
    (version, first), *others = failures.items()
    before = f", nor can {', '.join(name for name, _ in others)} before it" if others else ""
    look = f"see what is wrong by `coilflow models verify {version}`, and restore its folder"
    if isinstance(first, BundleError):
        said, remedy = str(first), f"{first.remedy}; or {look}"
    else:
        said, remedy = f"{type(first).__name__}: {first}", look
    error = BundleError(f"the champion {version} cannot be loaded{before} ({said})", remedy=remedy)
    error.__cause__ = first
    return error


@contextmanager
def following(dsn: str, settings: Settings, *, kind: str, worker: str | None = None) -> Iterator[Serving]:
    """Load what serves, and follow the registry while the block lasts; arguments and errors as of `Serving`."""
    found = Serving(dsn, settings, kind=kind, worker=worker)
    try:
        found.load()
        found.start()
        yield found
    finally:
        found.stop()
