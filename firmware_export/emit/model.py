"""Plans and numbers -> C text: only const tables; everything that runs is hand-written in firmware_export/c."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from firmware_export.emit.host_tables import float_rescaling, ready_taps
from firmware_export.emit.step_numbers import (
    StepNumbers,
    accumulator_bounds,
    fills,
    ordered_weights,
    step_numbers,
    tap_distances,
)
from firmware_export.emit.weights import ALL, encode
from firmware_export.network.layers import Conv, Dense, Layer, Network
from firmware_export.planning.lower import WINDOW, Buffer, Step
from firmware_export.planning.plan import Plan, last_reader

_TABLE_TAPS = 96
_ENCODINGS = {"gaps": "ASC_GAPS", "bits": "ASC_BITS", "all": "ASC_ALL"}


@dataclass(frozen=True)
class Member:
    """A network, its plan and the plan's number."""

    network: Network
    plan: Plan
    plan_number: int


def config_header(members: Sequence[Member], *, provenance: str, bundle_id: str = "", for_host: bool = False) -> str:
    """asc_model_config.h: the constants that asc_model.h names.

    Args:
        members: With their plans.
        provenance: A comment to begin with.
        bundle_id: What the program can say it was made from.
        for_host: Whether the tables are those of host_tables.py; `data_source` must be told the same.
    """
    first = members[0].network
    entry, exit_ = first.activations[first.input], first.activations[first.output]
    plans = [member.plan for member in members]
    values: list[tuple[str, object]] = [
        ("N_MEMBERS", len(members)), ("N_LABELS", exit_.shape[0]), ("N_MELS", entry.shape[0]),
        ("N_FRAMES", entry.shape[1]), ("INPUT_SCALE", c_float(entry.scale)), ("INPUT_ZERO_POINT", entry.zero_point),
        ("ARENA_BYTES", max(plan.arena_bytes for plan in plans)),
        ("LARGEST_PIECE", max(max(piece_works(member)) for member in members)),
        ("N_BUFFERS", max(len(plan.program.buffers) for plan in plans)),
        ("N_STEPS", max(len(plan.program.steps) for plan in plans)),
        ("TILE", max(plan.tile for plan in plans)), *([("HOST", 1)] if for_host else []),
        *([("BUNDLE", f'"{bundle_id}"')] if bundle_id else []),
    ]
    lines = [f"#define ASC_MODEL_{name} {value}" for name, value in values]
    return "\n".join([provenance, "#ifndef ASC_MODEL_CONFIG_H", "#define ASC_MODEL_CONFIG_H", "", *lines, "",
                      "#endif", ""])


def data_source(members: Sequence[Member], *, labels: Sequence[str], provenance: str, for_host: bool = False) -> str:
    """asc_model_data.c: plans, weights and quantisation of all members."""
    parts = [provenance, '#include "asc_tables.h"\n']
    for number in sorted({member.plan_number for member in members}):
        parts.append(_plan(next(member for member in members if member.plan_number == number)))
    parts += [_member(index, member, for_host) for index, member in enumerate(members)]
    parts.append("const AscMember asc_model_data[ASC_MODEL_N_MEMBERS] = {\n" + "".join(
        f"    {_member_entry(index, member)},\n" for index, member in enumerate(members)) + "};\n")
    parts.append(_names("asc_model_labels", "ASC_MODEL_N_LABELS", labels))
    parts.append(_names("asc_model_members", "ASC_MODEL_N_MEMBERS", [member.network.name for member in members]))
    return "\n".join(parts)


def c_float(value: np.float32) -> str:
    """The shortest decimal that reads back as the same float."""
    text = str(np.float32(value))
    return text + ("f" if "." in text or "e" in text else ".0f")


def table(kind: str, name: str, values: Iterable[object], *, per_line: int = 24) -> str:
    """A const array. An empty one gets one zero: C has no arrays of nothing."""
    items = [str(value) for value in values] or ["0"]
    lines = [", ".join(items[i:i + per_line]) for i in range(0, len(items), per_line)]
    return f"static const {kind} {name}[{len(items)}] = {{\n    " + ",\n    ".join(lines) + "};\n"


def _names(name: str, length: str, values: Sequence[str]) -> str:
    return f"const char *const {name}[{length}] = {{{', '.join(map(c_string, values))}}};\n"


