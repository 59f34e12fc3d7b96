"""FlatBuffers in both directions, driven by the schema: untrusted bytes -> plain tables -> the fewest bytes.

Reading checks every offset, length and alignment before it follows it, and counts what it has built, so that
a hostile file can neither crash it nor make it work longer than a file of its length deserves. Writing shares
equal tables, vectors and virtual tables, which the format allows and the stock writer does not do.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asc.errors import ModelFileError
from edge_asc.tflite_file.schema import FILE_IDENTIFIER, SCALARS, STRUCT_CODES, TABLES, UNIONS, Field

MAX_FILE_BYTES = 1 << 28
"""Larger files are refused: no model for a device comes near."""


class Table(dict[str, Any]):
    """One table of the schema: its present fields by name. `value()` also answers for absent ones."""

    def __init__(self, kind: str, **fields: Any) -> None:
        super().__init__(fields)
        self.kind = kind

    def value(self, name: str) -> Any:
        """The field, or what its absence means: the schema's default, an empty vector or string, or None."""
        if name in self:
            return self[name]
        field = next(field for field in TABLES[self.kind] if field.name == name)
        if field.kind == "scalar":
            return bool(field.default) if field.of == "bool" else field.default
        if field.kind == "vector":
            return np.zeros(0, SCALARS[field.of])
        return {"string": "", "tables": []}.get(field.kind)

    def copy(self) -> Table:
        """A shallow copy: the fields' values are shared."""
        return Table(self.kind, **self)


def parse(data: bytes) -> Table:
    """The whole file as a tree of tables. A table that the file shares is one object here too.

    Raises:
        ModelFileError: Not a TFLite file, or damaged: an offset, a length, a type or a text that cannot be.
    """
    if len(data) < 16 or data[4:8] != FILE_IDENTIFIER:
        raise ModelFileError("not a TFLite model file", found=f"{len(data)} bytes, {data[4:8]!r} at byte 4",
                             wanted=f"{FILE_IDENTIFIER!r}", fix="Was the file cut off, or is it another format?")
    if len(data) > MAX_FILE_BYTES:
        raise ModelFileError("the model file is too large", found=f"{len(data)} bytes",
                             wanted=f"at most {MAX_FILE_BYTES}")
    reader = _Reader(data)
    return reader.table(reader.offset(0), "Model")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.seen: dict[tuple[int, str], Any] = {}
        # Every entry of a table or of a vector of tables takes four bytes in an honest file.
        self.entries_left = len(data) // 4

    def damaged(self, what: str, at: int) -> ModelFileError:
        return ModelFileError(f"the model file is damaged: {what}", found=f"at byte {at} of {len(self.data)}",
                              fix="Take it again from where it was made.")

    def spend(self, n: int, at: int) -> None:
        self.entries_left -= n
        if self.entries_left < 0:
            raise self.damaged("more entries than the file has room for", at)

    def need(self, at: int, n_bytes: int) -> None:
        if at < 0 or at + n_bytes > len(self.data):
            raise self.damaged("an offset or a length points outside", at)

    def scalar(self, at: int, kind: str) -> Any:
        size = SCALARS[kind].itemsize
        self.need(at, size)
        if at % size:
            raise self.damaged("a value that is not aligned", at)
        value = struct.unpack_from("<" + STRUCT_CODES[kind], self.data, at)[0]
        if kind == "bool":
            if value > 1:
                raise self.damaged("a truth value that is neither 0 nor 1", at)
            return bool(value)
        return value

    def offset(self, at: int) -> int:
        return at + int(self.scalar(at, "u32"))

    def table(self, at: int, kind: str) -> Table:
        key = (at, kind)
        if key in self.seen:
            found: Table = self.seen[key]
            return found
        start = at - int(self.scalar(at, "i32"))
        n_vtable, n_table = int(self.scalar(start, "u16")), int(self.scalar(start + 2, "u16"))
        if n_vtable < 4 or n_vtable % 2 or n_table < 4:
            raise self.damaged(f"an impossible layout of {kind}", at)
        self.need(start, n_vtable)
        self.need(at, n_table)
        self.spend(1, at)
        table = self.seen[key] = Table(kind)
        fields = TABLES[kind]
        entries = struct.unpack_from(f"<{n_vtable // 2 - 2}H", self.data, start + 4)
        for slot, entry in enumerate(entries):
            if entry == 0:
                continue
            if slot >= len(fields):
                raise ModelFileError(f"{kind} has a field that this version does not know", found=f"slot {slot}",
                                     wanted=f"at most {len(fields) - 1}",
                                     fix="Convert the model again with the converter of a known TensorFlow.")
            if entry < 4 or entry + fields[slot].size_bytes > n_table:
                raise self.damaged(f"{kind}.{fields[slot].name} lies outside its table", at)
            value = self.field(at + entry, table, fields, slot)
            if value is not None:
                table[fields[slot].name] = value
        return table

    def field(self, at: int, table: Table, fields: tuple[Field, ...], slot: int) -> Any:
        field = fields[slot]
        if field.kind == "scalar":
            return self.scalar(at, field.of)
        target = self.offset(at)
        if field.kind == "table":
            return self.table(target, field.of)
        if field.kind == "union":
            number = int(table.value(fields[slot - 1].name))
            if number not in UNIONS[field.of]:
                raise ModelFileError(f"{table.kind}.{field.name} is of a kind that is not supported",
                                     found=f"type {number}", wanted=f"one of {sorted(UNIONS[field.of])}")
            return self.table(target, UNIONS[field.of][number])
        key = (target, field.of + field.kind)
        if key not in self.seen:
            self.seen[key] = self.sequence(target, field)
        return self.seen[key]

    def sequence(self, at: int, field: Field) -> Any:
        n = int(self.scalar(at, "u32"))
        if field.kind == "tables":
            self.need(at + 4, 4 * n)
            self.spend(n, at)
            return [self.table(self.offset(at + 4 + 4 * i), field.of) for i in range(n)]
        if field.kind == "string":
            self.need(at + 4, n + 1)
            try:
                return self.data[at + 4: at + 4 + n].decode()
            except UnicodeDecodeError as error:
                raise self.damaged(f"{field.name} is not text", at) from error
        dtype = SCALARS[field.of]
        self.need(at + 4, dtype.itemsize * n)
        if n and (at + 4) % dtype.itemsize:
            raise self.damaged(f"{field.name} is not aligned", at)
        if field.of == "bool":
            dtype = SCALARS["u8"]
        return np.frombuffer(self.data, dtype, n, at + 4)


