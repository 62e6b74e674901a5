"""The SSL context service: it is in a flow where a plant gives stores for TLS, for without any it would be invalid.

Kafka's connection service and NiFi's MQTT processors take an SSLContextService, which has stores alone: the provider
that reads PEM files is none. Our own ReceiveMqtt takes a PEM file, for Python reads no such store.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from flows.nifi.describe.parameters import ref
from flows.nifi.describe.parts import Service, nar

_FILES = {"truststore": "tls.truststore.file", "keystore": "tls.keystore.file"}
_API = nar("nifi-standard-services-api-nar")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """Which stores a plant gives: whom it trusts, and who it is."""

    truststore: bool = False
    keystore: bool = False


PLAIN = Tls()
TRUSTING = Tls(truststore=True)


def tls_of(values: Mapping[str, str | None]) -> Tls:
    """What the parameters' values, by name, ask for."""
    return Tls(**{store: bool(values.get(file)) for store, file in _FILES.items()})


def tls_parameters(tls: Tls) -> tuple[str, ...]:
    """Names of the parameters that the service refers to."""
    return tuple(
        f"tls.{store}.{what}" for store in _FILES if getattr(tls, store) for what in ("file", "type", "password")
    )


def tls_service(tls: Tls) -> Service | None:
    """The service; None where no store is given."""
    stores = [store for store in _FILES if getattr(tls, store)]
    if not stores:
        return None
    properties = {"TLS Protocol": "TLS"}
    for store in stores:
        for property_, parameter in (("Filename", "file"), ("Type", "type"), ("Password", "password")):
            properties[f"{store.capitalize()} {property_}"] = ref(f"tls.{store}.{parameter}")
    return Service(
        name="TLS of the plant",
        type="org.apache.nifi.ssl.StandardSSLContextService",
        bundle=nar("nifi-ssl-context-service-nar"),
        apis=dict.fromkeys(("org.apache.nifi.ssl.SSLContextProvider", "org.apache.nifi.ssl.SSLContextService"), _API),
        properties=properties,
        sensitive=frozenset(f"{store.capitalize()} Password" for store in stores),
    )
