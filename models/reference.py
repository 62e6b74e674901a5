"""`reference.json` in an ensemble's folder: read and written."""

from pathlib import Path

from pydantic import ValidationError

from models.bundle import read_file
from models.ensemble import Ensemble
from schemas.errors import BundleError
from schemas.faults import first_fault
from schemas.reference import Reference

REFERENCE = "reference.json"
_REMEDY = "restore it from a good copy, or remove it: without it models serve, and drift cannot be told"


def folder_of(ensemble: Ensemble) -> Path:
    """Where an ensemble was loaded from: its members lie in folders below."""
    return ensemble.members[0].folder.parents[len(ensemble.manifest.members[0].parts) - 1]


def load_reference(ensemble: Ensemble) -> Reference | None:
    """What coils looked like when the ensemble was made; None where its folder does not say.

    Raises:
        BundleError: the file is damaged, or belongs to another ensemble.
    """
    return read_reference(
        folder_of(ensemble), version=ensemble.manifest.version, limits_version=ensemble.limits.version
    )


def read_reference(folder: Path, *, version: str, limits_version: str) -> Reference | None:
    """The reference in the folder of an ensemble that need not be loaded; as `load_reference`."""
    place = folder / REFERENCE
    if not place.exists():
        return None
    try:
        reference = Reference.model_validate_json(read_file(place))
    except ValidationError as error:
        raise BundleError(f"{place}: {first_fault(error).sentence()}", remedy=_REMEDY) from error
    if reference.digest != reference.own_digest():
        raise BundleError(f"{place}: its digest does not fit it; the file was altered", remedy=_REMEDY)
    if (reference.ensemble_version, reference.limits_version) != (version, limits_version):
        raise BundleError(
            f"{place}: of ensemble {reference.ensemble_version} and limits {reference.limits_version}, expected "
            f"{version} and {limits_version}",
            remedy=_REMEDY,
        )
    return reference


def write_reference(folder: Path, reference: Reference) -> Reference:
    """Put a reference into an ensemble's folder, in place of another; returns it with its digest.

    Raises:
        BundleError: it cannot be written.
    """
    sealed = reference.model_copy(update={"digest": reference.own_digest()})
    part = folder / f"{REFERENCE}.part"
    try:
        part.write_text(sealed.model_dump_json(indent=1, exclude_none=True) + "\n", encoding="utf-8")
        part.replace(folder / REFERENCE)
    except OSError as error:
        raise BundleError(
            f"{folder / REFERENCE} cannot be written ({error.strerror})", remedy="give a folder that can be written"
        ) from error
    return sealed
