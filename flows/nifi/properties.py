"""Properties of the processors by the names that NiFi shows, and coilflow's settings with them."""

from typing import Literal

from flows.nifi.step import Properties
from schemas.errors import UsageError
from schemas.settings import Settings, load_settings

DATABASE_DSN = "Database DSN"
DATA_DIRECTORY = "Data Directory"
MODE = "Mode"
BATCH_COILS = "Batch Coils"
PLANT = "Plant"
LEASE = "Lease"
CONTENT = "Content"
FORMAT = "Format"
LIMITS_FILE = "Limits File"
BROKER_URI, TOPIC, CLIENT_ID = "Broker URI", "Topic", "Client ID"  # of ReceiveMqtt, as of NiFi's own
USERNAME, PASSWORD, CA_FILE = "Username", "Password", "CA File"

DEFAULT_BATCH_COILS = 100
DEFAULT_LEASE_S = 300.0
LONGEST_LEASE_S = 86_400.0

_SETTINGS = {
    DATABASE_DSN: "database_dsn",
    DATA_DIRECTORY: "data_dir",
    MODE: "mode",
    BATCH_COILS: "batch_coils",
    PLANT: "plant",
}

Content = Literal["events", "assesscoil"]


def settings_from(properties: Properties) -> Settings:
    """Coilflow's own settings (environment, then the file in the data folder); properties that are set win.

    Args:
        properties: of a processor; those that are no settings are passed over.

    Raises:
        UsageError: a setting or a property is wrong; it says which.
    """
    given = {_SETTINGS[name]: text for name in _SETTINGS if (text := _text(properties, name)) is not None}
    return load_settings(given, given_as={setting: f"property {name}" for name, setting in _SETTINGS.items()})


def lease_s_of(properties: Properties) -> float:
    """How long a coil that is on its way through NiFi is not taken again, in seconds.

    Raises:
        UsageError: it is no number of seconds up to a day.
    """
    text = _text(properties, LEASE)
    if text is None:
        return DEFAULT_LEASE_S
    try:
        lease_s = float(text)
    except ValueError:
        lease_s = float("nan")
    if not 0 < lease_s <= LONGEST_LEASE_S:
        raise UsageError(
            f"property {LEASE}: {text!r} is no number of seconds between 0 and {LONGEST_LEASE_S:.0f}",
            remedy="give a number of seconds that is longer than a batch is on its way, e.g. 300",
        )
    return lease_s


def content_of(properties: Properties) -> Content:
    """What FlowFiles hold: events of coils, or the plant's `assesscoil` messages.

    Raises:
        UsageError: it is neither.
    """
    text = _text(properties, CONTENT)
    if text is None or text == "events":
        return "events"
    if text == "assesscoil":
        return "assesscoil"
    raise UsageError(f"property {CONTENT}: {text!r} is unknown", remedy="choose events or assesscoil")


def _text(properties: Properties, name: str) -> str | None:
    return (properties.get(name) or "").strip() or None
