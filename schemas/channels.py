"""Which messages travel on which Kafka topic and MQTT topic, and who sends them."""

from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel

from schemas import events, mqtt
from schemas.events import Envelope

EVENT_TYPES: dict[str, type[Envelope]] = {
    str(get_args(model.model_fields["type"].annotation)[0]): model
    for model in (
        events.CoilStartedEvent,
        events.CoilChunkEvent,
        events.CoilEndedEvent,
        events.CoilWarningEvent,
        events.CoilVerdictEvent,
        events.OperatorFeedbackEvent,
        events.ModelChangedEvent,
    )
}
MQTT_PAYLOADS: dict[str, type[BaseModel]] = {
    "mqtt.assesscoil": mqtt.AssessCoil,
    "mqtt.opfeedback": mqtt.OpFeedback,
    "mqtt.coilready": mqtt.CoilReady,
}
CONTRACTS: dict[str, type[BaseModel]] = {**EVENT_TYPES, **MQTT_PAYLOADS}
DEAD_LETTER = "dead.letter"  # a message without a contract: any bytes, with the fault in its headers


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """One topic, seen from coilflow."""

    address: str
    protocol: Literal["kafka", "mqtt"]
    action: Literal["send", "receive"]  # what coilflow does on it
    contracts: tuple[str, ...]  # names in CONTRACTS, or DEAD_LETTER
    description: str


_TOPICS = (
    Channel(
        address="coil.chunks",
        protocol="kafka",
        action="receive",
        contracts=("coil.started", "coil.chunk", "coil.ended"),
        description="What the gauge measured, chunk by chunk. Idempotent by coil, face and position, in any order.",
    ),
    Channel(
        address="coil.verdicts",
        protocol="kafka",
        action="send",
        contracts=("coil.verdict", "coil.warning"),
        description="Verdicts, each at least once with the same id, oldest first per coil; and early warnings.",
    ),
    Channel(
        address="operator.feedback",
        protocol="kafka",
        action="receive",
        contracts=("operator.feedback",),
        description="What operators said of coils.",
    ),
    Channel(
        address="model.events",
        protocol="kafka",
        action="send",
        contracts=("model.changed",),
        description="Changes of the model registry, and the workers' answers to them.",
    ),
)

CHANNELS = (
    *_TOPICS,
    *(
        Channel(
            address=f"{topic.address}.dead-letter",
            protocol="kafka",
            action="send",
            contracts=(DEAD_LETTER,),
            description=f"What of {topic.address} could not be used: its own key, bytes and headers, and the fault.",
        )
        for topic in _TOPICS
        if topic.action == "receive"
    ),
    Channel(
        address="assesscoil",
        protocol="mqtt",
        action="receive",
        contracts=("mqtt.assesscoil",),
        description="The plant asks for a coil of its tables to be assessed; published at QoS 1 or 2.",
    ),
    Channel(
        address="opfeedback",
        protocol="mqtt",
        action="receive",
        contracts=("mqtt.opfeedback",),
        description="The plant says that an operator judged a coil; published at QoS 1 or 2.",
    ),
    Channel(
        address="coilready",
        protocol="mqtt",
        action="send",
        contracts=("mqtt.coilready",),
        description="The plant learns the verdict, at QoS 2 unless set otherwise. As whole CloudEvents on any topic "
        "that a destination mqtt-event:TOPIC names; to a webhook as a signed POST.",
    ),
)
