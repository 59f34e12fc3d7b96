"""Keeps XNNPACK from computing int8 networks on the matrix unit (AMX) of recent x86 servers.

Its AMX kernels work on tiles of 16 x 64. Networks with 12 to 32 channels leave most of a tile empty and ran 2.7 times
slower than on the kernels that XNNPACK takes elsewhere. There is no switch; but a process must ask Linux for AMX, and
Linux refuses while a thread has an alternate signal stack too small for the tiles (arch/x86, ARCH_REQ_XCOMP_PERM).
XNNPACK asks once, when its first delegate is made.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
import sys
from collections.abc import Iterator

_TOO_SMALL_BYTES = 4096  # at least MINSIGSTKSZ (2048), and less than the 8 KiB of tiles


class _Stack(ctypes.Structure):
    """stack_t of signal.h."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextlib.contextmanager
def amx_refused() -> Iterator[None]:
    """Within the block a first request for AMX fails; the signal stack is put back afterwards.

    Does nothing on other machines than x86-64 Linux, and where the process has AMX already.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        yield
        return
    libc = ctypes.CDLL(None)
    memory = ctypes.create_string_buffer(_TOO_SMALL_BYTES)
    small, before = _Stack(ctypes.addressof(memory), 0, len(memory)), _Stack()
    if libc.sigaltstack(ctypes.byref(small), ctypes.byref(before)) != 0:
        yield
        return
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)
