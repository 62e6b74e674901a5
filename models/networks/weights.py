"""Initial weights of YOLOv8 and of warm starts: tensors by name, never code.

A `.pt` is a pickle. It is read by torch's restricted unpickler, and the modules that Ultralytics pickles whole into
its checkpoints become inert stand-ins, of which tensors are taken by name and nothing is ever called.
"""

import hashlib
import io
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch

from models.network_spec import NetworkKind
from models.networks.contract import Network
from models.networks.yolo import Yolo, prepare_ultralytics
from schemas.errors import BundleError, SpecError

SIMULATED = Path(__file__).parent.parent / "weights"  # ours, pre-trained on the simulated line
_STAND_INS = (  # what Ultralytics' checkpoints name, as found in its own list of what it would rebuild
    "ultralytics.", "torch.nn.", "torch.torch_version.", "torchvision.transforms.", "numpy.", "pathlib.",
    "builtins.getattr",
)  # fmt: skip
_READING = threading.Lock()  # torch keeps what it admits in a variable of the process
_MAY_DIFFER = ("blocks.0.conv.", "head.")  # where a file was made for other channels or other classes
_TENTH_BLOCK = {"conv": "neck.0", "linear": "head"}  # Ultralytics' parts of it -> ours
_CONVERT = "save its state_dict() by safetensors.torch.save_file and name that file"


@dataclass(frozen=True, kw_only=True, slots=True)
class InitialWeights:
    """What a network began with."""

    name: str  # of the file
    digest: str  # SHA-256 of the file
    skipped: tuple[str, ...]  # tensors that stayed random, because the file has none of their shape

    def said(self) -> str:
        """One line for a manifest."""
        line = f"{self.name}, SHA-256 {self.digest}"
        return f"{line}, but {', '.join(self.skipped)} at random" if self.skipped else line


def load_weights(network: Yolo, kind: NetworkKind, weights: str) -> InitialWeights:
    """Fill a network with the weights that its options name.

    Args:
        network: filled in place.
        kind: of the network.
        weights: `ultralytics` (downloaded), `simulated` (ours), or the path of a `.pt` or `.safetensors` file with
            Ultralytics' names of tensors or our own.

    Raises:
        SpecError: the file is not there, cannot be downloaded, holds anything but tensors, or is of another network.
    """
    path = _path(kind, weights)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SpecError(
            f"key network.weights: {path} cannot be read ({error.strerror})",
            remedy="name none, simulated, ultralytics, or a .pt or .safetensors file that exists",
        ) from error
    given = _tensors(content, path)
    skipped = _fill(network, {_our_name(name): tensor for name, tensor in given.items()}, kind, path)
    return InitialWeights(name=path.name, digest=hashlib.sha256(content).hexdigest(), skipped=skipped)


def state_bytes(network: Network) -> bytes:
    """All parameters and buffers as safetensors; the same network gives the same bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    content: bytes = safetensors.torch.save(tensors)
    return content


def load_state(network: Network, state: bytes) -> None:
    """Fill a network with what `state_bytes` gave of one of the same kind and options.

    Raises:
        BundleError: it is no safetensors, or of another network.
    """
    remedy = "take a parent of the same kind and network options"
    try:
        tensors = safetensors.torch.load(state)
    except (safetensors.SafetensorError, ValueError) as error:
        raise BundleError(f"the weights of a parent cannot be read ({error})", remedy=remedy) from error
    own = {name: tensor.shape for name, tensor in network.state_dict().items()}
    different = sorted(
        name for name in own.keys() | tensors.keys() if name not in tensors or own.get(name) != tensors[name].shape
    )
    if different:
        raise BundleError(
            f"the weights of a parent do not fit: {different[0]} and {len(different) - 1} more differ", remedy=remedy
        )
    network.load_state_dict(tensors)


def _path(kind: NetworkKind, weights: str) -> Path:
    if weights == "ultralytics":
        return _downloaded(kind)
    if weights != "simulated":
        return Path(weights)
    path = SIMULATED / f"{kind}.safetensors"
    if not path.exists():
        raise SpecError(
            f"key network.weights: no weights of {kind} pre-trained on the simulated line are installed",
            remedy=f"train a {kind} on data.simulate and name its bundle's weights.safetensors, or set weights: none",
        )
    return path


def _downloaded(kind: NetworkKind) -> Path:
    """Ultralytics' own file, kept where torch keeps its downloads."""
    prepare_ultralytics()
    from ultralytics.utils.downloads import attempt_download_asset  # noqa: PLC0415 - reads the environment

    path = Path(torch.hub.get_dir()) / "checkpoints" / f"{kind}.pt"
    try:
        attempt_download_asset(path, retry=0, progress=False)
    except (OSError, MemoryError) as error:
        raise SpecError(
            f"key network.weights: {kind}.pt cannot be downloaded from Ultralytics",
            remedy="download it where there is a network and name the file, or set weights: none",
        ) from error
    return path


