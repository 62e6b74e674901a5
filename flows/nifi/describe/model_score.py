"""*model score*: what operators said joins the verdicts, and the models' scores follow."""

from flows.nifi.describe.kinds import (
    KAFKA_PARAMETERS,
    MQTT_CA,
    MQTT_CLIENT,
    MQTT_PARAMETERS,
    consume_kafka,
    kafka_service,
    own,
    receive_mqtt,
    tick,
)
from flows.nifi.describe.lanes import aside
from flows.nifi.describe.parameters import parameters
from flows.nifi.describe.parts import Connection, Flow, Funnel, Label, Place
from flows.nifi.describe.tls import PLAIN, Tls, tls_parameters, tls_service
from flows.nifi.step import DEAD_LETTER, FAILURE

_LEFT, _RIGHT, _LANE, _ASIDE = 0, 640, 1200, 1680


def model_score(tls: Tls = PLAIN) -> Flow:
    """The flow, with TLS of these stores."""
    secure = tls_service(tls)
    kafka = kafka_service(secure)
    events = consume_kafka(
        "operator.feedback",
        Place(_LEFT, 260),
        kafka,
        topic="kafka.topic.feedback",
        comments="What operators said, as CloudEvents.",
    )
    plant = receive_mqtt(
        "opfeedback",
        Place(_RIGHT, 260),
        topic="mqtt.topic.feedback",
        client="feedback",
        comments='The plant says {"COILID": ...}; without LABEL it stands in its table.',
    )
    join = own(
        "JoinFeedback",
        "join feedback",
        Place(_RIGHT, 600),
        comments="Stores it and joins it to the coil's verdict; a coil that is not known yet waits in the database.",
    )
    score = own(
        "ScoreModels",
        "score models",
        Place(_RIGHT, 940),
        ends=("success", "unchanged"),
        comments="Updates what each model and ensemble scores, in the database (`coilflow models scores`).",
    )
    each_hour = tick(
        "each hour",
        Place(_LEFT, 940),
        every="1 hour",
        comments="Feedback that waited for its coil is joined without a message of its own.",
    )
    failed, dead = Funnel("failed", Place(_ASIDE, 600)), Funnel("dead letters", Place(_ASIDE, 980))
    return Flow(
        key="model_score",
        name="coilflow: model score",
        comments="Joins operators' feedback to verdicts and keeps the models' scores.",
        services=(*([] if secure is None else [secure]), kafka),
        processors=(events, plant, join, each_hour, score),
        funnels=(failed, dead),
        connections=(
            Connection(source=events, relationships=("success",), to=join, in_order=True),
            Connection(source=plant, relationships=("success",), to=join, in_order=True),
            Connection(source=join, relationships=("success",), to=score),
            Connection(source=each_hour, relationships=("success",), to=score, most=1, expires="1 hour"),
            *(
                connection
                for one in (join, score)
                for connection in aside(one, ((FAILURE,), failed), ((DEAD_LETTER,), dead), lane=_LANE)
            ),
        ),
        labels=(
            Label(
                text="coilflow: model score\noperators' feedback in, scores of the models in the database",
                place=Place(_LEFT, 0),
                width=1000,
                height=90,
                font_px=22,
                color="#dbe9f6",
            ),
            Label(
                text="A repeat counts once: what was said is kept by its own id.",
                place=Place(_LEFT, 600),
                width=420,
                height=90,
            ),
            Label(
                text="failed: what may pass was tried for days. dead letters: what cannot be read, content kept;\n"
                "coilflow.step, coilflow.error and coilflow.remedy say why.",
                place=Place(_ASIDE + 100, 560),
                width=520,
                height=130,
            ),
        ),
        parameters=parameters(
            "database.dsn",
            "data.directory",
            "plant",
            *KAFKA_PARAMETERS,
            "kafka.group",
            "kafka.topic.feedback",
            *MQTT_PARAMETERS,
            MQTT_CLIENT,
            MQTT_CA,
            *tls_parameters(tls),
            "mqtt.topic.feedback",
        ),
    )
