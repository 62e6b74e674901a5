"""Training of networks; importing it imports torch, so the serving side never does."""

from models.training.calibration import class_weights
from models.training.coils import Background, Epoch, LabelledCoils, Trained
from models.training.fit import fit
from models.training.scoring import log_odds

__all__ = ["Background", "Epoch", "LabelledCoils", "Trained", "class_weights", "fit", "log_odds"]
