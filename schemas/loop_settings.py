"""Settings of the loop: review, model score, drift, the policy that retrains, promotion, the scheduler, alarms."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

_Share = Annotated[float, Field(ge=0, le=1)]
_OpenShare = Annotated[float, Field(gt=0, lt=1)]
_Seconds = Annotated[float, Field(gt=0)]
_Hours = Annotated[float, Field(ge=0)]
_Days = Annotated[float, Field(gt=0)]
_Count = Annotated[int, Field(ge=1)]
_Cron = Annotated[str, Field(min_length=9)]  # five fields, in the scheduler's time zone


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReviewSettings(_Group):
    """Which coils a person is asked to look at beside those in doubt."""

    share: _Share = 0.02  # of coils that nothing else asks for, drawn at random
    second_share: _Share = 0.1  # of coils with feedback, shown blind to a second operator
    draw_key: SecretStr = SecretStr("coilflow")  # the draw follows from it and the coil, so that a repeat draws alike
    orphan_days: _Days = 14.0  # feedback on a coil that nobody knows is a dead letter then


class ScoreSettings(_Group):
    """How a model's score is reckoned."""

    window_days: _Days = 30.0


class DriftSettings(_Group):
    """When coils and scores no longer look like those that the models learnt from."""

    window_coils: _Count = 500  # latest
    least_coils: _Count = 100  # fewer tell nothing
    most_psi: Annotated[float, Field(gt=0)] = 0.25  # population stability index of a quantity: above it has drifted
    most_clipped: _Share = 0.01  # of cells beyond the limits


class PolicySettings(_Group):
    """When a model is replaced: what makes it eligible, and what has to be sure."""

    more_than_coils: _Count = 10  # evaluated, the plant's rule
    least_agreement: _OpenShare = 0.75  # the plant's rule
    least_recall: _OpenShare = 0.6  # of NOK coils
    most_false_alarms: _OpenShare = 0.2  # of OK coils
    feedback: Literal["alarms", "regardless"] = "alarms"  # what people label: alarms and reviews, or without regard to
    # the verdict; decides whether a coil without a label counts as right or not at all
    alpha: _OpenShare = 0.2  # chance of a false trigger for a model exactly at the bound on agreement, over the horizon
    alpha_rates: _OpenShare = 0.1  # the same of a model at the bound on recall, and of one at that on false alarms
    horizon_coils: _Count = 600
    cooldown_h: _Hours = 24.0  # since the last attempt
    least_labelled: _Count = 50  # to learn from
    least_labelled_nok: _Count = 10
    least_new_labelled: _Count = 20  # since the last attempt: from the same labels the same would be learnt


class RetrainSettings(_Group):
    """How a successor is trained, and what it may take."""

    how: Literal["head", "full"] = "head"  # a head on cached ONNX features, or full training where torch is installed
    most_seconds: _Seconds = 3600.0  # of a run, whichever plants get successors in it
    most_memory_mb: _Count = 8192
    niceness: Annotated[int, Field(ge=0, le=19)] = 15
    most_coils: _Count = 10_000  # labelled ones to learn from and be judged on, the newest
    holdout_share: _OpenShare = 0.2  # of labelled coils, by a draw on the coil: never learnt from
    least_holdout_nok: _Count = 5  # fewer: nothing is promoted by itself


class PromotionSettings(_Group):
    """When a successor takes over."""

    approval: bool = False  # a person has to agree
    margin: _Share = 0.0  # by which its F1 has to be better
    in_shadow: Literal["better", "no_worse"] = "better"  # what labels of coils judged in shadow have to show
    alpha: _OpenShare = 0.05  # of the paired test on the holdout and in shadow
    shadow_coils: _Count = 50  # scored beside the champion before it may take over
    watch_coils: _Count = 200  # scored after it, while a regression brings the old one back
    slowest: Annotated[float, Field(gt=0)] = 3.0  # times the champion's processor time a coil


class ScheduleSettings(_Group):
    """When jobs run (crontab, in the time zone) and how long things are kept."""

    time_zone: str = "UTC"
    score: _Cron = "*/10 * * * *"
    drift: _Cron = "5 * * * *"
    retrain: _Cron = "0 1 * * 0"  # weekly
    promotion: _Cron = "* * * * *"  # every minute
    review_draw: _Cron = "30 * * * *"
    housekeeping: _Cron = "15 2 * * *"
    alarm_watch: _Cron = "*/15 * * * *"
    embed: _Cron = "* * * * *"  # every minute
    kinds: _Cron = "45 2 * * *"
    misfire_grace_s: _Seconds = 3600.0  # a fire missed for longer is recorded as missed and not made up for
    outbox_days: _Days = 7.0  # published rows
    runs_days: _Days = 400.0
    scores_days: _Days = 400.0  # replaced scores, and replaced checks that found no drift
    files_days: Annotated[float, Field(ge=1)] = 90.0  # files of the data folder that nothing needs any more
    take_over_s: _Seconds = 10.0  # a leader silent for so long is put out


class AlarmSettings(_Group):
    """Whom to tell."""

    smtp_host: str | None = None  # None: no mail
    smtp_port: Annotated[int, Field(ge=1, le=65535)] = 25
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: Literal["none", "starttls", "tls"] = "none"
    mail_from: str = "coilflow@localhost"
    mail_to: tuple[str, ...] = ()
    webhook: str | None = None  # name of one of `webhooks`
    repeat_h: _Hours = 24.0  # the same alarm again no sooner
    most_an_hour: _Count = 20  # of all kinds; the rest is told in one
    no_feedback_days: _Days = 3.0  # coils came, and nobody said anything of any
