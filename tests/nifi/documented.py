"""What docs/nifi.md says of the processors, made from the processors themselves."""

from tests.nifi.running import PROCESSORS, load

_FLOW = [
    "ReceiveMqtt",
    "AssembleCoil",
    "NormalizeCoil",
    "ScoreCoil",
    "RecordVerdict",
    "SampleForReview",
    "JoinFeedback",
    "ScoreModels",
]


def property_table() -> str:
    """A row a property: default, where it may be an expression, meaning, and which processors have it."""
    rows: dict[str, tuple[str, str, str]] = {}
    having: dict[str, list[str]] = {}
    for name in _FLOW:
        for one in load(PROCESSORS / f"{name}.py")().getPropertyDescriptors():
            default = one.defaultValue or ""
            choices = f" ({', '.join(one.allowableValues)})" if one.allowableValues else ""
            scope = "sensitive; " if one.sensitive else ""
            scope += "environment" if one.expressionLanguageScope.name == "ENVIRONMENT" else "none"
            rows[one.name] = (f"{default}{choices}".strip(), scope, one.description)
            having.setdefault(one.name, []).append(name)
    head = "| property | default (choices) | expressions | meaning | of |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| `{name}` | {default} | {scope} | {text} | {', '.join(having[name])} |\n"
        for name, (default, scope, text) in rows.items()
    )


def relationship_table() -> str:
    """A row a relationship of each processor; `failure` and `original` are NiFi's own."""
    head = "| processor | relationship | what goes there |\n|---|---|---|\n"
    rows = []
    for name in _FLOW:
        for one in load(PROCESSORS / f"{name}.py")().getRelationships():
            ended = " Ended unless connected." if one.auto_terminated else ""
            rows.append(f"| {name} | `{one.name}` | {one.description}{ended} |\n")
    return head + "".join(rows)
