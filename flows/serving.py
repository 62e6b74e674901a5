"""The ensemble that the settings name."""

from models.ensemble import Ensemble, load_ensemble
from schemas.settings import Settings


def serving_ensemble(settings: Settings) -> Ensemble:
    """Load the ensemble to serve.

    Raises:
        BundleError: it is missing, altered or not what its manifest says.
    """
    return load_ensemble(settings.ensemble, threads=settings.threads, how=settings.combine)
