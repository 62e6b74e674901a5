"""The mapping file of the settings, where one is named."""

from processors.decode import Decoder, decode_message
from schemas.settings import Settings


def decoder_of(settings: Settings) -> Decoder:
    """How to read the events of this plant."""
    return decode_message
