"""*assess coils*: what the gauge measured in, one verdict a coil out."""

import json
from itertools import chain

from flows.nifi.describe.kinds import (
    JOLT,
    KAFKA_PARAMETERS,
    MQTT_CA,
    MQTT_CLIENT,
    MQTT_PARAMETERS,
    consume_kafka,
    json_services,
    kafka_service,
    own,
    publish_kafka,
    publish_mqtt,
    receive_mqtt,
    tick,
)
from flows.nifi.describe.lanes import aside
from flows.nifi.describe.parameters import parameters
from flows.nifi.describe.parts import Connection, Flow, Funnel, Label, Place, Processor
from flows.nifi.describe.tls import PLAIN, Tls, tls_parameters, tls_service
from flows.nifi.step import DEAD_LETTER, FAILURE

_LEFT, _MIDDLE, _RIGHT, _LANE, _ASIDE = 0, 640, 1280, 1820, 2300
_TOP, _ROW = 180, 260

COIL_READY = [  # a verdict's event -> the plant's own message
    {
        "operation": "shift",
        "spec": {
            "data": {
                "coil_id": "SID",
                "label": {"OK": {"#1": "LABEL"}, "NOK": {"#2": "LABEL"}, "*": {"#0": "LABEL"}},
            }
        },
    },
    {"operation": "modify-overwrite-beta", "spec": {"LABEL": "=toInteger"}},
]


def _row(number: int) -> int:
    return _TOP + number * _ROW


