"""`coilflow nifi install`: our processors in an installation of NiFi."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from console.options import JsonOption
from console.output import out, print_json
from flows.nifi.install import Installed, install, packages_of

HomeOption = Annotated[Path, typer.Option("--nifi-home", metavar="DIR", help="Folder of NiFi, with conf in it.")]


def install_(*, nifi_home: HomeOption, as_json: JsonOption = False) -> int:
    """Lay out coilflow's processors in NiFi, in place of those that are there, and say what its settings need."""
    done = install(nifi_home, packages_of())
    if as_json:
        print_json(_as_object(done))
    else:
        _say(done)
    return 0


def _as_object(done: Installed) -> dict[str, object]:
    return {
        "folder": str(done.folder),
        "packages": str(done.packages),
        "version": done.version,
        "processors": list(done.processors),
        "needs": [asdict(need) for need in done.needs],
    }


def _say(done: Installed) -> None:
    lines = [
        f"coilflow {done.version}: {', '.join(done.processors)}",
        f"in {done.folder}, with the packages of {done.packages}",
    ]
    if done.needs:
        lines.append("conf/nifi.properties needs, and NiFi a restart after it:")
        lines += [f"{need.name}={need.wanted}{_instead(need.found)}" for need in done.needs]
    else:
        lines.append("conf/nifi.properties is as it has to be; restart NiFi where it runs another version of coilflow")
    for line in lines:
        out.print(Text(line), soft_wrap=True)


def _instead(found: str | None) -> str:
    return "" if found is None else f"   (instead of {found})"
