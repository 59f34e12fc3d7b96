"""Installs the listener as a systemd service: its user, its unit, its configuration. Running it again changes nothing.

With a root folder other than / (an image, a test) only files are written and no command is run.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import edge_asc
from edge_asc.atomic import write_text
from edge_asc.errors import InputError, MissingDependencyError
from edge_asc.listen.config import Config, Node, Terminal, show_config

UNIT = Path("etc/systemd/system/edge-asc.service")
CONFIG = Path("etc/edge-asc/edge-asc.toml")
SYSUSERS = Path("etc/sysusers.d/edge-asc.conf")
NAME = "edge-asc.service"
_PLACE = "/opt/edge-asc"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that installing does."""

    what: str
    """What it is about: a file, or a command."""
    change: str
    """`create`, `change`, `keep`, `run` or `remove`."""


class Installation:
    """A service below a root folder.

    Args:
        root: Where the system's / is.
        user: The service's own user; created where it does not exist.
        python: The interpreter that has edge-asc; this one unless given.
        dry_run: Say what would be done and do nothing.
        on_step: Called before each step.
    """

    def __init__(self, *, root: Path = Path("/"), user: str = "edge-asc", python: Path | None = None,
                 dry_run: bool = False, on_step: Callable[[Step], None] = lambda step: None) -> None:
        if not user.replace("-", "").replace("_", "").isalnum() or user[0].isdigit() or user.startswith("-"):
            raise InputError("not a name for a user", found=user, wanted="letters, digits, '-' and '_'")
        self._root, self._user, self._dry_run, self._on_step = root, user, dry_run, on_step
        # Not resolved: a virtual environment is recognised by the link in its bin folder.
        self._python = (python or Path(sys.executable)).absolute()

    @property
    def is_live(self) -> bool:
        """Whether this is the running system."""
        return self._root.resolve() == Path("/")

    def install(self, *, start: bool = True) -> None:
        """Write what is missing or different, then start the service or start it anew.

        Raises:
            InputError: Not root, or the program lies where the service's user cannot reach it.
            MissingDependencyError: There is no systemd.
        """
        self._check()
        changed = self._put(SYSUSERS, f'u {self._user} - "edge-asc listener" /var/lib/edge-asc\n', replace=True)
        self._run("systemd-sysusers", f"/{SYSUSERS}")
        self._put(CONFIG, self._config_text(), replace=False)
        self._protect(CONFIG)
        changed |= self._put(UNIT, unit_text(user=self._user, python=self._python), replace=True)
        self._run("systemctl", "daemon-reload")
        if start:
            self._run("systemctl", "enable", NAME)
            # Unchanged and running stays as it is; the configuration may be new, and only a person knows.
            self._run("systemctl", "restart" if changed else "start", NAME)

    def uninstall(self) -> None:
        """Stop the service and take its unit away. Configuration, state and user stay."""
        if self.is_live and not self._dry_run:
            _require_root()
        if (self._root / UNIT).exists():
            self._run("systemctl", "disable", "--now", NAME)
        for path in (UNIT, SYSUSERS):
            if (self._root / path).exists():
                self._on_step(Step(what=f"/{path}", change="remove"))
                if not self._dry_run:
                    (self._root / path).unlink()
        self._run("systemctl", "daemon-reload")

    def _check(self) -> None:
        if self._dry_run or not self.is_live:
            return
        _require_root()
        if shutil.which("systemctl") is None:
            raise MissingDependencyError("there is no systemd on this machine",
                                         fix="Have your own supervisor run: edge-asc listen --mic --config FILE")
        if hidden := unreachable_part(self._python):
            raise InputError("the service's own user cannot reach the program", found=f"{hidden} is closed to others",
                             wanted=f"edge-asc in an environment that all may read, such as {_PLACE}",
                             fix=f"Run: sudo python3 -m venv {_PLACE} && sudo {_PLACE}/bin/pip install "
                                 f"'edge-asc[node]' && sudo {_PLACE}/bin/edge-asc service install")

    def _put(self, path: Path, text: str, *, replace: bool) -> bool:
        """Write a file unless it is so already; tells whether it did."""
        where = self._root / path
        old = where.read_bytes() if where.is_file() else None
        keep = old == text.encode() or (old is not None and not replace)
        self._on_step(Step(what=f"/{path}", change="keep" if keep else "create" if old is None else "change"))
        if not keep and not self._dry_run:
            where.parent.mkdir(parents=True, exist_ok=True)
            write_text(where, text)
        return not keep

    def _protect(self, path: Path) -> None:
        """Configuration is for root and the service only: it names hosts and users."""
        if self._dry_run:
            return
        (self._root / path).chmod(0o640)
        if self.is_live:
            shutil.chown(self._root / path, group=self._user)

    def _run(self, *command: str) -> None:
        if not self.is_live:
            return
        self._on_step(Step(what=" ".join(command), change="run"))
        if self._dry_run:
            return
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(f"{' '.join(command)} failed", found=done.stderr.strip() or f"status {done.returncode}",
                             fix="See: journalctl -u edge-asc")

    def _config_text(self) -> str:
        config = Config(node=Node(state_folder=Path("/var/lib/edge-asc")), terminal=Terminal(format="none"))
        return ("# What the edge-asc service listens to and whom it tells. After a change:\n"
                f"#   sudo -u {self._user} {self._python.with_name('edge-asc')} config check /{CONFIG} \\\n"
                f"#     && sudo systemctl restart edge-asc\n\n{show_config(config)}")


def unit_text(*, user: str, python: Path) -> str:
    """The systemd unit."""
    template = (Path(edge_asc.__file__).parent / "assets" / "node" / "edge-asc.service").read_text("utf-8")
    in_home = any(python.is_relative_to(home) for home in ("/home", "/root"))
    quoted = str(python).replace("\\", "\\\\").replace("%", "%%").replace(" ", "\\x20")
    return Template(template).substitute(user=user, python=quoted, config=f"/{CONFIG}",
                                         protect_home="read-only" if in_home else "yes")


def unreachable_part(path: Path) -> Path | None:
    """The first folder on the way to `path` that users other than its owner cannot pass, if there is one."""
    for part in reversed([path, *path.parents, *path.resolve().parents]):
        if part.is_dir() and not part.stat().st_mode & stat.S_IXOTH:
            return part
    return None


def status() -> tuple[bool, Sequence[str]]:
    """Whether the service runs, and what systemd says about it, line by line."""
    if shutil.which("systemctl") is None:
        return False, ["there is no systemd on this machine"]
    done = subprocess.run(["systemctl", "show", NAME, "--property=LoadState,ActiveState,SubState,StatusText,NRestarts,"
                           "ActiveEnterTimestamp"], capture_output=True, text=True, check=False)
    lines = (done.stdout or done.stderr).strip().splitlines()
    return "ActiveState=active" in lines, lines


def _require_root() -> None:
    if os.geteuid() != 0:
        raise InputError("installing a service is root's work", fix="Run the same command with sudo.")
