"""SampleForReview: of the verdicts that pass, those on coils that a person is asked to look at."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from pydantic import ValidationError

from flows.nifi.bounds import MOST_RECORDS, refuse_too_many_lines
from flows.nifi.outcome import COILS, JSON_LINES, MIME
from flows.nifi.step import SUCCESS, Properties, StepResult
from processors.review import review_probability
from schemas.errors import SourceError
from schemas.events import CoilVerdictEvent
from schemas.faults import first_fault

REVIEW = "review"
_REMEDY = "connect what RecordVerdict gives: coil.verdict events, one a line"


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleForReview:
    """The step; it holds nothing that must be given back.

    Which coils are asked for was decided with their verdicts (see docs on review): here they are told from the others.
    """

    def run(self, content: bytes, attributes: Mapping[str, str]) -> StepResult:
        """Give a line to each verdict that asks for a review; where none does, pass the verdicts on.

        Raises:
            SourceError: a line is no coil.verdict event, or there are too many.
        """
        refuse_too_many_lines(content, most=MOST_RECORDS)
        lines = [line for line in content.split(b"\n") if line.strip()]  # none, where RecordVerdict refused all coils
        asked = [event for event in map(_event, lines) if event.data.review]
        if not asked:
            return StepResult(relationship=SUCCESS, attributes={COILS: str(len(lines))})
        return StepResult(
            relationship=REVIEW,
            contents=b"".join(_line(event) for event in asked),
            attributes={COILS: str(len(asked)), MIME: JSON_LINES},
        )

    def close(self) -> None:
        """There is nothing to give back."""


def open_step(properties: Properties) -> SampleForReview:
    """It needs nothing."""
    return SampleForReview()


def _event(line: bytes) -> CoilVerdictEvent:
    try:
        return CoilVerdictEvent.model_validate_json(line)
    except ValidationError as error:
        said = f"a line is no coil.verdict event: {first_fault(error).sentence()}"
        raise SourceError(said, remedy=_REMEDY) from error


def _line(event: CoilVerdictEvent) -> bytes:
    data = event.data
    try:
        probability = review_probability(data.review)
    except ValueError as error:
        raise SourceError(f"a verdict tells no probability of its review ({error})", remedy=_REMEDY) from error
    told = {
        "event_id": event.id,
        "plant": data.plant,
        "coil_id": data.coil_id,
        "revision": data.revision,
        "label": data.label,
        "p_nok": data.p_nok,
        "ensemble_version": data.ensemble_version,
        "reason": list(data.review),
        "probability": probability,
        "decided_at": data.decided_at,
    }
    return orjson.dumps(told) + b"\n"
