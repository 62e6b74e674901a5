"""A model as it lies on disk: a folder whose every file has a digest, loaded only after all of them match."""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pyarrow as pa
from pydantic import ValidationError

from schemas.bundles import BundleManifest
from schemas.coils import Float32Array, FloatArray
from schemas.errors import BundleAwayError, BundleError
from schemas.faults import first_fault
from schemas.layout import MATRIX_SHAPE
from schemas.matrices import tensor_values

MANIFEST = "manifest.json"
MODEL = "model.onnx"
GOLDEN = "golden.arrow"
WEIGHTS = "weights.safetensors"  # what a successor can begin with; nothing is served from it
VERSION_DIGITS = 12  # hex digits of a SHA-256 that make a version: the same content has the same
INPUT, SPREAD = "matrix", "spread"
OUTPUT, FEATURES = "p_nok", "features"
CANARY_TOLERANCE = 1e-4  # largest |Δp| between the golden outputs and this machine's

_REBUILD = "restore it from a good copy, or correct COILFLOW_ENSEMBLE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """One loaded member: its manifest, the digest of that manifest, and an ONNX Runtime session."""

    folder: Path
    manifest: BundleManifest
    digest: str
    session: ort.InferenceSession
    golden: bytes

    @property
    def takes_spread(self) -> bool:
        """Whether it sees the spread beside the matrix."""
        return any(one.name == SPREAD for one in self.session.get_inputs())

    @property
    def has_features(self) -> bool:
        """Whether its graph gives what its head decides on."""
        return any(one.name == FEATURES for one in self.session.get_outputs())

    def p_nok(self, matrix: Float32Array, spread: Float32Array) -> FloatArray:
        """Probability of NOK, float64 [N] in [0, 1].

        Args:
            matrix: float32 [N, 264, 18] on the member's scale.
            spread: float32 [N, 264, 18] in the same unit; a member that does not take it leaves it aside.

        Raises:
            BundleError: ONNX Runtime fails, as for want of memory.
        """
        return self._run(OUTPUT, matrix, spread).astype(np.float64)

    def features(self, matrix: Float32Array, spread: Float32Array) -> Float32Array:
        """What the head decides on, float32 [N, D], of coils as for `p_nok`.

        Raises:
            BundleError: the graph gives no features, or ONNX Runtime fails.
        """
        if not self.has_features:
            raise BundleError(f"{self.folder}: its graph gives no features", remedy="train it again")
        return self._run(FEATURES, matrix, spread)

    def _run(self, output: str, matrix: Float32Array, spread: Float32Array) -> Float32Array:
        coils = {INPUT: np.ascontiguousarray(matrix)}
        if self.takes_spread:
            coils[SPREAD] = np.ascontiguousarray(spread)
        try:
            (found,) = self.session.run([output], coils)
        except Exception as error:  # onnxruntime's own classes share no base but Exception
            raise BundleError(
                f"{self.folder}: ONNX Runtime fails ({error})", remedy="free memory, or " + _REBUILD
            ) from error
        return np.asarray(found, dtype=np.float32)

    def verify(self) -> float:
        """Score the canary coils and return the largest |Δp|; raises BundleError where it is over 1e-4."""
        try:
            with pa.ipc.open_file(self.golden) as reader:
                batch = reader.read_all().combine_chunks().to_batches()[0]
            expected = batch.column(OUTPUT).to_numpy()
            difference = float(np.abs(self.p_nok(tensor_values(batch), tensor_values(batch, SPREAD)) - expected).max())
        except (pa.ArrowException, IndexError, KeyError, ValueError) as error:
            raise BundleError(
                f"{self.folder / GOLDEN}: the canary coils cannot be read ({error})", remedy=_REBUILD
            ) from error
        if not difference <= CANARY_TOLERANCE:
            raise BundleError(
                f"{self.folder}: the canary coils differ from their golden outputs by {difference:.2g}, "
                f"allowed is {CANARY_TOLERANCE:g}",
                remedy="do not serve it on this machine: " + _REBUILD,
            )
        return difference


def load_bundle(folder: Path, *, threads: int) -> Bundle:
    """Load one member after checking the SHA-256 of every file its manifest names, but the weights, which stay unread.

    Args:
        folder: holds `manifest.json` and the files it lists.
        threads: ONNX Runtime threads of this model; they do not spin (FACTS section 7).

    Raises:
        BundleError: a file is missing or altered, the manifest is not one, or the graph is not
            `matrix` and perhaps `spread` float32 [N, 264, 18] -> `p_nok` float32 [N] and perhaps `features` [N, D].
    """
    text = read_file(folder / MANIFEST)
    manifest = parse_manifest(text, folder)
    files = {name: _checked(folder, name, digest) for name, digest in manifest.files.items() if name != WEIGHTS}
    for name in (MODEL, GOLDEN):
        if name not in files:
            raise BundleError(f"{folder / MANIFEST}: it lists no {name}", remedy=_REBUILD)
    return Bundle(
        folder=folder,
        manifest=manifest,
        digest=sha256(text),
        session=open_session(files[MODEL], place=folder / MODEL, threads=threads),
        golden=files[GOLDEN],
    )


def read_weights(bundle: Bundle) -> bytes | None:
    """The weights in a bundle, as safetensors, after checking their SHA-256; None where it holds none.

    Raises:
        BundleError: the file is missing or altered.
    """
    digest = bundle.manifest.files.get(WEIGHTS)
    return None if digest is None else _checked(bundle.folder, WEIGHTS, digest)


def write_bundle(folder: Path, *, manifest: BundleManifest, files: Mapping[str, bytes]) -> BundleManifest:
    """Write a member so that it is there wholly or not at all, and return its manifest with the digests.

    Args:
        folder: must not hold a bundle of another version yet; its parent is created.
        manifest: `files` in it is replaced by the digests of `files`.
        files: name -> contents, `model.onnx` and `golden.arrow` at least.

    Raises:
        BundleError: the folder exists already.
    """
    final = manifest.model_copy(update={"files": {name: sha256(files[name]) for name in sorted(files)}})
    write_folder(folder, {**files, MANIFEST: (final.model_dump_json(indent=2) + "\n").encode()})
    return final


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, by path relative to the folder, into a folder beside and rename it to its place.

    Raises:
        BundleError: the folder exists, or cannot be written (a full disk, no right to).
    """
    if folder.exists():
        raise BundleError(f"{folder} exists already", remedy="name another folder, or remove this one first")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for name, content in files.items():
                target = staging / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            staging.chmod(0o755)
            staging.rename(folder)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    except OSError as error:
        remedy = "make room there, or name another folder; nothing was left behind"
        raise BundleAwayError(f"{folder} cannot be written ({error.strerror})", remedy=remedy) from error


