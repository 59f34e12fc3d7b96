"""Build an export for several targets, run it on the bundle's golden clip and on test windows, compare, and measure.

Nothing is taken on trust: every target's features are compared with NumPy's, every member's output tensor with
TFLite Micro's, the answers from samples with what those outputs give, and sizes come from the linked program.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_asc.bundle import Bundle
from edge_asc.errors import VerificationError
from edge_asc.features import clamp
from firmware_export.emit.levels import quantise_window
from firmware_export.output.exported import Exported
from firmware_export.proof.build import PORTS, TARGETS, Target, compile_program
from firmware_export.proof.elf import footprint
from firmware_export.proof.emulate import Run, build_counter, run_program
from firmware_export.proof.judge import judge_name
from firmware_export.proof.questions import Questions, ask

FLOAT_TOLERANCE_DB, FIXED_TOLERANCE_DB = 0.05, 0.5
ANSWER_TOLERANCE = 0.05
"""How far probabilities may move where a level falls on the other side of a rounding edge."""


@dataclass(kw_only=True)
class Result:
    """What one target did."""

    target: Target
    frame_error_db: float = float("nan")
    """Largest difference of the clamped features to NumPy's."""
    n_windows: int = 0
    n_different: int = 0
    """Output tensors, over windows and members, that are not the judge's bit for bit."""
    answer_error: float = float("nan")
    """Largest difference of the ensemble's probabilities, from samples on, to those of NumPy's features."""
    label: str = ""
    state_bytes: int = 0
    stack_bytes: int = 0
    flash_bytes: int = 0
    """Of the smallest complete firmware. 0: not a bare machine."""
    tables_bytes: int = 0
    """Of these, weights, quantisation and plans of the members."""
    static_ram_bytes: int = 0
    frontend_instructions_per_s: float = 0.0
    """Per second of audio. 0: not counted."""
    member_instructions: dict[str, int] = field(default_factory=dict)
    """Per window."""
    longest_push_instructions: int = 0
    """Of one call of asc_push with 10 ms of sound."""
    longest_step_instructions: int = 0
    """Of one call of asc_step with a budget of 100000 multiplications."""

    @property
    def ensemble_instructions(self) -> int:
        """Per window, all members."""
        return sum(self.member_instructions.values())

    @property
    def ram_bytes(self) -> int:
        """Variables and stack of the smallest complete firmware."""
        return self.static_ram_bytes + self.stack_bytes


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What all targets did."""

    exported: Exported
    judge: str
    wanted_label: str
    results: tuple[Result, ...]

    def problems(self) -> list[str]:
        """Everything that is not as it must be, in sentences; empty if all is well."""
        problems = []
        for result in self.results:
            title = result.target.title
            limit_db = FIXED_TOLERANCE_DB if result.target.fixed_point else FLOAT_TOLERANCE_DB
            if not result.frame_error_db <= limit_db:
                problems.append(f"{title}: features differ by {result.frame_error_db:.3f} dB, allowed {limit_db} dB")
            if result.n_different:
                problems.append(f"{title}: {result.n_different} output tensors of {result.n_windows} windows differ "
                                f"from {self.judge}")
            if not result.answer_error <= ANSWER_TOLERANCE or result.label != self.wanted_label:
                problems.append(f"{title}: answers {result.label!r}, wanted {self.wanted_label!r}; probabilities "
                                f"differ by {result.answer_error:.3f}, allowed {ANSWER_TOLERANCE}")
        return problems


def verify_export(exported: Exported, *, bundle: Bundle, targets: Sequence[str], n_windows: int = 3,
                  n_emulated_windows: int | None = None, count: bool = True,
                  progress: Callable[[str], None] = lambda what: None) -> Verification:
    """Build, run, compare and measure.

    Args:
        exported: What the exporter wrote.
        bundle: What it was exported from.
        targets: Names in `build.TARGETS`.
        n_windows: How many windows each member is run on, the golden one first.
        n_emulated_windows: How many of these on emulated targets, which are slow; by default all.
        count: Whether instructions are counted on emulated targets.
        progress: Called with what is done next.

    Raises:
        VerificationError: Something does not compile or run. What merely differs is in the result's `problems`.
        MissingDependencyError: A compiler or an emulator is not installed.
    """
    progress(f"windows: {n_windows}, answered by {judge_name()}")
    questions = ask(exported, bundle, n_windows)
    with tempfile.TemporaryDirectory(prefix="edge-asc-verify-") as scratch:
        work = Path(scratch)
        questions.samples.tofile(work / "samples.pcm")
        questions.windows.tofile(work / "windows.bin")
        questions.windows[:1].tofile(work / "window.bin")
        counter = build_counter(work) if count and any(TARGETS[name].is_bare for name in targets) else None
        few = questions.first(n_emulated_windows or n_windows)
        results = []
        for target in map(TARGETS.__getitem__, targets):
            progress(f"target: {target.title}")
            results.append(_Examination(exported, target, work, counter).result(few if target.is_bare else questions))
    label = exported.labels[int(questions.probabilities.argmax())]
    return Verification(exported=exported, judge=judge_name(), wanted_label=label, results=tuple(results))


class _Examination:
    """One target: its program, and the questions put to it."""

    def __init__(self, exported: Exported, target: Target, work: Path, counter: Path | None) -> None:
        self.exported, self.target, self.work = exported, target, work
        self.counter = counter if target.is_bare else None
        self.program = self._compile("main.c", target.name)
        self.out = self.work / "out.bin"
        self.found = Result(target=target)

    def result(self, questions: Questions) -> Result:
        self._frames(questions)
        self._windows(questions)
        self._answers(questions)
        if self.counter:
            for index, name in enumerate(self.exported.members):
                run = self._run("windows", "window.bin", str(index), count=True)
                self.found.member_instructions[name] = run.instructions("network")
                longest = run.longest.get("network", 0)
                self.found.longest_step_instructions = max(self.found.longest_step_instructions, longest)
        if self.target.is_bare:
            sizes = footprint(self._compile("footprint.c", f"{self.target.name}-footprint"))
            self.found.flash_bytes, self.found.static_ram_bytes = sizes.flash_bytes, sizes.static_ram_bytes
            tables = filter(self.exported.is_network_table, sizes.symbols)
            self.found.tables_bytes = sum(sizes.symbols[name] for name in tables)
        return self.found

    def _frames(self, questions: Questions) -> None:
        run = self._run("frames", "samples.pcm", count=True)
        spec = self.exported.features
        raw = np.fromfile(self.out, np.int16 if self.target.fixed_point else np.float32).reshape(-1, spec.n_mels).T
        levels_db = raw.astype(np.float32) / np.float32(256 if self.target.fixed_point else 1)
        self.levels = raw
        self.found.frame_error_db = float(np.abs(clamp(levels_db, spec) - questions.features_db).max())
        seconds = questions.samples.size / spec.sample_rate_hz
        self.found.frontend_instructions_per_s = run.instructions("frontend") / seconds
        self.found.longest_push_instructions = run.longest.get("frontend", 0)

    def _windows(self, questions: Questions) -> None:
        outputs = self._outputs(questions.windows)
        self.found.n_windows = len(outputs)
        if questions.outputs is not None:
            self.found.n_different = int((outputs != questions.outputs).any(axis=2).sum())
        else:
            scale, zero_point = self.exported.output_quantization
            real = (outputs[0].astype(np.float32) - zero_point[:, None]) * scale[:, None]
            # What made the bundle may round elsewhere: XNNPACK does, by one step now and then.
            self.found.n_different = int((np.abs(real.mean(axis=0) - questions.probabilities) > 2 * scale.max()).any())

    def _answers(self, questions: Questions) -> None:
        """From samples to a label: the window must be the one that the target's own frames make, and so the outputs."""
        run = self._run("classify", "samples.pcm", str(self.exported.features.n_frames))
        spec, n_members, n_labels = self.exported.features, len(self.exported.members), len(self.exported.labels)
        data = self.out.read_bytes()
        window = np.frombuffer(data, np.int8, spec.n_frames * spec.n_mels).reshape(spec.n_frames, spec.n_mels)
        outputs = np.frombuffer(data, np.int8, n_members * n_labels, window.size).reshape(n_members, n_labels)
        probabilities = np.frombuffer(data, np.float32, n_labels, window.size + outputs.size)
        self.found.answer_error = float(np.abs(probabilities - questions.probabilities).max())
        self.found.label = run.label
        self.found.state_bytes, self.found.stack_bytes = run.numbers["state_bytes"], run.numbers["stack_bytes"]
        if not np.array_equal(window, quantise_window(self.levels, spec, self.exported.input)):
            raise VerificationError(f"{self.target.title}: the members see another window than was pushed")
        if not np.array_equal(self._outputs(window[np.newaxis])[0], outputs):
            raise VerificationError(f"{self.target.title}: members answer otherwise from samples than from a window")

    def _outputs(self, windows: NDArray[np.int8]) -> NDArray[np.int8]:
        windows.tofile(self.work / "windows.bin")
        self._run("windows", "windows.bin", "all")
        return np.fromfile(self.out, np.int8).reshape(len(windows), len(self.exported.members), -1)

    def _run(self, mode: str, file: str, *arguments: str, count: bool = False) -> Run:
        return run_program(self.target, self.program, [mode, file, self.out.name, *arguments], folder=self.work,
                           counter=self.counter if count else None)

    def _compile(self, main: str, name: str) -> Path:
        return compile_verifier(self.exported, self.target, main, self.work / name)


def compile_verifier(exported: Exported, target: Target, main: str, program: Path) -> Path:
    """Compile an export with one of the main programs of ports/verify; returns `program`."""
    verify = PORTS / "verify"
    io = verify / ("io_semihosting.c" if target.is_bare else "io_host.c")
    compile_program(target, [*exported.sources(), verify / main, io], program,
                    include=[exported.source_folder, verify])
    return program
