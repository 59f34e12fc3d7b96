"""AMX stays off in a process that runs members, and the signal stack is as it was."""

from __future__ import annotations

import platform
import subprocess
import sys

from tests.program import BUNDLE, environment

# arch_prctl: 0x1022 asks which states a process may use, 0x1023 requests one; number 18 is the tiles.
CODE = f"""
import ctypes, faulthandler
from edge_asc.bundle import Bundle
from edge_asc.runtime import load_ensemble
from edge_asc.runtime.amx import _Stack, amx_refused
libc = ctypes.CDLL(None)

def stack():
    found = _Stack()
    libc.sigaltstack(None, ctypes.byref(found))
    return found.sp, found.flags, found.size

def permitted():
    mask = ctypes.c_uint64()
    libc.syscall(158, 0x1022, ctypes.byref(mask))
    return mask.value

faulthandler.enable()
before = stack()
with amx_refused():
    assert stack() != before
    assert libc.syscall(158, 0x1023, 18) != 0, "refused"
assert stack() == before, "put back"
load_ensemble(Bundle.load({str(BUNDLE)!r}), variant="int8-dense")
assert not permitted() >> 18 & 1, "XNNPACK did not get it"
assert stack() == before
"""


def test_members_run_without_amx() -> None:
    if platform.machine() != "x86_64":
        from edge_asc.runtime.amx import amx_refused

        with amx_refused():
            return
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr
