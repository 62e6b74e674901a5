"""A month of plant life in a minute: what slips is found, and what people get wrong for some days does no lasting harm.

The plant's people follow the story, not a calendar: they are misled once all is well again, and notice it once what
they taught serves. So what is asserted is what the story demands, whatever the day on which it comes to pass.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from scheduler.promotion import promote_successors
from scheduler.retraining import retrain
from schemas.coils import CoilKey
from schemas.loop_settings import PolicySettings, PromotionSettings, RetrainSettings
from schemas.settings import Settings
from store.alarms import open_alarms
from store.connection import Connection
from store.databases import refresh_statistics
from store.decisions import StoredDecision, last_decisions
from store.feedback import Feedback, record_feedback
from store.labels import list_labels
from store.registered import EVERY_PLANT, ModelChange, model_changes, serving
from store.training import Retraining, retrainings
from tests.registry.given import states
from tests.retraining.given import NOON, coils, judge, label, leading, run, serve_champion, settings
from tests.scheduler.given import rows

DAY = timedelta(days=1)
MOST_DAYS, COILS_A_DAY = 45, 60
LATE_DAYS = 2  # labels come so long after the coil
DRIFTED_ON = 5  # from then on the other face matters
QUIET_DAYS = 5  # to see that nothing more happens
NEWEST = 140  # labelled coils to learn from: those of some days, since the line changes
CONTRADICTED = 12  # of so many labelled coils one


@dataclass
class Month:
    """The plant, day by day."""

    dsn: str
    connection: Connection
    given: Settings
    epoch: int
    asked: dict[int, list[str]] = field(default_factory=dict)
    misled_of: list[int] = field(default_factory=list)  # days of whose coils the wrong thing was said
    quiet: int = 0  # days since the last rollback

    def live(self, day: int) -> None:
        """Coils come, labels of the day before yesterday come, and the scheduler's jobs run at the day's end."""
        at = NOON + day * DAY
        row = serving(self.connection)[EVERY_PLANT]
        assert row.champion is not None
        batch = coils(COILS_A_DAY, first=day * COILS_A_DAY)
        self.asked[day] = judge(self.connection, self.given, batch, at=at, by=row.champion, shadow=row.shadow)
        served = [one.ensemble_version for one in turns(self.connection)]
        noticed = len(served) > 2
        if day >= LATE_DAYS:
            misled = not noticed and "kept" in {one.state for one in retrainings(self.connection)}
            self.say(day - LATE_DAYS, at=at + DAY / 4, misled=misled)
        if noticed:
            for before in self.misled_of:
                self.say(before, at=at + DAY / 3, misled=False, contradicted=False)
            self.misled_of = []
        refresh_statistics(self.connection)  # autovacuum looks each minute, and a day is over sooner here
        run(self.dsn, self.given, retrain, "retrain", epoch=self.epoch, now=at + DAY / 2)
        run(self.dsn, self.given, promote_successors, "promotion", epoch=self.epoch, now=at + 3 * DAY / 4)
        self.quiet += "rolled_back" in {one.change for one in turns(self.connection)}

    def say(self, day: int, *, at: datetime, misled: bool, contradicted: bool = True) -> None:
        """One operator labels the coils that were asked for; of some another one says the contrary."""
        batch = coils(COILS_A_DAY, first=day * COILS_A_DAY)
        face = "bottom" if day >= DRIFTED_ON and not misled else "top"
        label(self.connection, batch, self.asked[day], face=face, at=at)
        if misled:
            self.misled_of.append(day)
        nok = {str(batch.first + place): bool(one) for place, one in enumerate(batch.nok(face))}
        words = [
            Feedback(
                key=CoilKey(plant="linz", coil_id=coil),
                source="laboratory",
                event_id=f"{coil} {at.isoformat()}",
                label="OK" if nok[coil] else "NOK",
                given_at=at,
                operator="jo",
            )
            for coil in self.asked[day][::CONTRADICTED]
        ]
        if contradicted:
            record_feedback(self.connection, words, received_at=at)


def turns(connection: Connection) -> list[ModelChange]:
    """What came to serve, and what was taken back, in order."""
    return [one for one in model_changes(connection) if one.change in ("promoted", "rolled_back")]


def decisions_on(connection: Connection, version: str | None) -> list[StoredDecision]:
    """What the job `promotion` decided on a successor, the first one first."""
    found = last_decisions(connection, "promotion", most=1000)
    return [one for one in reversed(found) if one.subject == f"every plant: successor {version}"]


def test_a_month_with_drift_late_labels_contradictions_and_a_bad_successor_ends_well(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    given = settings(
        tmp_path,
        policy=PolicySettings(cooldown_h=5 * 24),
        retrain=RetrainSettings(niceness=0, most_coils=NEWEST),
        promotion=PromotionSettings(shadow_coils=40, watch_coils=120),
    )
    serve_champion(connection, tmp_path, given)
    with leading(database) as epoch:
        month = Month(database, connection, given, epoch)
        for day in range(MOST_DAYS):
            month.live(day)
            if month.quiet > QUIET_DAYS:
                break

    first, found, learnt_wrongly, gone, back = turns(connection)
    good, bad = found.ensemble_version, learnt_wrongly.ensemble_version
    assert [one.change for one in (first, found, learnt_wrongly, gone, back)] == [
        "promoted",
        "promoted",
        "promoted",
        "rolled_back",
        "promoted",
    ]
    assert (first.ensemble_version, gone.ensemble_version, back.ensemble_version) == ("champion", bad, good)
    assert {one.who for one in (found, learnt_wrongly, gone, back)} == {"promotion"}, "nobody had to lift a hand"
    assert serving(connection)[EVERY_PLANT].champion == good
    assert bad is not None
    assert states(connection, "champion", bad) == {"champion": "retired", bad: "rejected"}

    # The line changed, people said so late, and a successor was found better, shadowed, promoted, watched and kept.
    kept, rolled_back = (_of(connection, version) for version in (good, bad))
    assert kept.started_at > NOON + (DRIFTED_ON + LATE_DAYS) * DAY, "nothing is known before anybody says it"
    assert kept.state == "kept"
    assert [_codes(one)[0] for one in decisions_on(connection, good) if one.act] == ["better", "better", "no_worse"]

    # People were misled, and taught a successor that passed a holdout and a shadow of wrong words. It served until
    # they noticed and took their words back, no longer than the watch takes to hear of its first coils.
    assert rolled_back.state == "rolled_back"
    told = decisions_on(connection, bad)
    assert [_codes(one)[0] for one in told if one.act] == ["better", "better", "worse_than_before"]
    assert told[-1].why[-1] == f"back_to: {good}, which served before"
    assert gone.why == "; ".join(told[-1].why)
    assert LATE_DAYS * DAY <= gone.at - learnt_wrongly.at <= (LATE_DAYS + 4) * DAY

    # Persons are told, and contradictions taught nobody.
    [alarm] = [one for one in open_alarms(connection) if one.kind == "rolled_back"]
    assert f"{bad} was rolled back" in alarm.text
    assert f"back_to: {good}" in alarm.text
    disputed = {one.key.coil_id for one in list_labels(connection) if one.disputed}
    assert len(disputed) > DRIFTED_ON, "contradictions stay disputed"
    learnt_from = {row["coil_id"] for row in rows(connection, "select coil_id from coilflow.snapshot_coils")}
    assert learnt_from
    assert not disputed & learnt_from


def _of(connection: Connection, version: str | None) -> Retraining:
    [found] = [one for one in retrainings(connection) if one.candidate == version]
    return found


def _codes(decision: StoredDecision) -> list[str]:
    return [why.partition(":")[0] for why in decision.why]