def _tensors(content: bytes, path: Path) -> Mapping[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load(content)
        except (safetensors.SafetensorError, ValueError) as error:
            raise SpecError(f"{path} is no safetensors ({error})", remedy="name a whole file") from error
    if path.suffix != ".pt":
        raise SpecError(
            f"key network.weights: {path} is neither .pt nor .safetensors",
            remedy="name none, simulated, ultralytics, or such a file",
        )
    return _pickled_tensors(content, path)


class _StandIn:
    """Takes the place of every class that a checkpoint names, keeps what it is given, and does nothing."""

    def __new__(cls, *_: object) -> "_StandIn":
        return object.__new__(cls)

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)


def _pickled_tensors(content: bytes, path: Path) -> Mapping[str, torch.Tensor]:
    """Tensors by name of a `.pt`: of a state dict, or of a checkpoint's `ema`, `model` or `state_dict`."""
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content))
        refused = sorted(name for name in named if not name.startswith(_STAND_INS))
        if not refused:
            with _READING, torch.serialization.safe_globals([(_StandIn, name) for name in named]):
                loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile or torn file can raise anything in the unpickler
        raise SpecError(f"{path} cannot be read as tensors ({type(error).__name__})", remedy=_CONVERT) from error
    if refused:
        raise SpecError(f"{path} is refused: it holds {refused[0]} beside its tensors", remedy=_CONVERT)
    inside = [loaded[key] for key in ("ema", "model", "state_dict") if isinstance(loaded, dict) and loaded.get(key)]
    for candidate in (*inside, loaded):
        tensors = dict(_walk(candidate))
        if tensors:
            return tensors
    raise SpecError(f"{path} holds no tensors by name", remedy=_CONVERT)


def _walk(node: object, prefix: str = "") -> list[tuple[str, torch.Tensor]]:
    """Tensors of a mapping, or of a module and the modules in it, by dotted name."""
    if isinstance(node, Mapping):
        return [(str(name), tensor) for name, tensor in node.items() if isinstance(tensor, torch.Tensor)]
    inside = vars(node) if hasattr(node, "__dict__") else {}
    found: list[tuple[str, torch.Tensor]] = []
    for part in ("_parameters", "_buffers"):
        found += [(f"{prefix}{name}", tensor) for name, tensor in _walk(inside.get(part, {}))]
    for name, module in inside.get("_modules", {}).items():
        found += _walk(module, f"{prefix}{name}.")
    return found


def _our_name(name: str) -> str:
    """`model.<block>.<rest>` of Ultralytics as our name; a name of ours stays."""
    match name.removeprefix("model.").split(".", maxsplit=2):
        case ["9", part, rest] if name.startswith("model.") and part in _TENTH_BLOCK:
            return f"{_TENTH_BLOCK[part]}.{rest}"
        case [block, *_] if name.startswith("model.") and block.isdigit():
            return f"blocks.{name.removeprefix('model.')}"
    return name


def _fill(network: Yolo, given: Mapping[str, torch.Tensor], kind: NetworkKind, path: Path) -> tuple[str, ...]:
    """Copy what fits; returns the names that did not, where they may."""
    own = network.state_dict()
    fits = {name: given[name] for name in own if name in given and given[name].shape == own[name].shape}
    skipped = tuple(name for name in own if name not in fits)
    wrong = [name for name in skipped if not name.startswith(_MAY_DIFFER)]
    if wrong:
        raise SpecError(
            f"{path} is not of {kind}: it has no {wrong[0]} of shape {tuple(own[wrong[0]].shape)}",
            remedy="name weights of the same kind of network",
        )
    if not all(bool(torch.isfinite(tensor).all()) for tensor in fits.values()):
        raise SpecError(f"{path} holds weights that are not finite", remedy="name a whole file of a trained network")
    network.load_state_dict(fits, strict=False)
    return skipped
