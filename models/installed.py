"""Which versions are installed, for manifests."""

from importlib.metadata import PackageNotFoundError, version


def installed_version(distribution: str) -> str:
    """The version of a distribution, or that there is none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
