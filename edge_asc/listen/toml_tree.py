"""TOML to a tree of frozen dataclasses and back: unknown keys, wrong types and impossible values are named.

The dataclasses are the only list of what may be set; their attribute docstrings become comments.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from edge_asc.errors import InputError

Tree = TypeVar("Tree")
_MAX_FILE_BYTES = 1 << 20
_NAMES: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text in quotes",
                          Path: "a path in quotes", tuple[str, ...]: "a list of texts"}


def read_tree(kind: type[Tree], path: Path | None, settings: Mapping[str, Any] | None = None) -> Tree:
    """The tree that a TOML file describes. Relative paths in it are relative to its folder, in `settings` to where we
    are.

    Args:
        kind: A dataclass whose fields are dataclasses, some of which may be absent.
        path: None for the defaults.
        settings: Values by dotted name, {"listen.hop_s": 2.0}, that override those of the file.

    Raises:
        InputError: The file cannot be read, is no TOML, or has a key or value that `kind` does not allow.
    """
    text = _read(path) if path else ""
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    for name, value in (settings or {}).items():
        *sections, key = name.split(".")
        inner = values
        for section in sections:
            inner = inner.setdefault(section, {})
            if not isinstance(inner, dict):
                raise InputError(f"the command line: {name} cannot be set: {section} is not a table")
        inner[key] = value
    return _build(kind, values, place="", source=_Source(path, text, frozenset(settings or {})))


def parse_settings(texts: Iterable[str]) -> dict[str, Any]:
    """["mqtt.host=localhost", "listen.hop_s=2"] as settings; a value that is no TOML is a text.

    Raises:
        InputError: One of them is not NAME=VALUE.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and "." in name):
            raise InputError("not a setting", found=text, wanted="SECTION.NAME=VALUE")
        try:
            settings[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            settings[name.strip()] = value.strip()
    return settings


def to_toml(tree: Any, *, absent: Mapping[str, Any] | None = None) -> str:
    """TOML text that reads back to the same tree on the same machine, with the docstrings as comments.

    What a field's default factory would give is a comment too: it belongs to this machine, and the text may go to
    others.

    Args:
        tree: A dataclass whose fields are dataclasses, or None where a section is absent.
        absent: For absent sections an example, which is written as a comment.
    """
    parts = []
    for field in dataclasses.fields(tree):
        section = getattr(tree, field.name)
        if section is not None:
            parts.append(_section(field.name, section))
        elif absent and field.name in absent:
            lines = _section(field.name, absent[field.name]).splitlines()
            parts.append("".join(f"{line}\n" if line.startswith("#") else f"#{line}\n" for line in lines))
    return "\n".join(parts)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE_BYTES + 1).decode("utf-8-sig")  # an editor on Windows begins it with a mark
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text") from error
    if len(text) > _MAX_FILE_BYTES:
        raise InputError(f"{path} is too long for a configuration", wanted=f"at most {_MAX_FILE_BYTES} bytes")
    return text


@dataclasses.dataclass(frozen=True)
class _Source:
    path: Path | None
    text: str
    settings: frozenset[str]

    def where(self, place: str) -> str:
        """Where a dotted key was set: file and, where it can be found, line."""
        if self.path is None or place in self.settings:
            return "the command line"
        section, _, key = place.rpartition(".")
        current = ""
        for number, line in enumerate(self.text.splitlines(), 1):
            if table := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
                current = table[1]
            if (current == section and re.match(rf"\s*{re.escape(key)}\s*=", line)) or (table and current == place):
                return f"{self.path} line {number}"
        return str(self.path)

    def folder(self, place: str) -> Path:
        """What a relative path at a dotted key is relative to."""
        return Path.cwd() if self.path is None or place in self.settings else self.path.parent


def _build(kind: type[Tree], values: Mapping[str, Any], *, place: str, source: _Source) -> Tree:
    wanted = _types(kind)
    built = {}
    for name, value in values.items():
        inner = f"{place}.{name}" if place else name
        if name not in wanted:
            import difflib

            near = difflib.get_close_matches(name, wanted, n=1, cutoff=0.5)
            raise InputError(f"{source.where(inner)}: unknown setting {inner}",
                             wanted=None if near else ", ".join(wanted),
                             fix=f"Did you mean {near[0]}?" if near else None)
        built[name] = _convert(wanted[name], value, place=inner, source=source)
    return _make(kind, built, where=source.where(place), place=place)


def _make(kind: type[Tree], values: Mapping[str, Any], *, where: str, place: str) -> Tree:
    assert dataclasses.is_dataclass(kind)
    missing = [field.name for field in dataclasses.fields(kind) if field.name not in values
               and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING]
    if missing:
        raise InputError(f"{where}: [{place}] lacks {' and '.join(missing)}")
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _convert(wanted: Any, value: Any, *, place: str, source: _Source) -> Any:
    if any(isinstance(text, str) and "\0" in text for text in (value if isinstance(value, list) else [value])):
        raise InputError(f"{source.where(place)}: a NUL character in {place}", wanted="text")
    options = [option for option in typing.get_args(wanted) if option is not types.NoneType] \
        if isinstance(wanted, types.UnionType) else [wanted]
    for option in options:
        if dataclasses.is_dataclass(option) and isinstance(option, type) and isinstance(value, dict):
            return _build(option, value, place=place, source=source)
        if option is float and type(value) is int:
            return float(value)
        if option is Path and isinstance(value, str) and value:
            return source.folder(place) / _expanded(value, place, source)
        if option == tuple[str, ...] and isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        if type(value) is option:
            return value
    names = [_NAMES.get(option, f"a table [{place}]") for option in options]
    raise InputError(f"{source.where(place)}: wrong kind of value for {place}", found=repr(value)[:80],
                     wanted=" or ".join(names))


def _expanded(value: str, place: str, source: _Source) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError as error:  # ~somebody who does not exist, or ~ for a user without a home
        raise InputError(f"{source.where(place)}: no home folder for {place}", found=value,
                         wanted="a path without ~") from error


def _types(kind: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _section(name: str, section: Any) -> str:
    import textwrap

    comments = dict(_docstrings(type(section)))
    lines = [f"# {comments['']}", f"[{name}]"]
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        lines += [f"# {line}" for line in textwrap.wrap(comments.get(field.name, ""), 110)]
        is_own = field.default_factory is not dataclasses.MISSING and value == field.default_factory()
        lines.append(f"#{field.name} =" if value is None else f"{'#' * is_own}{field.name} = {_literal(value)}")
    return "\n".join(lines) + "\n"


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, (str, Path)):
        # JSON's strings are TOML's basic strings, but for DEL.
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _docstrings(kind: type[Any]) -> Iterator[tuple[str, str]]:
    """The class's first line under "", then each field's docstring under its name."""
    import ast
    import inspect
    import textwrap

    yield "", (kind.__doc__ or "").splitlines()[0]
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)):
            yield field.target.id, " ".join(str(text.value.value).split())
