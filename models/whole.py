"""Every file of an ensemble against its digest, without opening a model: what may be kept, copied or sent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.bundle import MANIFEST, parse_manifest, sha256
from models.ensemble import ENSEMBLE, parse_ensemble
from schemas.bundles import BundleManifest, EnsembleManifest
from schemas.errors import BundleError

Read = Callable[[str], bytes]  # a file by its path in the ensemble's folder; raises BundleError

_REMEDY = "restore it from a good copy"


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeEnsemble:
    """An ensemble as bytes, every digest right."""

    manifest: EnsembleManifest
    members: tuple[BundleManifest, ...]
    guard: BundleManifest | None
    files: Mapping[str, bytes]  # by path in the folder, weights too


def read_whole(read: Read, *, place: str, digest: str | None = None) -> WholeEnsemble:
    """Read an ensemble and check the SHA-256 of every file that it names, from its own digest down.

    Args:
        read: gives a file.
        place: where it is, for errors.
        digest: that the ensemble must have, as the registry knows it; None takes the one it has.

    Raises:
        BundleError: a file is missing or altered, or names a place outside the folder, or it is another ensemble.
    """
    root = Path(place)
    files = {ENSEMBLE: read(ENSEMBLE)}
    manifest = parse_ensemble(files[ENSEMBLE], root)
    if digest not in (None, manifest.digest):
        raise BundleError(f"{place} holds another ensemble than the registered one", remedy=_REMEDY)
    found = {}
    for folder in [*manifest.members, *([manifest.guard] if manifest.guard else [])]:
        name = _plain(str(folder), place)
        text = read(f"{name}/{MANIFEST}")
        if sha256(text) != manifest.manifests.get(name):
            raise BundleError(f"{root / name / MANIFEST}: its SHA-256 is not the one in {ENSEMBLE}", remedy=_REMEDY)
        files[f"{name}/{MANIFEST}"] = text
        found[folder] = parse_manifest(text, root / name)
        for file, wanted in found[folder].files.items():
            path = f"{name}/{_plain(file, place)}"
            files[path] = read(path)
            if (got := sha256(files[path])) != wanted:
                raise BundleError(
                    f"{root / path}: SHA-256 is {got[:12]}…, the manifest says {wanted[:12]}…; the file was altered",
                    remedy=_REMEDY,
                )
    return WholeEnsemble(
        manifest=manifest,
        members=tuple(found[folder] for folder in manifest.members),
        guard=found[manifest.guard] if manifest.guard else None,
        files=files,
    )


def _plain(name: str, place: str) -> str:
    if Path(name).name != name or name == "..":
        raise BundleError(f"{place}: {name!r} is no plain name of a file or folder", remedy=_REMEDY)
    return name
