"""The parent's side of a measurement: workers that take turns, round after round, so that ratios hold.

One worker runs while all others wait for a line on a pipe, which costs nothing. Task by task, all workers that have it
follow each other within moments, in an order that changes from round to round.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_asc.bench.contestants import Contestant
from edge_asc.bench.memory import memory_bytes
from edge_asc.errors import EdgeAscError, VerificationError

START_TIMEOUT_S, RUN_TIMEOUT_S = 300.0, 300.0


@dataclass(kw_only=True)
class Times:
    """One task of one worker: repetitions, by round."""

    wall_ms: list[list[float]] = field(default_factory=list)
    cpu_ms: list[list[float]] = field(default_factory=list)

    def all_wall_ms(self) -> list[float]:
        """Every repetition."""
        return [value for values in self.wall_ms for value in values]

    def all_cpu_ms(self) -> list[float]:
        """Every repetition."""
        return [value for values in self.cpu_ms for value in values]


class Worker:
    """A process that has loaded a contestant and checked it. Use as a context.

    Raises:
        VerificationError: It does not answer what was recorded; it is not timed then.
        EdgeAscError: It cannot be started; the message has its own reason.
    """

    def __init__(self, contestant: Contestant) -> None:
        self.contestant, self.name = contestant, contestant.name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed in `close`)
        began_s = time.perf_counter()
        try:
            self._process = subprocess.Popen([*contestant.serve, json.dumps(dict(contestant.settings))],
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
                                             env=contestant.environment())
        except OSError as error:
            self._errors.close()
            raise EdgeAscError(f"{self.name} cannot be started: {error}") from error
        try:
            ready = self._receive(START_TIMEOUT_S)
            if "error" in ready:
                raise EdgeAscError(f"{self.name}: {ready['error']}")
            self.ready_s = time.perf_counter() - began_s
            self.description: str = ready["description"]
            self.tasks: list[str] = ready["tasks"]
            self.checks: list[dict[str, Any]] = ready["checks"]
            self.facts: dict[str, Any] = ready["facts"]
            self._require_right_answers()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def run(self, task: str, *, budget_s: float, n_least: int) -> tuple[list[float], list[float]]:
        """Repetitions of a task: (wall times, CPU times) in ms."""
        assert self._process.stdin
        message = json.dumps({"task": task, "budget_s": budget_s, "n_least": n_least})
        try:
            self._process.stdin.write(message.encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise EdgeAscError(f"{self.name} has ended: {self._reason()}") from error
        answer = self._receive(RUN_TIMEOUT_S)
        return answer["wall_ms"], answer["cpu_ms"]

    def memory_bytes(self) -> dict[str, int]:
        """Of the worker; the program's own is measured apart."""
        return memory_bytes(self._process.pid)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        assert self._process.stdout
        line = read_line(self._process.stdout.fileno(), timeout_s=timeout_s)
        if line is None:
            self._process.kill()
            raise EdgeAscError(f"{self.name} did not answer within {timeout_s:g} s")
        if not line.endswith(b"\n"):
            raise EdgeAscError(f"{self.name} has ended: {self._reason()}")
        message: dict[str, Any] = json.loads(line)
        return message

    def _reason(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "no reason given"

    def _require_right_answers(self) -> None:
        wrong = [check for check in self.checks if not check["ok"]]
        if wrong or not self.checks:
            raise VerificationError(f"{self.name} does not compute what was recorded, so it is not timed",
                                    found="; ".join(f"{c['name']} differs by {c['difference']:.3g}" for c in wrong)
                                    or "nothing that was checked",
                                    wanted="; ".join(f"at most {c['tolerance']:.3g}" for c in wrong) or None)


def start_workers(contestants: Sequence[Contestant],
                  absent: Callable[[str, str], None]) -> contextlib.AbstractContextManager[list[Worker]]:
    """All workers that can be started and answer rightly; the others are reported with their reason."""
    @contextlib.contextmanager
    def manage() -> Iterator[list[Worker]]:
        with contextlib.ExitStack() as stack:
            workers = []
            for each in contestants:
                try:
                    workers.append(stack.enter_context(Worker(each)))
                except EdgeAscError as error:
                    absent(each.name, str(error).removeprefix(f"{each.name}: "))
            yield workers

    return manage()


def take_turns(workers: Sequence[Worker], *, n_rounds: int, budget_s: float, n_least: int = 3,
               tasks: Sequence[str] | None = None,
               after_round: Callable[[int], None] = lambda number: None) -> dict[str, dict[str, Times]]:
    """Worker -> task -> repetitions.

    Args:
        n_rounds: How often everyone has a turn at every task.
        budget_s: Time for one task of one worker in one round.
        n_least: Repetitions in a round, however long they take.
        tasks: Only these; all that anyone has if None.
        after_round: Called with the number of the round that ended.
    """
    names = list(dict.fromkeys(task for worker in workers for task in worker.tasks))
    found: dict[str, dict[str, Times]] = {worker.name: {} for worker in workers}
    for number in range(n_rounds):
        for task in names if tasks is None else tasks:
            having = [worker for worker in workers if task in worker.tasks]
            for worker in turned(having, number):
                wall_ms, cpu_ms = worker.run(task, budget_s=budget_s, n_least=n_least)
                times = found[worker.name].setdefault(task, Times())
                times.wall_ms.append(wall_ms)
                times.cpu_ms.append(cpu_ms)
        after_round(number)
    return found


def turned(items: Sequence[Any], number: int) -> list[Any]:
    """The items beginning with another one each round, every second time backwards: nobody always follows the same."""
    if not items:
        return []
    start = number % len(items)
    order = [*items[start:], *items[:start]]
    return order if number // len(items) % 2 == 0 else order[::-1]


def groups(contestants: Sequence[Contestant], *, size: int) -> list[list[Contestant]]:
    """At most `size` at a time, the first of all in each group: ratios are taken to it."""
    reference, others = contestants[0], contestants[1:]
    step = max(1, size - 1)
    return [[reference, *others[start:start + step]] for start in range(0, len(others), step)] or [[reference]]


def group_size(*, bytes_each: int = 200 << 20, meminfo: Path = Path("/proc/meminfo")) -> int:
    """How many workers fit into half of the memory that is free."""
    try:
        line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return 4
    return max(2, int(line.split()[1]) * 1024 // 2 // bytes_each)


def read_line(descriptor: int, *, timeout_s: float) -> bytes | None:
    """What a pipe holds up to the end of a line, or up to its own end; None if that comes too late.

    For partners that say one line at a time and then wait: nothing is kept back for the next call.
    """
    line, end = bytearray(), time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, end - time.monotonic())):
                return None
            part = os.read(descriptor, 65536)
            if not part:
                break
            line += part
    return bytes(line)