def c_string(text: str) -> str:
    """A C string of the UTF-8 of any text, in ASCII."""
    plain = string.ascii_letters + string.digits + " _-.,:;()/+&'"
    return '"' + "".join(chr(byte) if chr(byte) in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'


def _plan(member: Member) -> str:
    plan, number = member.plan, member.plan_number
    program, parts, steps = plan.program, [f"/* ---- plan {number}: {member.network.name} and its like ---- */\n"], []
    writers = [sum(step.output == b for step in program.steps) for b in range(len(program.buffers))]
    for index, step in enumerate(program.steps):
        distances, numbers = _tap_table(member, step)
        name = f"asc_plan{number}_taps{index}" if distances else "NULL"
        if distances:
            parts.append(table("uint16_t", name, distances))
        steps.append(_step(step, *numbers, name))
    buffers = [f"{{{b.at}, {b.n_planes}, {b.n_rows}, {b.n_slots}, {b.n_columns}, {b.row_pad}, {b.pad_left}, "
               f"{writers[i]}, {last_reader(program, i)}}}" for i, b in enumerate(program.buffers)]
    parts.append(table("AscBuffer", f"asc_plan{number}_buffers", buffers, per_line=1))
    parts.append(table("AscStep", f"asc_plan{number}_steps", steps, per_line=1))
    parts.append(f"static const AscPlan asc_plan{number} = {{asc_plan{number}_buffers, asc_plan{number}_steps, "
                 f"{len(program.buffers)}, {len(program.steps)}, {plan.acc_values}, {plan.max_taps}}};\n")
    return "\n".join(parts)


def n_distances(member: Member) -> int:
    """Entries of all tables of distances of a plan."""
    return sum(len(_tap_table(member, step)[0]) for step in member.plan.program.steps)


def _tap_table(member: Member, step: Step) -> tuple[list[int], tuple[int, ...]]:
    """Distances of taps, and of AscStep: depthwise, n_taps, n_positions, group_bytes, plane_bytes."""
    if step.kind == "dense":
        source = member.plan.program.buffers[step.inputs[0]]
        n_taps = source.n_planes * source.n_rows
        return [], (0, n_taps, n_taps * step.n_rows, 0, 0)
    layer = member.network.layers[step.layers[0]] if step.layers else None
    if not isinstance(layer, Conv):
        return [], (0, 0, 0, 0, 0)
    source = member.plan.program.buffers[step.inputs[0]]
    per_channel, n_channels = tap_distances(layer, step, source), layer.weights.shape[3]
    plane_bytes = source.plane_bytes * layer.stride[0] * layer.stride[1]
    # The more channels share one table, the less often the unpacking has to move on.
    n_together = max(1, min(n_channels, _TABLE_TAPS // len(per_channel), 0xFFFF // plane_bytes))
    distances = [channel * plane_bytes + tap for channel in range(n_together) for tap in per_channel]
    return distances, (layer.depth_multiplier, len(distances), len(per_channel) * n_channels,
                       n_together * plane_bytes, plane_bytes)


def _step(step: Step, *of_weights: object) -> str:
    first, *rest = ["ASC_WINDOW" if index == WINDOW else str(index) for index in step.inputs]
    numbers = [f"ASC_{step.kind.upper()}", first, *(rest or ["0"]), step.output, step.input_plane, step.first_plane,
               step.n_planes, step.n_rows, step.n_columns, step.chunk, step.reach, step.stride, step.left,
               step.kernel_rows, step.row_stride, step.top, step.pool, *step.phases, *of_weights]
    return "{" + ", ".join(map(str, numbers)) + "}"


def _member(index: int, member: Member, for_host: bool) -> str:
    numbers = step_numbers(member.network, member.plan.program)
    parts, layers = [f"/* ---- member {index}: {member.network.name} ---- */\n"], []
    for s, (step, of) in enumerate(zip(member.plan.program.steps, numbers, strict=True)):
        prefix = f"asc_m{index}_s{s}_"
        if step.layers:
            parts.append(f"/* {', '.join(member.network.layers[i].name for i in step.layers)} */")
        if for_host and step.kind in ("conv", "dense"):
            layer = member.network.layers[step.layers[0]]
            arrays, entry = _host_layer(prefix, of, layer, step, member.plan.program.buffers[step.inputs[0]])
        else:
            arrays, entry = _arrays(prefix, of), _layer(prefix, of, for_host)
        parts += arrays
        layers.append(entry)
    parts.append(table("AscLayer", f"asc_m{index}_layers", layers, per_line=1))
    parts.append(table("uint8_t", f"asc_m{index}_fills", fills(member.network, member.plan.program)))
    return "\n".join(parts)


def _arrays(prefix: str, of: StepNumbers) -> list[str]:
    parts = []
    if of.weights is not None:
        wide = of.weights.count_bytes == 2
        counts = np.ascontiguousarray(of.weights.counts, "<u2").view(np.uint8) if wide else of.weights.counts
        parts += [table("int8_t", prefix + "values", of.weights.values), table("uint8_t", prefix + "counts", counts)]
        if of.weights.positions.size:
            parts.append(table("uint8_t", prefix + "positions", of.weights.positions))
    if of.bias:
        parts.append(table("int32_t", prefix + "bias", of.bias, per_line=12))
    if of.multipliers:
        parts += [table("int32_t", prefix + "multipliers", of.multipliers, per_line=12),
                  table("int8_t", prefix + "shifts", of.shifts)]
    return parts


def _layer(prefix: str, of: StepNumbers, for_host: bool) -> str:
    weights = of.weights
    names = [prefix + "values" if weights else "NULL",
             prefix + "positions" if weights and weights.positions.size else "NULL",
             prefix + "counts" if weights else "NULL", prefix + "bias" if of.bias else "NULL",
             prefix + "multipliers" if of.multipliers else "NULL", prefix + "shifts" if of.multipliers else "NULL"]
    encoding = _ENCODINGS[weights.encoding] if weights else of.encoding
    numbers = [np.count_nonzero(weights.values) if weights else 0, encoding,
               int(weights.count_bytes == 2) if weights else 0, of.zero, of.output_zero, of.low, of.high,
               int(of.narrow)]
    return "{" + ", ".join([*names, *map(str, numbers), *(["NULL", "NULL"] if for_host else [])]) + "}"


def _host_layer(prefix: str, of: StepNumbers, layer: Layer, step: Step, source: Buffer) -> tuple[list[str], str]:
    """Arrays and entry of a convolution with ready taps, or of a fully connected layer with all of its weights."""
    if isinstance(layer, Dense):
        of = replace(of, weights=encode(ordered_weights(layer, source), encoding=ALL))
        return _arrays(prefix, of), _layer(prefix, of, True)
    assert isinstance(layer, Conv)
    taps = ready_taps(layer, step, source)
    parts = [table("int8_t", prefix + "values", taps.values), table("uint32_t", prefix + "distances", taps.distances),
             table("uint8_t", prefix + "counts", np.ascontiguousarray(taps.counts, "<u2").view(np.uint8)),
             *_arrays(prefix, replace(of, weights=None))]
    names = [f"{prefix}{name}" for name in ("values", "counts", "bias", "multipliers", "shifts")]
    factors = "NULL"
    if of.narrow:
        pairs = [float_rescaling(m, s, bound=int(b), zero=of.output_zero, low=of.low, high=of.high) for m, s, b in
                 zip(of.multipliers, of.shifts, accumulator_bounds(layer, of.bias), strict=True)]
        factors = prefix + "factors"
        parts.append(table("float", factors, [c_float(np.float32(x)) for pair in pairs for x in pair], per_line=8))
    numbers = [np.count_nonzero(layer.weights), "ASC_READY", 1, of.zero, of.output_zero, of.low, of.high,
               int(of.narrow)]
    entry = [names[0], "NULL", *names[1:], *map(str, numbers), prefix + "distances", factors]
    return parts, "{" + ", ".join(entry) + "}"


def _member_entry(index: int, member: Member) -> str:
    exit_ = member.network.activations[member.network.output]
    return (f"{{&asc_plan{member.plan_number}, asc_m{index}_layers, asc_m{index}_fills, {work(member)}u, "
            f"{c_float(exit_.scale)}, {exit_.zero_point}}}")


def work(member: Member) -> int:
    """Multiplications of one run, counted as asc_piece_work does; values where there are none."""
    return sum(_work(step, of, step.n_columns) for step, of in _steps(member))


def piece_works(member: Member) -> list[int]:
    """The same of one piece of each step."""
    return [_work(step, of, min(step.chunk, step.n_columns)) for step, of in _steps(member)]


def _steps(member: Member) -> Iterable[tuple[Step, StepNumbers]]:
    return zip(member.plan.program.steps, step_numbers(member.network, member.plan.program), strict=True)


def _work(step: Step, of: StepNumbers, n_columns: int) -> int:
    n_values = int(np.count_nonzero(of.weights.values)) if of.weights is not None else 0
    if step.kind == "conv":
        return n_values * n_columns * step.n_rows * step.pool * step.pool
    if step.kind == "dense":
        return n_values * n_columns // step.n_columns
    return n_columns * step.n_planes * step.n_rows
