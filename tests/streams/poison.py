"""Messages that no line should send: what each is, and whether it stands alone or spoils the coil that it names."""

import json
from dataclasses import dataclass

import orjson
import pyarrow as pa

from schemas.rejects import Headers
from tests.streams.lines import PLANT, chunk

ARROW = b"application/vnd.apache.arrow.stream"
MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Poison:
    """One message; with `coil_id` it comes in the middle of that coil, and the coil is refused."""

    name: str
    value: bytes | None
    headers: Headers
    coil_id: str | None = None


def _headers(
    kind: str = "coil.chunk", *, content: bytes = b"application/json", **more: bytes
) -> list[tuple[str, bytes]]:
    return [
        ("ce_specversion", more.get("specversion", b"1.0")),
        ("ce_id", b"poison"),
        ("ce_source", b"/poison"),
        ("ce_type", kind.encode()),
        *([("ce_dataschema", more["dataschema"])] if "dataschema" in more else []),
        ("content-type", content),
    ]


def _alone(name: str, value: bytes | None, headers: Headers | None = None) -> Poison:
    return Poison(name=name, value=value, headers=_headers() if headers is None else headers)


def _in_coil(name: str, headers: Headers | None = None, **data: object) -> Poison:
    coil_id = "spoilt by " + name
    sent = {"plant": PLANT, "coil_id": coil_id, "face": "top", "position": 14.0, "mean_g_m2": [110.0] * 9, **data}
    return Poison(name=name, value=_text(sent), headers=_headers() if headers is None else headers, coil_id=coil_id)


def _text(data: object) -> bytes:
    """JSON as Python writes it: with NaN and numbers past all bounds, where orjson has neither."""
    return json.dumps(data).encode()


def _arrow(**columns: pa.Array) -> bytes:
    batch = pa.record_batch(list(columns.values()), names=list(columns))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    written: bytes = sink.getvalue().to_pybytes()
    return written


GOOD = orjson.dumps(orjson.loads(chunk("x", "top", 0))["data"])
WRONG_ARROW = _arrow(
    plant=pa.array([PLANT]), coil_id=pa.array([7]), face=pa.array([1.5]), position=pa.array(["a"]),
    mean_g_m2=pa.array([True]),
)  # fmt: skip

POISON = (
    _alone("truncated JSON", GOOD[: len(GOOD) // 2]),
    _alone("no JSON", b"hello"),
    _alone("another schema", b'{"SID": "7", "VALUES": [1, 2]}'),
    _alone("a list", b"[" + GOOD + b"]"),
    _alone("a number past all numbers", GOOD.replace(b'"position":0.0', b'"position":1' + b"0" * 400)),
    _alone("invalid UTF-8", GOOD.replace(b'"x"', b'"\xff\xfe"')),
    _alone("an unknown type", GOOD, _headers("coil.chonk")),
    _alone("no envelope", GOOD, []),
    _in_coil("half an envelope", [("ce_type", b"coil.chunk")]),
    _alone("a tombstone", None),
    _alone("a tombstone without headers", None, []),
    _alone("an empty value", b""),
    _alone("no coil id", GOOD.replace(b'"coil_id"', b'"coil"')),
    _alone("a coil id that is a number", GOOD.replace(b'"x"', b"226031456")),
    _alone("an empty coil id", GOOD.replace(b'"x"', b'""')),
    _alone("a coil id with NUL", GOOD.replace(b'"x"', b'"a\\u0000b"')),
    _alone("a coil id with a control sign", GOOD.replace(b'"x"', b'"a\\u001bb"')),
    _alone("a coil id with a lone surrogate", GOOD.replace(b'"x"', b'"\\ud800"')),
    _alone("deeply nested JSON", b'{"plant":' * 20_000 + b"1" + b"}" * 20_000),
    _alone("Arrow garbage", b"\xff\xff\xff\xff" + b"\x00\x10\x00\x00garbage" * 20, _headers(content=ARROW)),
    _alone("Arrow of wrong types", WRONG_ARROW, _headers(content=ARROW)),
    _alone("a content type of its own", GOOD, _headers(content=b"text/csv")),
    _in_coil("headers without values", [("ce_type", b""), ("ce_specversion", b""), ("x", b"")]),
    _in_coil("headers that are no text", [("ce_type", b"\xff\x00"), ("ce_specversion", b"\xfe"), ("\u0000", b"a")]),
    _alone("50 MB", b'{"plant":"' + b"x" * (50 * MIB) + b'"}'),
    _in_coil("a newer major version", _headers(dataschema=b"urn:coilflow:coil.chunk:2.0.0")),
    _in_coil("another version of CloudEvents", _headers(specversion=b"0.3")),
    _in_coil("eight readings", mean_g_m2=[110.0] * 8),
    _in_coil("nine by nine readings", mean_g_m2=[[110.0] * 9] * 9),
    _in_coil("readings that are text", mean_g_m2=["110.0"] * 9),
    _in_coil("readings that are null", mean_g_m2=[None] * 9),
    _in_coil("no readings", mean_g_m2=None),
    _in_coil("a NaN", mean_g_m2=[float("nan")] * 9),
    _in_coil("an infinity", mean_g_m2=[float("inf")] * 9),
    _in_coil("a negative reading", mean_g_m2=[-1.0] * 9),
    _in_coil("1e300", mean_g_m2=[1e300] * 9),
    _in_coil("a position that is text", position="14"),
    _in_coil("a position that is null", position=None),
    _in_coil("a third face", face="edge"),
    _in_coil("a face that is a list", face=["top"]),
    _in_coil("a conflicting repeat", position=28.0, mean_g_m2=[90.0] * 9),
)
