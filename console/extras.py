"""Libraries that some commands need and an installation for serving has not."""

from collections.abc import Sequence
from importlib.util import find_spec

from schemas.errors import UsageError


def refuse_missing(needs: str, libraries: Sequence[str], *, extra: str) -> None:
    """Raise UsageError where a library is not installed.

    Args:
        needs: how the sentence begins, such as "training needs".
        libraries: by the names that they are imported by.
        extra: of coilflow, that brings them.
    """
    missing = [name for name in libraries if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{needs} {', '.join(missing)}, which is not installed", remedy=f"pip install 'coilflow[{extra}]'"
        )
