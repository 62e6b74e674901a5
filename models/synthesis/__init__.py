"""Made-up coils of the rare label; importing it imports torch, so the serving side never does."""

from models.synthesis.synthesize import synthesize

__all__ = ["synthesize"]