def read_file(path: Path) -> bytes:
    """Read a file of a bundle; raises BundleAwayError where it is not there."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleAwayError(f"{path} cannot be read ({error.strerror})", remedy=_REBUILD) from error


def sha256(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def parse_manifest(text: bytes, folder: Path) -> BundleManifest:
    """Read `manifest.json` of a bundle; raises BundleError where it is none."""
    try:
        return BundleManifest.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(f"{folder / MANIFEST}: {first_fault(error).sentence()}", remedy=_REBUILD) from error


def _checked(folder: Path, name: str, digest: str) -> bytes:
    if Path(name).name != name:
        raise BundleError(f"{folder / MANIFEST}: {name!r} is not a plain file name", remedy=_REBUILD)
    content = read_file(folder / name)
    if (got := sha256(content)) != digest:
        raise BundleError(
            f"{folder / name}: SHA-256 is {got[:12]}…, the manifest says {digest[:12]}…; the file was altered",
            remedy=_REBUILD,
        )
    return content


def open_session(model: bytes, *, place: Path, threads: int) -> ort.InferenceSession:
    """Open a member's graph in ONNX Runtime on the CPU, its threads not spinning; `place` is for errors."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes share no base but Exception
        raise BundleError(f"{place}: ONNX Runtime cannot load it ({error})", remedy=_REBUILD) from error
    inputs = [(i.name, i.type, tuple(i.shape[1:])) for i in session.get_inputs()]
    outputs = [(o.name, o.type, len(o.shape)) for o in session.get_outputs()]
    coils = [(name, "tensor(float)", MATRIX_SHAPE) for name in (INPUT, SPREAD)]
    found = [(OUTPUT, "tensor(float)", 1), (FEATURES, "tensor(float)", 2)]
    if inputs not in (coils[:1], coils) or outputs not in (found[:1], found):
        raise BundleError(
            f"{place}: the graph maps {inputs} to {outputs}, expected {INPUT} and perhaps {SPREAD} float [N, 264, 18] "
            f"to {OUTPUT} float [N] and perhaps {FEATURES} float [N, D]",
            remedy="export it with `coilflow train`",
        )
    return session
