"""What the project set out to reach with its ensemble of five V and one I, beside what a verification found.

The figures of TensorFlow Lite Micro were measured with the same kind of models (80 % zeros, int8, CMSIS-NN, -O2, QEMU's
instruction counts): 1135 M instructions per window on a Cortex-M4F, 241 M on a Cortex-M55 with its vector unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

from edge_asc.spec import FeatureSpec
from firmware_export.boards.board import KIB
from firmware_export.proof.verify import Result, Verification

MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One line of the comparison; `found` and `wanted` are in the unit. `found` is None if it was not measured."""

    what: str
    unit: str
    tflite_micro: str
    wanted: float
    found: float | None

    @property
    def is_reached(self) -> bool:
        """Whether the figure was measured and is at most what was wanted."""
        return self.found is not None and self.found <= self.wanted


def goals(verification: Verification) -> list[Goal]:
    """The goals for such an export, measured or not: all for the paper's ensemble, some for a single member, that of
    the front end for other numbers of members, and none for other features than the paper's."""
    exported = verification.exported
    if exported.features != FeatureSpec():
        return []
    results = {result.target.name: result for result in verification.results}
    is_ensemble, is_single = len(exported.members) == 6, len(exported.members) == 1
    found: list[Goal] = []
    m4f = results.get("m4f") or results.get("stm32f405")
    if is_ensemble or is_single:
        found.append(Goal(what="RAM, everything", unit="KiB", tflite_micro="545 KB arena",
                          wanted=64 if is_ensemble else 48, found=m4f.ram_bytes / KIB if m4f else None))
    if is_ensemble:
        found += [Goal(what="flash, weights and tables", unit="KiB", tflite_micro="700 KB", wanted=210,
                       found=m4f.tables_bytes / KIB if m4f else None),
                  Goal(what="flash, everything", unit="KiB", tflite_micro="760 KB", wanted=256,
                       found=m4f.flash_bytes / KIB if m4f else None)]
    found.append(Goal(what="front end on Cortex-M4F, per second of audio", unit="M instructions", tflite_micro="",
                      wanted=8, found=m4f.frontend_instructions_per_s / MILLION if _is_counted(m4f) else None))
    if is_ensemble:
        found += [_instructions(m4f, "Cortex-M4F", tflite_micro="1135", wanted=290),
                  _instructions(results.get("m55"), "Cortex-M55", tflite_micro="241", wanted=120)]
    return found


def _is_counted(result: Result | None) -> TypeGuard[Result]:
    return result is not None and bool(result.member_instructions)


def _instructions(result: Result | None, core: str, *, tflite_micro: str, wanted: float) -> Goal:
    return Goal(what=f"ensemble on {core}, per window", unit="M instructions", tflite_micro=tflite_micro,
                wanted=wanted, found=result.ensemble_instructions / MILLION if _is_counted(result) else None)


def missed_goals(verification: Verification) -> list[str]:
    """Every goal that was not reached, and every one that could not be judged, in words."""
    wanted = goals(verification)
    if not wanted:
        return ["there are no goals to reach: they are for the paper's features"]
    return [f"{goal.what}: {'not measured' if goal.found is None else f'{goal.found:.1f} {goal.unit}'}, "
            f"the goal is {goal.wanted:g}" for goal in wanted if not goal.is_reached]


def goals_table(verification: Verification) -> str:
    """Lines of text, of what was measured; empty if there is nothing to compare."""
    found = [(goal, goal.found) for goal in goals(verification) if goal.found is not None]
    if not found:
        return ""
    rows = [("", "TFLite Micro", "goal", "found", "")]
    rows += [(f"{goal.what}, {goal.unit}", goal.tflite_micro, f"{goal.wanted:g}", f"{value:.1f}",
              "reached" if goal.is_reached else "NOT reached") for goal, value in found]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join([f"{row[0]:<{widths[0]}}", *map(str.rjust, row[1:4], widths[1:]), row[4]]).rstrip()
                     for row in rows)
