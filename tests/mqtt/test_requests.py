"""What a message on `assesscoil` asks for."""

import orjson

from flows.mqtt.requests import AssessRequest, read_assess
from processors.decode import decode_message, decoder
from processors.event_rows import FieldNames

ENDED = {"specversion": "1.0", "type": "coil.ended", "id": "1", "source": "/mes"}


def test_an_end_in_the_plants_own_names_is_read() -> None:
    names = FieldNames(fields={"coil.ended": {"WERK": "plant", "BUND": "coil_id"}}, faces={})
    payload = orjson.dumps(ENDED | {"data": {"WERK": "linz", "BUND": "7"}})
    assert read_assess(payload, decoder(names)) == AssessRequest(plant="linz", coil_id="7", is_event=True)


def test_an_end_that_names_no_coil_is_refused_with_a_remedy() -> None:
    fault = read_assess(orjson.dumps(ENDED | {"data": {"plant": "linz"}}), decode_message)
    assert isinstance(fault, tuple)
    assert all(fault)
