"""Events are read as the contracts say, keep what they do not know and refuse what cannot be."""

import copy
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.channels import CONTRACTS, EVENT_TYPES, MQTT_PAYLOADS
from schemas.coils import CoilKey, Order
from schemas.contracts import EXAMPLES, example_of
from schemas.events import EVENT, CoilChunk, CoilStarted, CoilVerdict, verdict_data
from schemas.mqtt import AssessCoil, OpFeedback
from schemas.verdicts import Label, Verdict

CHUNK = {"plant": "linz", "coil_id": "1", "face": "top", "position": 29.0, "mean_g_m2": [110.0] * 9}
masses = st.floats(0, 1000)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    """Path -> value of everything in a JSON document, moments without their way of writing."""
    if isinstance(value, dict):
        return {k: v for name, part in value.items() for k, v in leaves(part, (*path, name)).items()}
    if isinstance(value, list):
        return {k: v for i, part in enumerate(value) for k, v in leaves(part, (*path, i)).items()}
    if isinstance(value, str) and path[-1].__class__ is str and (path[-1] == "time" or path[-1].endswith("_at")):
        return {path: datetime.fromisoformat(value)}
    return {path: value}


def chunk(**changed: object) -> dict[str, object]:
    return {**CHUNK, **changed}


def test_every_contract_has_an_example_and_every_example_a_contract() -> None:
    assert {path.stem for path in EXAMPLES.iterdir()} == set(CONTRACTS)


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_an_example_event_keeps_every_field_on_the_way_through(name: str) -> None:
    example = example_of(name)
    event = EVENT.validate_json(orjson.dumps(example))
    assert type(event) is EVENT_TYPES[name]
    assert leaves(orjson.loads(event.model_dump_json(exclude_none=True))) == leaves(example)
    assert EVENT.validate_json(event.model_dump_json()) == event


@pytest.mark.parametrize("name", MQTT_PAYLOADS)
def test_an_example_payload_keeps_every_field_on_the_way_through(name: str) -> None:
    payload = MQTT_PAYLOADS[name].model_validate_json(orjson.dumps(example_of(name)))
    assert payload.model_dump(exclude_none=True) == example_of(name)


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_unknown_fields_and_extension_attributes_are_kept(name: str) -> None:
    example = copy.deepcopy(example_of(name))
    example["partitionkey"] = "linz/1"
    example["data"]["line_speed_m_min"] = 95.5
    dumped = EVENT.validate_python(example).model_dump(mode="json")
    assert (dumped["partitionkey"], dumped["data"]["line_speed_m_min"]) == ("linz/1", 95.5)


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_events_are_frozen(name: str) -> None:
    event = EVENT.validate_python(example_of(name))
    for frozen, field in ((event, "id"), (event.data, "plant")):
        with pytest.raises(ValidationError):
            setattr(frozen, field, "other")


@pytest.mark.parametrize(
    "attributes",
    [{"specversion": "0.3"}, {"id": ""}, {"source": ""}, {"type": "coil.unknown"}, {"datacontenttype": "text/xml"}],
)
def test_an_envelope_that_is_not_ours_is_refused(attributes: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        EVENT.validate_python({**example_of("coil.ended"), **attributes})


def test_a_coil_started_is_an_order() -> None:
    started = CoilStarted.model_validate(example_of("coil.started")["data"])
    assert isinstance(started, Order)
    with pytest.raises(ValidationError, match="is not below zn_max"):
        CoilStarted.model_validate({**started.model_dump(), "zn_min_g_m2": 120.0})


@pytest.mark.parametrize("column", ["mean_g_m2", "min_g_m2", "max_g_m2", "std_g_m2"])
@pytest.mark.parametrize("reading", [math.nan, math.inf, -math.inf, -0.001])
def test_a_mass_is_finite_and_not_negative(column: str, reading: float) -> None:
    with pytest.raises(ValidationError):
        CoilChunk.model_validate(chunk(**{column: [110.0] * 8 + [reading]}))


@pytest.mark.parametrize("sensors", [0, 8, 10])
def test_a_row_has_nine_readings(sensors: int) -> None:
    with pytest.raises(ValidationError):
        CoilChunk.model_validate(chunk(mean_g_m2=[110.0] * sensors))


@pytest.mark.parametrize(
    "changed",
    [
        {"face": "left"},
        {"position": math.nan},
        {"coil_id": ""},
        {"coil_id": "a\x00b"},
        {"coil_id": "x" * 201},
        {"plant": ""},
        {"count": 0},
    ],
)
def test_a_chunk_that_cannot_be_placed_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CoilChunk.model_validate(chunk(**changed))


@given(mean=st.lists(masses, min_size=9, max_size=9), position=st.floats(allow_nan=False, allow_infinity=False))
def test_any_row_of_nine_masses_is_read_exactly(mean: list[float], position: float) -> None:
    read = CoilChunk.model_validate_json(orjson.dumps(chunk(mean_g_m2=mean, position=position)))
    assert (list(read.mean_g_m2), read.position) == (mean, position)


def test_moments_without_a_time_zone_are_refused() -> None:
    with pytest.raises(ValidationError):
        EVENT.validate_python({**example_of("coil.ended"), "time": "2026-11-20T12:00:00"})


def test_a_verdict_becomes_its_event_with_the_code_of_the_standard() -> None:
    verdict = Verdict(
        key=CoilKey(plant="linz", coil_id="1"),
        revision="r1",
        label=Label.UNDECIDED,
        p_nok=math.nan,
        threshold=0.5,
        ensemble_version="1",
        members=(),
        observed=0.25,
        reasons=("deadline: no end",),
    )
    data = verdict_data(verdict, decided_at=datetime(2026, 11, 20, tzinfo=timezone(timedelta(hours=1))))
    assert (data.p_nok, data.result_evaluation, data.reasons) == (None, 3, ("deadline: no end",))
    assert data.decided_at == datetime(2026, 11, 19, 23, tzinfo=UTC)
    assert CoilVerdict.model_validate_json(data.model_dump_json(exclude_none=True)) == data


def test_the_plant_may_send_an_id_as_a_number_and_a_label_under_its_names() -> None:
    assert AssessCoil.model_validate_json(b'{"SID": 226031456}').SID == "226031456"
    assert OpFeedback.model_validate_json(b'{"COILID": "1", "Label": 2, "Descrip": "thin"}').LABEL == 2
    assert OpFeedback.model_validate_json(b'{"COILID": "1"}').LABEL is None
    with pytest.raises(ValidationError):
        OpFeedback.model_validate_json(b'{"COILID": "1", "LABEL": 3}')
