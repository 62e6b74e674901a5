"""What drift checks watch, in words."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """A watched quantity: its title, its unit where it is no share, and what it tells."""

    title: str
    tells: str
    unit: str = ""
    share: bool = False


_WORDS = {
    "mean_top": Quantity(title="Mean, top face", tells="how far the top face is out of its band, from -1 to 1"),
    "mean_bottom": Quantity(
        title="Mean, bottom face", tells="how far the bottom face is out of its band, from -1 to 1"
    ),
    "in_band": Quantity(title="Within the band", tells="share of the coil within its ordered band", share=True),
    "below": Quantity(title="Below the band", tells="share of the coil with too little zinc", share=True),
    "above": Quantity(title="Above the band", tells="share of the coil with too much zinc", share=True),
    "clipped": Quantity(title="Beyond the limits", tells="share of the coil beyond what the models know", share=True),
    "std": Quantity(title="Restlessness", tells="standard deviation over the coil, on the scale from -1 to 1"),
    "face_correlation": Quantity(title="Faces together", tells="correlation of top and bottom along the coil"),
    "length_m": Quantity(title="Length", tells="length of the strip", unit="m"),
    "observed": Quantity(title="Measured", tells="share of the coil that was measured", share=True),
    "undecided": Quantity(title="Undecided", tells="share of coils that the models did not decide", share=True),
}


def quantity(name: str) -> Quantity:
    """A watched quantity by its name in drift checks; one that is not known stands for itself."""
    member = name.removeprefix("p_nok ")
    if member != name:
        return Quantity(title=f"p(NOK) of {member}", tells=f"what the member {member} says of coils")
    return _WORDS.get(name, Quantity(title=name, tells=""))
