"""A processor's process does not outlive the NiFi that started it."""

import os
import subprocess
import sys

_PROCESSOR = """
import sys, threading
from flows.nifi.processor import hosted
from flows.nifi.sample_for_review import open_step
hosted("sample_for_review", open_step)
hosted("sample_for_review", open_step)
print(sum(one.name == "ends-with-nifi" for one in threading.enumerate()), flush=True)
threading.Event().wait(60)
print("outlived", flush=True)
"""
_NIFI = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {_PROCESSOR!r}]).wait()
"""


def test_a_process_ends_where_nifi_was_killed() -> None:
    with _nifi({"JAVA_PORT": "1"}) as nifi:
        assert nifi.stdout is not None
        assert nifi.stdout.readline() == "1\n", "one watch a process, however many processors are in it"
        nifi.kill()
        assert nifi.stdout.read() == "", "the pipe is closed by the last who holds it: the processor's process"


def test_a_process_that_nifi_did_not_start_is_not_watched() -> None:
    with _nifi({}) as alone:
        assert alone.stdout is not None
        assert alone.stdout.readline() == "0\n"
        subprocess.run(["pkill", "-P", str(alone.pid)], check=True)
        alone.kill()


def _nifi(variables: dict[str, str]) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if name != "JAVA_PORT"}
    return subprocess.Popen([sys.executable, "-c", _NIFI], env=kept | variables, stdout=subprocess.PIPE, text=True)
