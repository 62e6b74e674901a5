"""What a flow is told with: values only, without NiFi's own names of fields."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

NIFI_VERSION = "2.9.0"
RETRIES = 10_000  # with a pause that doubles, from 1 s to 30 s: about three days and a half


class Place(NamedTuple):
    """On the canvas, in NiFi's pixels; x to the right, y down."""

    x: int
    y: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """Where NiFi finds a type; the version is that which the flows were tried with."""

    group: str
    artifact: str
    version: str


def nar(artifact: str) -> Bundle:
    """One of NiFi's own bundles."""
    return Bundle(group="org.apache.nifi", artifact=artifact, version=NIFI_VERSION)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One value that a plant sets; a sensitive one never stands in a file."""

    name: str
    description: str
    value: str | None = None  # None: not set
    sensitive: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """A controller service; a property whose value is a Service refers to it."""

    name: str
    type: str
    bundle: Bundle
    apis: Mapping[str, Bundle]  # interface -> where NiFi finds that
    properties: Mapping[str, "str | Service"] = field(default_factory=dict)
    sensitive: frozenset[str] = frozenset()  # names of properties


@dataclass(frozen=True, kw_only=True, slots=True)
class Processor:
    """A processor; a property whose value is a Service refers to it."""

    name: str
    type: str
    bundle: Bundle
    place: Place
    comments: str
    properties: Mapping[str, "str | Service"] = field(default_factory=dict)
    sensitive: frozenset[str] = frozenset()  # names of properties
    dynamic: frozenset[str] = frozenset()  # names of properties that its type does not know
    ended: frozenset[str] = frozenset()  # relationships that NiFi terminates
    retried: frozenset[str] = frozenset()  # relationships that are tried again before a FlowFile leaves by them
    every: str = "0 sec"  # run schedule
    tasks: int = 1  # concurrent tasks
    one_node: bool = False  # in a cluster on the primary node only


@dataclass(frozen=True, slots=True)
class Funnel:
    """Where FlowFiles wait for a person; NiFi's funnels have no name, ours is for the connections."""

    name: str
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """A note on the canvas."""

    text: str
    place: Place
    width: int
    height: int
    color: str = "#fff7d7"
    font_px: int = 14


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """A queue between two parts; NiFi stops the source while it holds more than `most` FlowFiles or `most_size`."""

    source: Processor
    relationships: tuple[str, ...]
    to: Processor | Funnel
    most: int = 1000
    most_size: str = "1 GB"
    expires: str = "0 sec"  # FlowFiles that are older are dropped; 0: never
    in_order: bool = False  # first in, first out; else NiFi takes what it reads fastest
    bends: tuple[Place, ...] = ()
    label_at: int = 0  # the bend that its label lies on; without bends, the middle


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """One process group."""

    key: str  # stable: the identifiers in NiFi follow from it
    name: str  # as people see it
    comments: str
    processors: tuple[Processor, ...]
    connections: tuple[Connection, ...]
    funnels: tuple[Funnel, ...] = ()
    services: tuple[Service, ...] = ()
    labels: tuple[Label, ...] = ()
    parameters: tuple[Parameter, ...] = ()
