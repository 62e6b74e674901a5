"""The flow definitions, made from the descriptions: `python -m flows.nifi.definitions_of [--check]`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from flows.nifi.definition import Json, definition_of
from flows.nifi.describe.assess_coils import assess_coils
from flows.nifi.describe.model_score import model_score
from flows.nifi.describe.parts import Flow
from flows.nifi.describe.retrain import retrain
from flows.nifi.describe.tls import PLAIN, TRUSTING, Tls

DEFINITIONS = Path(__file__).parent / "definitions"
_INDENT = 1


def flows(tls: Tls = PLAIN) -> dict[str, Flow]:
    """Our flows by their key, those of brokers with TLS of these stores."""
    return {one.key: one for one in (assess_coils(tls), model_score(tls), retrain())}


def definition_files() -> dict[str, str]:
    """File name -> content of every definition, and of those with a truststore."""
    plain, trusting = flows(), flows(TRUSTING)
    found = {f"{key}.json": flow for key, flow in plain.items()}
    found |= {f"tls/{key}.json": flow for key, flow in trusting.items() if flow != plain[key]}
    return {name: text_of(definition_of(flow)) for name, flow in found.items()}


def text_of(definition: Json) -> str:
    """A definition as it is committed, a value a line."""
    return json.dumps(definition, indent=_INDENT, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write what differs, or with `--check` only say so; returns 1 where something differed then."""
    parser = argparse.ArgumentParser(prog="python -m flows.nifi.definitions_of", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a file differs")
    check = parser.parse_args(arguments).check
    stale = [name for name, text in definition_files().items() if _committed(DEFINITIONS / name) != text]
    if check:
        for name in stale:
            sys.stderr.write(f"{name} is stale; run python -m flows.nifi.definitions_of\n")
        return 1 if stale else 0
    for name in stale:
        (DEFINITIONS / name).parent.mkdir(exist_ok=True, parents=True)
        (DEFINITIONS / name).write_text(definition_files()[name], encoding="utf-8")
    return 0


def _committed(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