def serialize(root: Table, *, buffer_alignment_bytes: int = 16) -> bytes:
    """The file of a tree of tables; equal parts stand once.

    Args:
        root: A `Model` table.
        buffer_alignment_bytes: Alignment of `Buffer.data`. 16 is what the schema asks and kernels that read
            weights in place may want; 4 costs nothing where buffers are copied or read by the element.
    """
    writer = _Writer(buffer_alignment_bytes)
    position = writer.table(root)
    return writer.finish(position)


class _Writer:
    """Writes from the end towards the start, as offsets only point forward. Positions count from the end."""

    def __init__(self, buffer_alignment_bytes: int) -> None:
        self.chunks: list[bytes] = []
        self.size = 0
        self.written: dict[object, int] = {}
        self.buffer_alignment_bytes = buffer_alignment_bytes

    def put(self, chunk: bytes, *, alignment: int = 1, after: int = 0) -> int:
        """Place a chunk so that the byte at `after` is aligned. Equal chunks of bytes stand once."""
        pad = -(self.size + len(chunk) - after) % alignment
        self.chunks.append(chunk + bytes(pad))
        self.size += len(chunk) + pad
        return self.size

    def shared(self, chunk: bytes, *, alignment: int, after: int = 0) -> int:
        key = (chunk, alignment, after)
        if key not in self.written:
            self.written[key] = self.put(chunk, alignment=alignment, after=after)
        return self.written[key]

    def vector(self, values: NDArray[Any], dtype: np.dtype[Any], alignment: int) -> int:
        body = np.ascontiguousarray(values, dtype=dtype)
        return self.shared(struct.pack("<I", body.size) + body.tobytes(), alignment=max(4, alignment), after=4)

    def tables(self, items: list[Table]) -> int:
        positions = tuple(self.table(item) for item in reversed(items))[::-1]
        key = ("tables", positions)
        if key not in self.written:
            start = self.size + 4 * len(positions) + (-self.size % 4)
            offsets = [start - 4 * i - position for i, position in enumerate(positions)]
            self.written[key] = self.put(struct.pack(f"<{len(offsets) + 1}I", len(offsets), *offsets), alignment=4)
        return self.written[key]

    def child(self, field: Field, value: Any, kind: str) -> int:
        if field.kind in ("table", "union"):
            return self.table(value)
        if field.kind == "tables":
            return self.tables(value)
        if field.kind == "string":
            text = value.encode()
            return self.shared(struct.pack("<I", len(text)) + text + b"\0", alignment=4)
        dtype = SCALARS["u8" if field.of == "bool" else field.of]
        return self.vector(value, dtype, self.buffer_alignment_bytes if kind == "Buffer" else dtype.itemsize)

    def table(self, table: Table) -> int:
        # (slot, size, value or position of the child), absent and default fields left out
        present: list[tuple[int, Field, Any]] = []
        for slot, field in enumerate(TABLES[table.kind]):
            value = table.get(field.name)
            if value is None or (field.kind == "scalar" and value == field.default):
                continue
            present.append((slot, field, value if field.kind == "scalar" else self.child(field, value, table.kind)))
        key = (table.kind, tuple((slot, value) for slot, _, value in present))
        if key not in self.written:
            self.written[key] = self.place(present)
        return self.written[key]

    def place(self, present: list[tuple[int, Field, Any]]) -> int:
        widest = max([4] + [field.size_bytes for _, field, _ in present])
        entries = [0] * (max([slot for slot, _, _ in present], default=-1) + 1)
        n_table = 4
        for slot, field, _ in sorted(present, key=lambda item: -item[1].size_bytes):
            n_table += -n_table % field.size_bytes
            entries[slot] = n_table
            n_table += field.size_bytes
        position = self.size + n_table + (-(self.size + n_table) % widest)
        body = bytearray(n_table)
        for slot, field, value in present:
            if field.kind == "scalar":
                struct.pack_into("<" + STRUCT_CODES[field.of], body, entries[slot], value)
            else:
                struct.pack_into("<I", body, entries[slot], position - entries[slot] - value)
        vtable = struct.pack(f"<{2 + len(entries)}H", 4 + 2 * len(entries), n_table, *entries)
        vtable_key = (vtable, 2, 0)
        # A new virtual table goes right in front of its first table.
        vtable_position = self.written.get(vtable_key, position + len(vtable))
        struct.pack_into("<i", body, 0, vtable_position - position)
        assert self.put(bytes(body), alignment=widest) == position
        assert self.shared(vtable, alignment=2) == vtable_position
        return position

    def finish(self, root: int) -> bytes:
        n_header = 8
        pad = -(self.size + n_header) % 16
        total = self.size + pad + n_header
        header = struct.pack("<I", total - root) + FILE_IDENTIFIER + bytes(pad)
        return header + b"".join(reversed(self.chunks))
