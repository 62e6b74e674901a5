"""The mapping file of the settings: read, held against what the models take, and made into a way to read events."""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from processors.decode import Decoder, decoder
from processors.event_rows import FieldNames
from schemas.errors import UsageError
from schemas.faults import first_fault
from schemas.layout import FACES, MATRIX_SHAPE
from schemas.mapping import OUR_NAMES, PlantMapping
from schemas.settings import Settings


def mapping_of(settings: Settings) -> PlantMapping:
    """The mapping that the settings name; without one everything has our names.

    Raises:
        UsageError: the file cannot be read, a key is wrong, or the models cannot take what it gives.
    """
    mapping = OUR_NAMES if settings.mapping is None else load_mapping(settings.mapping)
    _refuse_unfit(mapping, settings)
    return mapping


def load_mapping(path: Path) -> PlantMapping:
    """Read a mapping file; raises UsageError that names the wrong key."""
    try:
        return PlantMapping.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        remedy = "correct COILFLOW_MAPPING, or take it away"
        raise UsageError(f"the mapping file {path} cannot be read ({error.strerror})", remedy=remedy) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the mapping file {path} is no TOML ({error})", remedy="correct that line") from error
    except ValidationError as error:
        raise UsageError(
            f"the mapping file {path}: {first_fault(error).sentence()}", remedy="see docs/mapping.md for every key"
        ) from error


def decoder_of(settings: Settings) -> Decoder:
    """How to read this plant's events; without a mapping of theirs it costs nothing. Raises UsageError."""
    return decoder(field_names(mapping_of(settings)))


def field_names(mapping: PlantMapping) -> FieldNames | None:
    """How the plant names fields and faces of events; None: as we do."""
    if not mapping.fields and not mapping.faces:
        return None
    fields: dict[str, dict[str, str]] = {
        kind: {theirs: ours for ours, theirs in names.items()} for kind, names in mapping.fields.items()
    }
    return FieldNames(fields=fields, faces=mapping.faces)


def _refuse_unfit(mapping: PlantMapping, settings: Settings) -> None:
    rows, sensors = mapping.matrix.rows, mapping.gauge.sensors_per_face
    given = (rows, len(FACES) * sensors)
    if given != MATRIX_SHAPE:
        # A member that takes anything else is refused when it is loaded (models.bundle), so this holds for every one.
        who = f"the ensemble {settings.ensemble}" if settings.ensemble else "the shipped ensemble"
        raise UsageError(
            f"the mapping file {settings.mapping} gives {rows} chunks of {sensors} sensors a face, which is "
            f"{given[0]} × {given[1]}: the members of {who} take {MATRIX_SHAPE[0]} × {MATRIX_SHAPE[1]}",
            remedy=f"keep matrix.rows = {MATRIX_SHAPE[0]} and gauge.sensors_per_face = "
            f"{MATRIX_SHAPE[1] // len(FACES)}; a gauge of other width needs models of its own",
        )
