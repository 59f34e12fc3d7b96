"""What the project set out to reach with its ensemble of five V and one I, beside what a verification found.

The figures of TensorFlow Lite Micro were measured with the same kind of models (80 % zeros, int8, CMSIS-NN, -O2, QEMU's
instruction counts): 1135 M instructions per window on a Cortex-M4F, 241 M on a Cortex-M55 with its vector unit.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_asc.spec import FeatureSpec
from firmware_export.boards.board import KIB
from firmware_export.proof.verify import Result, Verification

MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One line of the comparison; `found` and `wanted` are in the unit."""

    what: str
    unit: str
    tflite_micro: str
    wanted: float
    found: float

    @property
    def is_reached(self) -> bool:
        """Whether the figure is at most what was wanted."""
        return self.found <= self.wanted


def goals(verification: Verification) -> list[Goal]:
    """The goals that this verification can judge: none for other sizes than the paper's ensemble or single V."""
    exported = verification.exported
    if exported.features != FeatureSpec():
        return []
    results = {result.target.name: result for result in verification.results}
    is_ensemble, is_single = len(exported.members) == 6, len(exported.members) == 1
    found: list[Goal] = []
    m4f = results.get("m4f") or results.get("stm32f405")
    if m4f and (is_ensemble or is_single):
        found.append(Goal(what="RAM, everything", unit="KiB", tflite_micro="545 KB arena",
                          wanted=64 if is_ensemble else 48, found=m4f.ram_bytes / KIB))
    if m4f and is_ensemble:
        found += [Goal(what="flash, weights and tables", unit="KiB", tflite_micro="700 KB", wanted=210,
                       found=m4f.tables_bytes / KIB),
                  Goal(what="flash, everything", unit="KiB", tflite_micro="760 KB", wanted=256,
                       found=m4f.flash_bytes / KIB)]
    if m4f and m4f.member_instructions:
        found.append(Goal(what="front end on Cortex-M4F, per second of audio", unit="M instructions", tflite_micro="",
                          wanted=8, found=m4f.frontend_instructions_per_s / MILLION))
    if is_ensemble:
        found += _instructions(m4f, "Cortex-M4F", tflite_micro="1135", wanted=290)
        found += _instructions(results.get("m55"), "Cortex-M55", tflite_micro="241", wanted=120)
    return found


def _instructions(result: Result | None, core: str, *, tflite_micro: str, wanted: float) -> list[Goal]:
    if result is None or not result.member_instructions:
        return []
    return [Goal(what=f"ensemble on {core}, per window", unit="M instructions", tflite_micro=tflite_micro,
                 wanted=wanted, found=result.ensemble_instructions / MILLION)]


def missed_goals(verification: Verification) -> list[str]:
    """Every goal that was not reached, in words."""
    return [f"{goal.what}: {goal.found:.1f} {goal.unit}, the goal is {goal.wanted:g}"
            for goal in goals(verification) if not goal.is_reached]


def goals_table(verification: Verification) -> str:
    """Lines of text; empty if there is nothing to compare."""
    found = goals(verification)
    if not found:
        return ""
    rows = [("", "TFLite Micro", "goal", "found", "")]
    rows += [(f"{goal.what}, {goal.unit}", goal.tflite_micro, f"{goal.wanted:g}", f"{goal.found:.1f}",
              "reached" if goal.is_reached else "NOT reached") for goal in found]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join([f"{row[0]:<{widths[0]}}", *map(str.rjust, row[1:4], widths[1:]), row[4]]).rstrip()
                     for row in rows)
