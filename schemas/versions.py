"""The version of the published contracts, and how an event names it."""

CONTRACT_VERSION = "1.0.0"  # raised by hand: minor where fields are added, major where old messages would be refused
MAJOR = int(CONTRACT_VERSION.split(".", 1)[0])
URN = "urn:coilflow:"


def dataschema(contract: str) -> str:
    """What an event's `dataschema` says, e.g. urn:coilflow:coil.chunk:1.0.0; an event without one is of version 1."""
    return f"{URN}{contract}:{CONTRACT_VERSION}"


def readable_prefix(contract: str) -> str:
    """How `dataschema` begins for every version that we read: any minor one of our major one."""
    return f"{URN}{contract}:{MAJOR}."


def version_fault(contract: str, schema: object) -> tuple[str, str] | None:
    """(error, remedy) where an event's `dataschema` names a version, or a contract, that we do not read."""
    if schema is None or (isinstance(schema, str) and not schema.startswith(URN)):
        return None  # a schema of the plant's own says nothing of ours
    if not isinstance(schema, str):
        return "dataschema is no text", f"leave it out, or write {dataschema(contract)}"
    if schema.startswith(readable_prefix(contract)):
        return None
    named, _, version = schema.removeprefix(URN).rpartition(":")
    major = version.split(".", 1)[0]
    if named == contract and major.isascii() and major.isdigit():
        newer = len(major) > len(str(MAJOR)) or int(major[:9]) > MAJOR
        return (
            f"the event is of {contract} version {version[:40]}, this coilflow reads {MAJOR}.x",
            f"update coilflow, or send version {MAJOR}" if newer else f"send version {MAJOR}",
        )
    return f"dataschema {schema[:60]!r} is no version of {contract}", f"leave it out, or write {dataschema(contract)}"
