"""The messages of one FlowFile, as NiFi's consumers hand them on: one, or one a line, or a JSON array of them."""

import re
from collections.abc import Mapping

from flows.intake import Message, split_batch
from flows.nifi.bounds import MOST_RECORDS, refuse_too_many, refuse_too_many_lines, refuse_too_many_values
from processors.envelope import read_json
from schemas.rejects import Headers

_BOM = b"\xef\xbb\xbf"
_PREFIXES = ("ce_", "ce-")  # Kafka's binary mode, HTTP's
_CONTENT_TYPE = "content-type"
_KAFKA = ("kafka.topic", "kafka.partition", "kafka.offset")  # of ConsumeKafka
_LAST = "kafka.max.offset"  # of a FlowFile with several messages
_MQTT = "mqtt.topic"  # of ReceiveMqtt and ConsumeMQTT
_UUID, _NAME, _REPLAYED = "uuid", "filename", "flowfile.replay"  # of NiFi
_PIECE = ("fragment.identifier", "fragment.index")  # of SplitText, SplitJson, SplitRecord
_UUID_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def messages_of(content: bytes, attributes: Mapping[str, str]) -> tuple[Message, ...] | str:
    """The messages of a FlowFile, each with the very bytes it came as; else what is wrong with the whole.

    Args:
        content: structured CloudEvents: one, one a line, or an array; the data alone where attributes hold the envelope
            (`ce_id` or `ce-id` and so on, and `content-type`).
        attributes: of the FlowFile.

    Raises:
        SourceError: it holds too many.
    """
    headers = _envelope(attributes)
    if headers:
        refuse_too_many_values([content])
        return (Message(value=content, headers=headers),)
    text = content.removeprefix(_BOM).strip()
    if text.startswith(b"["):
        refuse_too_many_values([text])
        found = split_batch(text, most=MOST_RECORDS)
        refuse_too_many(len(found) if isinstance(found, tuple) else 0, most=MOST_RECORDS)
        return found
    refuse_too_many_lines(text, most=MOST_RECORDS)
    lines = [line for line in text.split(b"\n") if line.strip()]
    refuse_too_many_values(lines)
    if len(lines) > 1 and not isinstance(read_json(lines[0]), dict) and isinstance(read_json(text), dict):
        return (Message(value=text),)
    return tuple(Message(value=line.strip()) for line in lines)


def place_of(attributes: Mapping[str, str]) -> str:
    """Where a FlowFile came from, for people: its place in Kafka or MQTT, else its own id."""
    if all(name in attributes for name in _KAFKA):
        topic, partition, offset = (attributes[name] for name in _KAFKA)
        return f"NiFi, topic {topic} partition {partition} offset {offset}"
    if _MQTT in attributes:
        return f"NiFi, mqtt {attributes[_MQTT]}"
    return f"NiFi, FlowFile {attributes.get('uuid', 'without an id')}"


def identities_of(attributes: Mapping[str, str], count: int) -> tuple[str | None, ...]:
    """What tells each message of a FlowFile from others also when it comes again; None: nothing does.

    A FlowFile that is as a consumer made it has its place in Kafka, which a replay and a consumer that reads again
    keep, or else its uuid, which it has as its name too: NiFi's *Replay* makes a FlowFile of another uuid and the same
    name. A piece of a FlowFile has what it was split by; its name and its place are those of the other pieces too.

    Args:
        attributes: of the FlowFile.
        count: of its messages; the place of a batch holds for each only where it has as many offsets.
    """
    own, name = attributes.get(_UUID), attributes.get(_NAME, "")
    if any(mark in attributes for mark in _PIECE):
        whole = " ".join(attributes[mark] for mark in _PIECE) if all(mark in attributes for mark in _PIECE) else own
    elif name == own or (attributes.get(_REPLAYED) == "true" and _UUID_FORM.fullmatch(name)):
        if all(mark in attributes for mark in _KAFKA):
            return _in_kafka(attributes, count)
        whole = name
    else:
        whole = own
    return tuple(None if whole is None else f"{whole} {i}" for i in range(count))


def _in_kafka(attributes: Mapping[str, str], count: int) -> tuple[str, ...]:
    topic, partition, first = (attributes[mark] for mark in _KAFKA)
    last = attributes.get(_LAST, first)
    if first.isdecimal() and last.isdecimal() and int(last) - int(first) + 1 == count:
        return tuple(f"{topic} {partition} {int(first) + i}" for i in range(count))
    return tuple(f"{topic} {partition} {first} {i}" for i in range(count))


def _envelope(attributes: Mapping[str, str]) -> Headers:
    """What an envelope in attributes is in Kafka's headers; nothing where there is none."""
    named = {f"ce_{name[3:].lower()}": text for name, text in attributes.items() if name.lower().startswith(_PREFIXES)}
    if "ce_type" not in named:
        return ()
    media = next((text for name, text in attributes.items() if name.lower() == _CONTENT_TYPE), None)
    given = [*named.items(), *([] if media is None else [(_CONTENT_TYPE, media)])]
    return tuple((name, text.encode("utf-8", "replace")) for name, text in given)
