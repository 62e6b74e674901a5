"""A process whose disk takes small files only: `python -m tests.streams.full_disk FOLDER` writes an ensemble there."""

import json
import resource
import signal
import sys
from pathlib import Path

from models.ensemble import SHIPPED, load_ensemble, write_ensemble
from schemas.errors import BundleError

_MOST_BYTES = 50_000  # manifests fit, networks do not


def main() -> None:
    """Print what became of it, as JSON."""
    target = Path(sys.argv[1])
    serving = load_ensemble(None, threads=1)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_BYTES, _MOST_BYTES))
    failed = None
    try:
        write_ensemble(
            target,
            name="successor",
            version="2",
            members=[SHIPPED / name for name in serving.manifest.members],
            thresholds=serving.manifest.thresholds,
            limits=serving.manifest.limits,
        )
    except BundleError as error:
        failed = str(error)
    left = [str(path) for path in target.parent.iterdir()]
    print(json.dumps({"failed": failed, "left": left, "deviation": max(serving.verify().values())}))  # noqa: T201


if __name__ == "__main__":
    main()
