"""Ensembles on disk: each machine has those that it serves below its data folder, and a cluster shares a store.

An ensemble's location is a path below the data folder of each machine, `ensembles/VERSION`, or a URI that `pyarrow.fs`
reads, such as s3://bucket/ensembles/VERSION. Nothing is served that was not checked against the registered digest.
"""

import shutil
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pyarrow as pa
from pyarrow import fs

from models.bundle import read_file, write_folder
from models.ensemble import ENSEMBLE, SHIPPED
from models.reference import REFERENCE
from models.whole import WholeEnsemble, read_whole
from schemas.errors import BundleAwayError, BundleError
from schemas.settings import Settings
from store.registered import StoredEnsemble

FOLDER = "ensembles"
_REACH = "check the location in `coilflow models list`, its credentials and the network"


def read_folder(folder: Path, *, digest: str | None = None) -> WholeEnsemble:
    """Read an ensemble's folder, every digest checked, and its reference where it has one; raises BundleError."""
    whole = read_whole(lambda name: read_file(folder / name), place=str(folder), digest=digest)
    return _with_reference(whole, read_file(folder / REFERENCE)) if (folder / REFERENCE).exists() else whole


def _with_reference(whole: WholeEnsemble, reference: bytes) -> WholeEnsemble:
    """What coils looked like when it was made lies beside it, under a digest of its own."""
    return replace(whole, files={**whole.files, REFERENCE: reference})


def keep(whole: WholeEnsemble, settings: Settings) -> str:
    """Write an ensemble where this machine, and with `ensembles_uri` every machine, finds it; returns its location.

    Raises:
        BundleError: another ensemble has its place, or it cannot be written.
    """
    version = _folder_name(whole.manifest.version)
    _write_local(whole, settings.data_dir / FOLDER / version)
    if settings.ensembles_uri is None:
        return f"{FOLDER}/{version}"
    location = f"{settings.ensembles_uri.rstrip('/')}/{version}"
    _upload(whole, location)
    return location


def local_copy(stored: StoredEnsemble, settings: Settings) -> Path:
    """Folder of a registered ensemble on this machine, every digest checked; copied from where it is kept if need be.

    Raises:
        BundleAwayError: it is nowhere to be found, or cannot be copied.
        BundleError: it is altered.
    """
    version = _folder_name(stored.version)
    local = settings.data_dir / FOLDER / version
    shared = "://" in stored.location
    if local.exists():
        try:
            read_folder(local, digest=stored.digest)
        except BundleError:
            if not shared:
                raise
        else:
            return local
    _write_local(_download(stored) if shared else _from_settings(stored, settings), local)
    return local


def is_kept_elsewhere(stored: StoredEnsemble, settings: Settings) -> bool:
    """Whether an ensemble can be copied to this machine again: it is read whole from where all machines find it.

    Raises:
        BundleAwayError: that place cannot be reached.
        BundleError: what lies there is altered.
    """
    if "://" not in stored.location:
        return False
    files, root = _open(stored.location)
    here = (settings.data_dir / FOLDER / _folder_name(stored.version)).resolve()
    if isinstance(files, fs.LocalFileSystem) and Path(root).resolve() == here:
        return False
    _download(stored)
    return True


def drop_local(stored: StoredEnsemble, settings: Settings) -> None:
    """Remove an ensemble's folder on this machine, at once for whoever looks; raises OSError."""
    folder = settings.data_dir / FOLDER / _folder_name(stored.version)
    gone = folder.with_name(f".{folder.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)  # of a removal that was cut off
    folder.rename(gone)
    shutil.rmtree(gone)


def _from_settings(stored: StoredEnsemble, settings: Settings) -> WholeEnsemble:
    """The ensemble that every machine has by its installation, where it is that one."""
    for folder in (settings.ensemble, SHIPPED):
        if folder is not None and folder.exists():
            whole = read_folder(folder)
            if whole.manifest.digest == stored.digest:
                return whole
    raise BundleAwayError(
        f"ensemble {stored.version} is not on this machine: there is no {settings.data_dir / FOLDER / stored.version}",
        remedy="copy that folder from the machine that registered it, or set COILFLOW_ENSEMBLES_URI before registering",
    )


def _write_local(whole: WholeEnsemble, folder: Path) -> None:
    if folder.exists() and not _is_altered(folder):
        if read_folder(folder).manifest.digest != whole.manifest.digest:
            raise BundleError(
                f"{folder} holds another ensemble of that version", remedy="give the new ensemble a version of its own"
            )
        return
    shutil.rmtree(folder, ignore_errors=True)  # what serves from it has its models in memory
    try:
        write_folder(folder, whole.files)
    except BundleError:
        if not folder.exists() or _is_altered(folder):  # else another process was faster
            raise


def _is_altered(folder: Path) -> bool:
    try:
        read_folder(folder)
    except BundleError:
        return True
    return False


def _upload(whole: WholeEnsemble, location: str) -> None:
    """Write the file that names the others last: an ensemble without it is none."""
    files, root = _open(location)
    try:
        for name in sorted(whole.files, key=lambda name: name == ENSEMBLE):
            path = f"{root}/{name}"
            files.create_dir(str(PurePosixPath(path).parent), recursive=True)
            with files.open_output_stream(path) as stream:
                stream.write(whole.files[name])
    except (OSError, pa.ArrowException) as error:
        raise BundleAwayError(f"{location} cannot be written ({error})", remedy=_REACH) from error


def _download(stored: StoredEnsemble) -> WholeEnsemble:
    files, root = _open(stored.location)

    def read(name: str) -> bytes:
        try:
            with files.open_input_stream(f"{root}/{name}") as stream:
                return bytes(stream.read())
        except (OSError, pa.ArrowException) as error:
            raise BundleAwayError(f"{stored.location}/{name} cannot be read ({error})", remedy=_REACH) from error

    whole = read_whole(read, place=stored.location, digest=stored.digest)
    known = files.get_file_info(f"{root}/{REFERENCE}").type is fs.FileType.File
    return _with_reference(whole, read(REFERENCE)) if known else whole


def _open(location: str) -> tuple[fs.FileSystem, str]:
    try:
        files, root = fs.FileSystem.from_uri(location)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise BundleAwayError(f"{location} cannot be opened ({error})", remedy=_REACH) from error
    return files, root


def _folder_name(version: str) -> str:
    """A version comes from a file that anybody may have written: as a folder's name it must not lead elsewhere."""
    if Path(version).name != version or version.startswith(".") or "\x00" in version:
        raise BundleError(
            f"version {version!r} of the ensemble cannot name a folder", remedy="give it a plain name as version"
        )
    return version
