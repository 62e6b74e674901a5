"""The gauge as a map of two faces with nine sensors each: what is found of each sensor, in words."""

from dataclasses import dataclass

from processors.gauge_health import GaugeHealth
from schemas.layout import FACES, SENSORS_PER_FACE

_STUCK_SHARE = 0.03  # of coils: a gauge in good order sticks in less than one of a hundred
_CALIBRATING_SHARE = 0.05  # of rows
_DEAD_SHARE = 0.5  # of rows: no gauge calibrates itself for half of the time


@dataclass(frozen=True, kw_only=True, slots=True)
class Sensor:
    """One sensor of a face over the coils that were looked at."""

    number: int  # from 1
    stuck_coils: int
    stuck_share: float  # of coils
    off_share: float | None  # relative to the coating; None: nothing is known
    calibrating_share: float  # of rows
    faults: tuple[str, ...]  # in words, the worst first

    @property
    def grade(self) -> str:
        """bad: what it reads is wrong; doubt: look at it; fine."""
        return "fine" if not self.faults else "doubt" if self.faults == ("calibrates",) else "bad"


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceSensors:
    """One face."""

    face: str
    missing_share: float  # of rows that were expected
    sensors: tuple[Sensor, ...]


def sensors(health: GaugeHealth) -> tuple[FaceSensors, ...]:
    """What was found, face by face."""
    return tuple(
        FaceSensors(
            face=face,
            missing_share=float(health.missing_share[place]),
            sensors=tuple(_sensor(health, place, sensor) for sensor in range(SENSORS_PER_FACE)),
        )
        for place, face in enumerate(FACES)
    )


def _sensor(health: GaugeHealth, face: int, sensor: int) -> Sensor:
    stuck, coils = int(health.stuck_coils[face, sensor]), max(health.coils, 1)
    off, calibrating = float(health.off_share[face, sensor]), float(health.calibrating_share[face, sensor])
    known = off == off  # noqa: PLR0124 - NaN alone differs from itself
    faults = []
    if stuck > 1 and stuck / coils > _STUCK_SHARE:
        faults.append("stuck")
    if health.noisy[face, sensor]:
        faults.append("noisy")
    if health.off[face, sensor]:
        faults.append("reads high" if off > 0 else "reads low")
    if calibrating > _CALIBRATING_SHARE:
        faults.append("calibrates" if calibrating <= _DEAD_SHARE else "dead")
    return Sensor(
        number=sensor + 1,
        stuck_coils=stuck,
        stuck_share=stuck / coils,
        off_share=off if known else None,
        calibrating_share=calibrating,
        faults=tuple(faults),
    )
