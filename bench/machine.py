"""What a measurement was taken on."""

import os
import platform
from pathlib import Path


def machine() -> str:
    """Processor, cores that may be used, Python and the load at the start, in one line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processor = names[0] if names else platform.processor()
    return f"{processor}, {cores} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
