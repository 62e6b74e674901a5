"""Places on a coil, as a page draws them over the heat map: what people marked, what an explanation names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas.audit import Word
from schemas.explanations import CoilExplanation
from schemas.layout import MATRIX_ROWS, SENSORS_PER_FACE, Face

_NARROWEST = 0.4  # percent: a shorter place would not be seen


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A rectangle of a face in percent of its picture."""

    face: Face
    start: float
    width: float
    top: float = 0.0
    height: float = 100.0
    kind: str  # class of the style sheet
    text: str


def marked_places(words: Sequence[Word], length_m: float | None) -> Iterator[Place]:
    """Places that standing words name; of a word without a face, on both."""
    if length_m is None:
        return
    for word in words:
        if not word.stands or (word.from_m is None and word.to_m is None and word.face is None):
            continue
        start = 100 * min((word.from_m or 0.0) / length_m, 1.0)
        end = 100 * min((length_m if word.to_m is None else word.to_m) / length_m, 1.0)
        faces: tuple[Face, ...] = ("top", "bottom") if word.face is None else (word.face,)
        for face in faces:
            yield Place(
                face=face,
                start=round(start, 2),
                width=round(max(end - start, _NARROWEST), 2),
                kind="word",
                text=(word.defect_kind or word.label).replace("_", " "),
            )


def explained_places(explanation: CoilExplanation) -> Iterator[Place]:
    """The regions that an explanation names, numbered as it lists them."""
    for number, region in enumerate(explanation.regions, 1):
        yield Place(
            face=region.face,
            start=round(100 * region.from_row / MATRIX_ROWS, 2),
            width=round(100 * (region.to_row - region.from_row) / MATRIX_ROWS, 2),
            top=round(100 * (region.sensors[0] - 1) / SENSORS_PER_FACE, 2),
            height=round(100 * len(region.sensors) / SENSORS_PER_FACE, 2),
            kind="for" if region.delta_p_nok > 0 else "against",
            text=str(number),
        )


def place_in_words(word: Word) -> str:
    """Where a word says that something is; empty where it names no place."""
    if word.from_m is not None and word.to_m is not None:
        metres = f"{word.from_m:g}–{word.to_m:g} m"
    elif word.from_m is not None:
        metres = f"from {word.from_m:g} m"
    else:
        metres = "" if word.to_m is None else f"up to {word.to_m:g} m"
    return ", ".join(part for part in (f"{word.face} face" if word.face else "", metres) if part)
