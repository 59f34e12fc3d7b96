"""Bytes of flash and RAM, and sizes of symbols, read from a linked 32-bit ELF file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from edge_asc.errors import VerificationError

_ALLOCATED, _WRITABLE, _NO_BITS, _SYMBOLS = 2, 1, 8, 2


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What a linked program occupies."""

    flash_bytes: int
    """Code, constants and the first values of variables."""
    static_ram_bytes: int
    """Variables, without the stack."""
    symbols: dict[str, int]
    """Size of every named function and object, in bytes."""


def footprint(path: Path) -> Footprint:
    """Read a little-endian 32-bit ELF file.

    Raises:
        VerificationError: The file is something else.
    """
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x01\x01":
        raise VerificationError(f"{path} is not a 32-bit little-endian ELF file")
    table, entry_bytes, n_sections = struct.unpack_from("<I10xHH", data, 32)
    sections = [struct.unpack_from("<10I", data, table + i * entry_bytes) for i in range(n_sections)]
    flash = ram = 0
    symbols: dict[str, int] = {}
    for _, kind, flags, _, offset, size, link, _, _, _ in sections:
        if flags & _ALLOCATED:
            flash += size if kind != _NO_BITS else 0
            ram += size if flags & _WRITABLE else 0
        if kind == _SYMBOLS:
            names = sections[link][4]
            for at in range(offset, offset + size, 16):
                name_at, _, n_bytes = struct.unpack_from("<III", data, at)
                if n_bytes:
                    name = data[names + name_at : data.index(b"\0", names + name_at)].decode()
                    symbols[name] = symbols.get(name, 0) + n_bytes
    return Footprint(flash_bytes=flash, static_ram_bytes=ram, symbols=symbols)
