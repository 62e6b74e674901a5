"""What a processor's process writes to NiFi's log."""

import subprocess
import sys

_BREAKS = """
from flows.nifi.processor import hosted

def open_step(properties):
    dsn = properties["Database DSN"]
    raise ValueError("it broke")

one = hosted("assemble_coil", open_step)
one.start({"Database DSN": "postgresql://coilflow:hush@db/coilflow"})
"""


def test_a_stack_trace_in_nifis_log_holds_no_password() -> None:
    done = subprocess.run([sys.executable, "-c", _BREAKS], capture_output=True, text=True, check=True)
    assert "ValueError: it broke" in done.stdout
    assert "hush" not in done.stdout + done.stderr
