"""Runs `unpack` or `rollback` in forked processes, each killed (SIGKILL) before another line of the code under test.

Usage: kill_points.py JOB.json, which holds {"root": folder with packs, "packs": names, the last one for the action,
"action": "unpack" or "rollback", "swap": false for a file system that cannot swap two names}. Prints one JSON line for
each kill: what stands at root/bundle right afterwards, and after the next call has tidied up.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from edge_asc.bundle import Bundle, packing, replacing, updating
from edge_asc.errors import BundleError

WATCHED = {module.__file__ for module in (updating, replacing)}


def state(folder: Path) -> str | None:
    """Hash of the manifest of a whole bundle, None if nothing is there, `damaged` otherwise."""
    if not folder.exists():
        return None
    try:
        Bundle.load(folder)
    except BundleError:
        return "damaged"
    return hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()[:8]


def killed_before_line(number: int, action: Callable[[], object]) -> bool:
    """Fork, run the action until its `number`-th line. False if it was done before that."""
    child = os.fork()
    if child == 0:
        left = number

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal left
            if frame.f_code.co_filename not in WATCHED:
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        action()
        sys.settrace(None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    root = Path(job["root"])
    place = root / "bundle"
    if not job["swap"]:
        replacing.exchange = lambda one, other: False  # a file system that cannot
        updating.swap_in.__globals__["exchange"] = replacing.exchange
    os.fsync = lambda handle: None  # these kills are of processes, not of machines
    read = {name: packing.read_pack(root / name) for name in job["packs"]}
    updating.read_pack = lambda file, public_key=None: read[Path(file).name]
    actions = {"unpack": lambda: updating.unpack_bundle(root / job["packs"][-1], place),
               "rollback": lambda: updating.rollback_bundle(place)}
    number = 0
    while True:
        number += 1
        for leftover in root.iterdir():
            if leftover.is_dir():
                shutil.rmtree(leftover)
        for pack in job["packs"][:-1]:
            updating.unpack_bundle(root / pack, place)
        if not killed_before_line(number, actions[job["action"]]):
            break
        found = {"at": state(place), "previous": state(root / "bundle.previous")}
        with replacing.alone_in(root):
            updating._settle(place)
        print(json.dumps({**found, "settled": state(place), "settled_previous": state(root / "bundle.previous"),
                          "names": sorted(path.name for path in root.iterdir() if path.is_dir())}))


main()
