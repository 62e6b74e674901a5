"""What an installation of NiFi is set to: its `conf/nifi.properties`, read and never written."""

import re
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import UsageError

COMMAND = "nifi.python.command"
SOURCES = "nifi.python.extensions.source.directory."
MOST_PROCESSES = "nifi.python.max.processes"
_FRAMEWORK = "nifi.python.framework.source.directory"


@dataclass(frozen=True, kw_only=True, slots=True)
class NifiHome:
    """A NiFi 2.x with its Python framework."""

    folder: Path
    properties: dict[str, str]

    @property
    def python(self) -> str | None:
        """Command by which it runs Python; None: it runs none."""
        return self.properties.get(COMMAND) or None

    def sources(self) -> list[Path]:
        """Folders in which it looks for Python processors."""
        given = [value for name, value in self.properties.items() if name.startswith(SOURCES) and value]
        return [self.folder / one for one in given]


def read_home(folder: Path) -> NifiHome:
    """Read the NiFi that lies in a folder.

    Raises:
        UsageError: no NiFi with Python lies there.
    """
    home, file = folder.absolute(), folder.absolute() / "conf" / "nifi.properties"
    if not file.is_file():
        raise UsageError(f"{folder} is no NiFi: it has no conf/nifi.properties", remedy="give NiFi's own folder")
    properties = parse_properties(file.read_text(encoding="utf-8", errors="replace"))
    framework = home / properties.get(_FRAMEWORK, "./python/framework")
    if not (framework / "Controller.py").is_file():
        raise UsageError(
            f"the NiFi in {folder} runs no Python processors: {framework} holds no Controller.py",
            remedy="use NiFi 2.x (2.9.0 was tested), with the python folder of its distribution",
        )
    return NifiHome(folder=home, properties=properties)


def parse_properties(text: str) -> dict[str, str]:
    """Read Java's properties, as far as NiFi's file uses them: comments, continued lines, `=` or `:` between."""
    found = {}
    for line in re.sub(r"\\\r?\n[ \t]*", "", text).splitlines():
        name, separator, value = _parted(line.strip())
        if separator and not name.startswith(("#", "!")):
            found[name.rstrip()] = value.strip().replace("\\\\", "\\")
    return found


def _parted(line: str) -> tuple[str, str, str]:
    at = re.search(r"[=:]", line)
    return (line[: at.start()], at[0], line[at.end() :]) if at else (line, "", "")
