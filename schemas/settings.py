"""All settings of a coilflow service in one typed object, read once at the start."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from schemas.combine import Combine, PlainCombine
from schemas.console_settings import ConsoleSettings
from schemas.errors import UsageError
from schemas.loop_settings import (
    AlarmSettings,
    DriftSettings,
    PolicySettings,
    PromotionSettings,
    RetrainSettings,
    ReviewSettings,
    ScheduleSettings,
    ScoreSettings,
)
from schemas.stream_settings import KafkaSettings, MqttSettings, StreamSettings, TracingSettings, Webhook

Share = Annotated[float, Field(ge=0, le=1)]
Destination = Annotated[str, Field(pattern=r"^(kafka|mqtt|mqtt-event|webhook):.+$")]  # see docs/announcements.md
SETTINGS_FILE = "coilflow.toml"


class ToleranceProfile(BaseModel):
    """How strictly a customer's coils are judged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: Share | None = None  # NOK at or above this p_nok; None: the ensemble's own
    doubt_margin: Share = 0.05  # UNDECIDED where |p_nok - threshold| is below this
    min_observed: Share = 0.5  # UNDECIDED where less was measured
    max_out_of_band: Share = 0.95  # UNDECIDED, where the models say OK, if more of the coil lies outside its band
    max_clipped: Share = 0.01  # the same, if more of it lies outside the limits that the models know


class Settings(BaseSettings):
    """Settings of every coilflow service; environment `COILFLOW_*` wins over `coilflow.toml` in the data folder."""

    model_config = SettingsConfigDict(env_prefix="COILFLOW_", env_nested_delimiter="__", frozen=True, extra="forbid")

    data_dir: Path = Path.home() / ".local" / "share" / "coilflow"  # embedded database, bundles, settings
    plant: str = "default"  # plant of coils whose source names none
    database_dsn: str | None = None  # PostgreSQL to write to; None: the embedded one
    ensemble: Path | None = None  # folder of an ensemble; None: the shipped one
    ensembles_uri: str | None = None  # where all machines find ensembles, "s3://bucket/folder"; None: each its own
    mapping: Path | None = None  # file of the plant's own names, see docs/mapping.md; None: ours
    combine: PlainCombine | None = None  # how members decide; None: as the ensemble says
    threads: Annotated[int, Field(ge=1, le=64)] = 2  # ONNX Runtime threads of one model
    batch_coils: Annotated[int, Field(ge=1, le=4096)] = 64  # coils scored at once
    mode: Literal["observe", "announce"] = "announce"
    destinations: tuple[Destination, ...] = ()  # where verdicts are announced, e.g. "kafka:coil.verdicts"
    kafka: KafkaSettings = KafkaSettings()
    mqtt: MqttSettings = MqttSettings()
    stream: StreamSettings = StreamSettings()
    review: ReviewSettings = ReviewSettings()
    score: ScoreSettings = ScoreSettings()
    drift: DriftSettings = DriftSettings()
    policy: PolicySettings = PolicySettings()
    retrain: RetrainSettings = RetrainSettings()
    promotion: PromotionSettings = PromotionSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    alarms: AlarmSettings = AlarmSettings()
    console: ConsoleSettings = ConsoleSettings()
    webhooks: dict[str, Webhook] = {}  # by the name that a destination "webhook:NAME" gives
    plant_dsn: SecretStr | None = None  # PostgreSQL with the plant's own tables, for `assesscoil` and `opfeedback`
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None  # Prometheus endpoint of a service; None: none
    tracing: TracingSettings = TracingSettings()
    tolerance_profiles: dict[str, ToleranceProfile] = {"default": ToleranceProfile()}
    customer_profiles: dict[str, str] = {}  # customer -> tolerance profile

    @field_validator("data_dir", "ensemble", "mapping")
    @classmethod
    def _from_home(cls, path: Path | None) -> Path | None:
        return path and path.expanduser()

    @field_validator("combine", mode="before")
    @classmethod
    def _nothing_fitted(cls, combine: object) -> object:
        if combine in get_args(Combine) and combine not in get_args(PlainCombine):
            plain = ", ".join(get_args(PlainCombine))
            raise ValueError(
                f"{combine} needs weights that were fitted to the members, so only an ensemble itself can name it; "
                f"{plain} need none"
            )
        return combine

    @field_validator("tolerance_profiles")
    @classmethod
    def _with_default(cls, profiles: dict[str, ToleranceProfile]) -> dict[str, ToleranceProfile]:
        return {"default": ToleranceProfile(), **profiles}

    @model_validator(mode="after")
    def _names_exist(self) -> "Settings":
        unknown = sorted(set(self.customer_profiles.values()) - set(self.tolerance_profiles))
        if unknown:
            raise ValueError(f"customer_profiles names {', '.join(unknown)}, which tolerance_profiles does not define")
        missing = sorted(
            {name.removeprefix("webhook:") for name in self.destinations if name.startswith("webhook:")}
            - set(self.webhooks)
        )
        if missing:
            raise ValueError(f"destinations names the webhook {', '.join(missing)}, which webhooks does not define")
        if self.alarms.webhook is not None and self.alarms.webhook not in self.webhooks:
            raise ValueError(f"alarms.webhook names {self.alarms.webhook}, which webhooks does not define")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of precedence: arguments, environment, then the file in the data folder."""
        folder = (
            init_settings().get("data_dir") or env_settings().get("data_dir") or cls.model_fields["data_dir"].default
        )
        file = TomlConfigSettingsSource(settings_cls, toml_file=Path(folder).expanduser() / SETTINGS_FILE)
        return init_settings, env_settings, file


def load_settings(
    given: Mapping[str, object] = MappingProxyType({}), *, given_as: Mapping[str, str] = MappingProxyType({})
) -> Settings:
    """Read settings from the environment and the file.

    Args:
        given: settings that win over both.
        given_as: what those who gave them call them, by setting.

    Raises:
        UsageError: one is wrong; it says which, and where it is corrected.
    """
    try:
        return Settings(**given)  # type: ignore[arg-type]  # validated there
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{SETTINGS_FILE} is no TOML ({error})", remedy="correct that line") from error
    except SettingsError as error:
        raise UsageError(str(error), remedy="write it as JSON, or set it in " + SETTINGS_FILE) from error
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        what = str(first["msg"]).removeprefix("Value error, ")
        if name in given and name in given_as:
            got = _got(first["type"], first["input"])
            raise UsageError(f"{given_as[name]}: {what}{got}", remedy="correct it there") from error
        if not name:
            raise UsageError(f"settings: {what}", remedy=f"correct the environment or {SETTINGS_FILE}") from error
        raise UsageError(
            f"setting {name}: {what}{_got(first['type'], first['input'])}",
            remedy=f"correct COILFLOW_{name.upper().replace('.', '__')} or the line in {SETTINGS_FILE}",
        ) from error


def _got(fault: str, value: object) -> str:
    """The value as it was given, where a number or one of a few words was asked for: no secret is asked for so.

    Others may hold one: a group with its passwords, a DSN, an address, a password under a misspelt name.
    """
    asked = fault.startswith(("int_", "float_", "bool_", "greater_than", "less_than")) or fault == "literal_error"
    return f" (got {value!r})" if asked and isinstance(value, str | int | float) else ""
