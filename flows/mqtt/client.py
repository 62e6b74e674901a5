"""The one way to build an MQTT client, with the limits and the security that the settings ask for."""

import ssl

import aiomqtt

from schemas.errors import UsageError
from schemas.stream_settings import MqttSettings

_PORT, _TLS_PORT = 1883, 8883  # IANA
_KEEPALIVE_S = 15  # a broker that vanished without a word is noticed in one and a half times this
_TIMEOUT_S = 10.0  # of connecting, subscribing, and of one publication until it is acknowledged
_PENDING_CALLS = 1_000_000  # publications at once before aiomqtt warns of them: a batch is no fault


def mqtt_client(settings: MqttSettings, *, identifier: str, clean_session: bool) -> aiomqtt.Client:
    """Build a client for one connection, to be entered with `async with`; build another to connect again.

    A client that lost its connection would send what it still holds after the next one, beside what the caller repeats.

    Args:
        settings: host, port, user, TLS.
        identifier: client id; two clients with the same one put each other out.
        clean_session: False: the broker keeps subscriptions and unacknowledged messages while we are away.

    Returns:
        MQTT 3.1.1 client, not yet connected; raises aiomqtt.MqttError when it cannot connect.

    Raises:
        UsageError: no host is set, or the CA file cannot be read.
        RuntimeError: no event loop runs.
    """
    if settings.host is None:
        raise UsageError("mqtt.host is not set", remedy="set COILFLOW_MQTT__HOST to the plant's MQTT broker")
    client = aiomqtt.Client(
        settings.host,
        settings.port or (_TLS_PORT if settings.tls else _PORT),
        username=settings.username,
        password=settings.password.get_secret_value() if settings.password else None,
        identifier=identifier,
        clean_session=clean_session,
        timeout=_TIMEOUT_S,
        keepalive=_KEEPALIVE_S,
        tls_context=_tls(settings) if settings.tls else None,
    )
    client.pending_calls_threshold = _PENDING_CALLS
    return client


def _tls(settings: MqttSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.tls_cafile)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"mqtt.tls_cafile {settings.tls_cafile} cannot be read: {error.strerror or error}",
            remedy="give the PEM file of the CA that signed the MQTT broker's certificate",
        ) from error
