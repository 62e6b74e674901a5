"""Attributes of what a step gives on `success`."""

from collections import Counter
from collections.abc import Iterable, Mapping

from schemas.nifi_batches import MIME_TYPE
from schemas.verdicts import Label

COILS, REJECTS, PLANT, ENSEMBLE = "coilflow.coils", "coilflow.rejects", "coilflow.plant", "coilflow.ensemble"
MIME = "mime.type"  # NiFi's own
CONTENT_TYPE = "content-type"  # of each event, as Kafka's header is called
PARTITION_KEY = "partitionkey"  # CloudEvents' extension: in an event, the key of its message
JSON_LINES = "application/x-ndjson"
_BY_LABEL = {Label.OK: "coilflow.ok", Label.NOK: "coilflow.nok", Label.UNDECIDED: "coilflow.undecided"}


def batch_attributes(plants: Iterable[str], *, rejects: int) -> dict[str, str]:
    """How many coils an Arrow batch holds, how many refused ones ride along, and the plant where it is one.

    Args:
        plants: of each coil.
        rejects: coils, and pieces that belong to no coil, that were refused so far.
    """
    counted = Counter(plants)
    one = {PLANT: next(iter(counted))} if len(counted) == 1 else {}
    return {COILS: str(counted.total()), REJECTS: str(rejects), MIME: MIME_TYPE, **one}


def label_attributes(labels: Iterable[Label]) -> Mapping[str, str]:
    """How many coils are OK, NOK and UNDECIDED."""
    counted = Counter(labels)
    return {name: str(counted[label]) for label, name in _BY_LABEL.items()}
