"""A month of plant life in a minute: what slips is found, what people get wrong for some days does no lasting harm."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from scheduler.promotion import promote_successors
from scheduler.retraining import retrain
from schemas.coils import CoilKey
from schemas.loop_settings import PromotionSettings, RetrainSettings
from schemas.settings import Settings
from store.connection import Connection
from store.feedback import Feedback, record_feedback
from store.labels import list_labels
from store.registered import EVERY_PLANT, model_changes, serving
from store.training import retrainings
from tests.retraining.given import NOON, coils, judge, label, leading, run, serve_champion, settings

DAY = timedelta(days=1)
DAYS, COILS_A_DAY = 30, 60
LATE_DAYS = 2  # labels come so long after the coil
DRIFTED_ON = 5  # from then on the other face matters
MISLED = range(18, 22)  # coils of which people say the wrong thing, until they are told on
SET_RIGHT_ON = 26
RETRAINS_EACH_DAYS = 2
NEWEST = 180  # labelled coils to learn from: those of five days, since the line changes
CONTRADICTED = 12  # of so many labelled coils one


@dataclass
class Month:
    """The plant, day by day."""

    dsn: str
    connection: Connection
    given: Settings
    epoch: int
    asked: dict[int, list[str]] = field(default_factory=dict)

    def live(self, day: int) -> None:
        """Coils come, labels of the day before yesterday come, and the scheduler's jobs run at the day's end."""
        at = NOON + day * DAY
        row = serving(self.connection)[EVERY_PLANT]
        assert row.champion is not None
        batch = coils(COILS_A_DAY, first=day * COILS_A_DAY)
        self.asked[day] = judge(self.connection, self.given, batch, at=at, by=row.champion, shadow=row.shadow)
        if day >= LATE_DAYS:
            self.say(day - LATE_DAYS, at=at + DAY / 4, misled=day - LATE_DAYS in MISLED)
        if day == SET_RIGHT_ON:
            for before in MISLED:
                self.say(before, at=at + DAY / 3, misled=False)
        if day % RETRAINS_EACH_DAYS == 0:
            run(self.dsn, self.given, retrain, "retrain", epoch=self.epoch, now=at + DAY / 2)
        run(self.dsn, self.given, promote_successors, "promotion", epoch=self.epoch, now=at + 3 * DAY / 4)

    def say(self, day: int, *, at: datetime, misled: bool) -> None:
        """One operator labels the coils that were asked for; of some another one says the contrary."""
        batch = coils(COILS_A_DAY, first=day * COILS_A_DAY)
        face = "bottom" if day >= DRIFTED_ON and not misled else "top"
        label(self.connection, batch, self.asked[day], face=face, at=at)
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
        record_feedback(self.connection, words, received_at=at)


def test_a_month_with_drift_late_labels_contradictions_and_bad_labels_ends_well(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    given = settings(
        tmp_path,
        retrain=RetrainSettings(niceness=0, most_coils=NEWEST),
        promotion=PromotionSettings(shadow_coils=40, watch_coils=120),
    )
    serve_champion(connection, tmp_path, given)
    with leading(database) as epoch:
        month = Month(database, connection, given, epoch)
        for day in range(DAYS):
            month.live(day)
    first, second, third = reversed(retrainings(connection))
    assert NOON + (DRIFTED_ON + LATE_DAYS) * DAY < first.started_at < NOON + 16 * DAY
    assert first.state == "promoted", "it proved better, and serves"
    assert "not_better" in second.why, "what learnt from wrong labels and right ones is no better on either"
    assert "worse_in_shadow" in third.why, "what passed a holdout of wrong labels fails as soon as they are set right"
    assert (second.state, third.state) == ("rejected", "rejected")
    assert serving(connection)[EVERY_PLANT].champion == first.candidate
    happened = [(one.change, one.ensemble_version) for one in model_changes(connection) if one.change != "registered"]
    assert happened == [
        ("promoted", "champion"),
        ("shadowed", first.candidate),
        ("promoted", first.candidate),
        ("retired", "champion"),
        ("rejected", second.candidate),
        ("shadowed", third.candidate),
        ("rejected", third.candidate),
    ]
    rejected = model_changes(connection, version=third.candidate)[-1].at
    assert rejected >= NOON + SET_RIGHT_ON * DAY
    disputed = sum(one.disputed for one in list_labels(connection))
    assert disputed > DAYS, "contradictions stay disputed, and count for nothing"
    told = connection.execute("select distinct kind, cleared_at is null as open from coilflow.alarms").fetchall()
    assert [(one["kind"], one["open"]) for one in told] == [("successor_waits", False)]