def assess_coils(tls: Tls = PLAIN) -> Flow:
    """The flow, with TLS of these stores."""
    secure, (reader, writer) = tls_service(tls), json_services()
    kafka = kafka_service(secure)
    chunks = consume_kafka(
        "chunks of coils",
        Place(_MIDDLE, _row(0)),
        kafka,
        topic="kafka.topic.chunks",
        comments="coil.started, coil.chunk, coil.ended; in structured mode many a FlowFile, in binary mode one.",
    )
    each_second = tick(
        "each second",
        Place(_RIGHT, _row(0)),
        every="1 sec",
        comments="Coils become due with time too: the settling after their end, a deadline, a lease that ran out.",
    )
    asked = receive_mqtt(
        "assesscoil",
        Place(_LEFT, _row(1)),
        topic="mqtt.topic.assess",
        client="assess",
        comments='The plant says {"SID": ...}: the coil is complete in its tables.',
    )
    assemble = own(
        "AssembleCoil",
        "assemble coils",
        Place(_MIDDLE, _row(1)),
        ends=("waiting",),
        content="events",
        comments="Stores events in the database, and gives the coils that are due, up to a batch: Arrow.",
    )
    fetch = own(
        "AssembleCoil",
        "fetch asked coils",
        Place(_LEFT, _row(2)),
        ends=("waiting",),
        content="assesscoil",
        comments="Reads the coil from the plant's tables, with the same rules.",
    )
    normalize = own(
        "NormalizeCoil", "normalise", Place(_MIDDLE, _row(3)), comments="Coils to matrices, byte for byte as elsewhere."
    )
    score = own(
        "ScoreCoil",
        "score",
        Place(_MIDDLE, _row(4)),
        comments="Matrices to verdicts, by the ensemble that serves now; a new one is taken up without a restart.",
    )
    record = own(
        "RecordVerdict",
        "record",
        Place(_MIDDLE, _row(5)),
        ends=("observed", "nothing"),
        comments="One transaction: verdicts, dead letters, the coils' end. In mode observe nobody is told.",
    )
    tell_kafka = publish_kafka(
        "coil.verdicts", Place(_RIGHT, _row(6)), kafka, (reader, writer), topic="kafka.topic.verdicts"
    )
    to_ready = Processor(
        name="to coilready",
        type="org.apache.nifi.processors.jolt.JoltTransformRecord",
        bundle=JOLT,
        place=Place(_LEFT, _row(7)),
        comments='A verdict to {"SID": coil, "LABEL": 1 OK, 2 NOK, 0 undecided}.',
        properties={
            "Record Reader": reader,
            "Record Writer": writer,
            "Jolt Transform": "jolt-transform-chain",
            "Jolt Specification": json.dumps(COIL_READY, indent=2),
            "Transform Cache Size": "1",
        },
        ended=frozenset({"original"}),
    )
    tell_mqtt = publish_mqtt("coilready", Place(_LEFT, _row(8)), secure, topic="mqtt.topic.ready")
    sample = own(
        "SampleForReview",
        "sample for review",
        Place(_MIDDLE, _row(9)),
        ends=("success",),
        comments="Coils that a person is asked to look at, and why; `coilflow labels queue` lists them too.",
    )
    failed, dead = Funnel("failed", Place(_ASIDE, _row(3))), Funnel("dead letters", Place(_ASIDE, _row(6)))
    review = Funnel("review", Place(_LEFT + 152, _row(9) + 40))
    ours, told = (assemble, fetch, normalize, score, record, sample), (tell_kafka, to_ready, tell_mqtt)
    return Flow(
        key="assess_coils",
        name="coilflow: assess coils",
        comments="Assembles, normalises and scores coils, records one verdict each, and tells the plant.",
        services=(*([] if secure is None else [secure]), kafka, reader, writer),
        processors=(
            chunks,
            each_second,
            asked,
            assemble,
            fetch,
            normalize,
            score,
            record,
            tell_kafka,
            to_ready,
            tell_mqtt,
            sample,
        ),
        funnels=(failed, dead, review),
        connections=(
            Connection(
                source=chunks, relationships=("success",), to=assemble, most=200, most_size="256 MB", in_order=True
            ),
            Connection(source=each_second, relationships=("success",), to=assemble, most=1, expires="10 sec"),
            Connection(source=asked, relationships=("success",), to=fetch, in_order=True),
            Connection(source=assemble, relationships=("success",), to=normalize, most=20),
            Connection(source=fetch, relationships=("success",), to=normalize, most=20),
            Connection(source=normalize, relationships=("success",), to=score, most=20),
            Connection(source=score, relationships=("success",), to=record, most=20),
            Connection(source=record, relationships=("success",), to=tell_kafka, in_order=True),
            Connection(source=record, relationships=("success",), to=to_ready, in_order=True),
            Connection(source=record, relationships=("success",), to=sample),
            Connection(source=to_ready, relationships=("success",), to=tell_mqtt, in_order=True),
            Connection(source=sample, relationships=("review",), to=review, most=0, most_size="0 B", expires="7 days"),
            *chain.from_iterable(aside(one, ((FAILURE,), failed), ((DEAD_LETTER,), dead), lane=_LANE) for one in ours),
            *chain.from_iterable(aside(one, (("failure",), failed), lane=_LANE) for one in told),
        ),
        labels=(
            Label(
                text="coilflow: assess coils\nchunks in, one verdict a coil out; FlowFiles of up to 100 coils (Arrow)",
                place=Place(_LEFT, 0),
                width=1640,
                height=90,
                font_px=22,
                color="#dbe9f6",
            ),
            Label(
                text="A coil is open in the database, not in NiFi: a bin cannot cut it, and a restart loses nothing.",
                place=Place(_LEFT, _row(0)),
                width=420,
                height=110,
            ),
            Label(
                text="One coil that cannot be used fails no batch: it rides along, and is stored as a dead letter\n"
                "with the verdicts (`coilflow deadletters list`).",
                place=Place(_LEFT, _row(4)),
                width=420,
                height=110,
            ),
            Label(
                text="failed: what may pass (a database away) was tried for days, in its order, twice a minute.\n"
                "Coils are taken again when their lease ends; connect the funnel to a processor to try by hand.",
                place=Place(_ASIDE + 100, _row(3) - 40),
                width=520,
                height=130,
            ),
            Label(
                text="dead letters: FlowFiles of which nothing could be used, content kept.\n"
                "coilflow.step, coilflow.error and coilflow.remedy say why. At 10,000 the flow stops, and loses none.",
                place=Place(_ASIDE + 100, _row(6) - 40),
                width=520,
                height=130,
            ),
            Label(
                text="review: coils for a person, kept for 7 days here; connect it to where your people look.",
                place=Place(_LEFT, _row(10)),
                width=520,
                height=110,
            ),
        ),
        parameters=parameters(
            "database.dsn",
            "data.directory",
            "mode",
            "plant",
            "batch.coils",
            "lease.seconds",
            *KAFKA_PARAMETERS,
            "kafka.group",
            "kafka.topic.chunks",
            "kafka.topic.verdicts",
            *MQTT_PARAMETERS,
            MQTT_CLIENT,
            MQTT_CA,
            *tls_parameters(tls),
            "mqtt.topic.assess",
            "mqtt.topic.ready",
        ),
    )
