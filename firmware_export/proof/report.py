"""A verification as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from firmware_export.boards.board import CORTEX_M4F, KIB, Board
from firmware_export.proof.build import TARGETS
from firmware_export.proof.verify import Result, Verification

_MILLION = 1e6


def verification_table(verification: Verification, *, board: Board | None = None) -> str:
    """What was compared and measured, one column per target.

    Args:
        verification: What `verify_export` returned.
        board: For estimated times.

    Returns:
        Lines of text.
    """
    results = verification.results
    rows: list[tuple[str, list[str]]] = [
        ("features, largest difference to NumPy, dB", [f"{r.frame_error_db:.4f}" for r in results]),
        (f"output tensors that differ from {verification.judge}",
         [f"{r.n_different} of {r.n_windows * len(verification.exported.members)}" for r in results]),
        ("answer from samples on", [r.label for r in results]),
        ("its probabilities, largest difference", [f"{r.answer_error:.4f}" for r in results]),
        ("flash, tables of the networks, KiB", [_kib(r.tables_bytes) for r in results]),
        ("flash, everything, KiB", [_kib(r.flash_bytes) for r in results]),
        ("RAM, state, KiB", [_kib(r.state_bytes) for r in results]),
        ("RAM, stack, bytes", [str(r.stack_bytes or "-") for r in results]),
        ("RAM, everything, KiB", [_kib(r.ram_bytes if r.flash_bytes else 0) for r in results]),
        ("front end, million instructions per second of audio",
         [_millions(r.frontend_instructions_per_s) for r in results]),
    ]
    for name in verification.exported.members:
        rows.append((f"{name}, million instructions per window",
                     [_millions(r.member_instructions.get(name, 0)) for r in results]))
    rows.append(("ensemble, million instructions per window", [_millions(r.ensemble_instructions) for r in results]))
    rows += [("longest call of asc_push with 10 ms, million instructions",
              [_millions(r.longest_push_instructions) for r in results]),
             ("longest call of asc_step with a budget of 100000, million instructions",
              [_millions(r.longest_step_instructions) for r in results])]
    if board:
        rows.append((f"ensemble on {board.name}, ESTIMATE, s per window", [_estimate(r, board) for r in results]))
    measured = [(title, cells) for title, cells in rows if set(cells) != {"-"}]
    return _aligned([("", [result.target.name for result in results]), *measured])


def verification_json(verification: Verification, *, board: Board | None = None) -> dict[str, Any]:
    """The same as plain values; sizes in bytes, counts of instructions. Null: not measured there."""
    def values(result: Result) -> dict[str, Any]:
        measured = bool(result.member_instructions)
        return {
            "title": result.target.title, "feature_error_db": result.frame_error_db, "n_windows": result.n_windows,
            "n_different_outputs": result.n_different, "answer_error": result.answer_error, "label": result.label,
            "flash_bytes": result.flash_bytes or None, "flash_tables_bytes": result.tables_bytes or None,
            "state_bytes": result.state_bytes, "stack_bytes": result.stack_bytes or None,
            "ram_bytes": result.ram_bytes if result.flash_bytes else None,
            "frontend_instructions_per_s": result.frontend_instructions_per_s if measured else None,
            "member_instructions": result.member_instructions or None,
            "ensemble_instructions": result.ensemble_instructions if measured else None,
            "longest_push_instructions": result.longest_push_instructions or None,
            "longest_step_instructions": result.longest_step_instructions or None,
            "estimated_s": board.estimated_s(result.ensemble_instructions) if board and measured else None,
        }

    return {"judge": verification.judge, "board": board.name if board else None, "problems": verification.problems(),
            "targets": {result.target.name: values(result) for result in verification.results}}


def _estimate(result: Result, board: Board) -> str:
    core = result.target.core
    # Cores that no target has are closest to a Cortex-M4F.
    alike = core == (board.core if any(target.core == board.core for target in TARGETS.values()) else CORTEX_M4F)
    if not result.ensemble_instructions or not alike:
        return "-"
    return f"{board.estimated_s(result.ensemble_instructions):.2f}"


def _kib(n_bytes: int) -> str:
    return f"{n_bytes / KIB:.1f}" if n_bytes else "-"


def _millions(n: float) -> str:
    return f"{n / _MILLION:.2f}" if n else "-"


def _aligned(rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    title_width = max(len(title) for title, _ in rows)
    widths = [max(len(cells[i]) for _, cells in rows) for i in range(len(rows[0][1]))]
    lines = []
    for title, cells in rows:
        columns = "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        lines.append(f"{title:<{title_width}}  {columns}".rstrip())
    return "\n".join(lines)
