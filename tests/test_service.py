"""The systemd service: what is written, that systemd accepts it, and that doing it twice does nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_asc.errors import InputError
from edge_asc.listen.config import load_config
from edge_asc.listen.service import CONFIG, UNIT, Installation, Step, unit_text, unreachable_part
from tests.conftest import require_program
from tests.program import edge_asc


def install(root: Path, **settings: object) -> list[Step]:
    steps: list[Step] = []
    Installation(root=root, on_step=steps.append, **settings).install()  # type: ignore[arg-type]
    return steps


def snapshot(root: Path) -> dict[str, tuple[bytes, int, int]]:
    return {str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
            for path in root.rglob("*") if path.is_file()}


def test_install_twice_is_install_once(tmp_path: Path) -> None:
    first = install(tmp_path)
    assert [step.change for step in first] == ["create"] * 3
    before = snapshot(tmp_path)
    assert [step.change for step in install(tmp_path)] == ["keep"] * 3
    assert snapshot(tmp_path) == before
    assert (tmp_path / CONFIG).stat().st_mode & 0o777 == 0o640


def test_what_a_person_wrote_stays_and_the_unit_is_renewed(tmp_path: Path) -> None:
    install(tmp_path)
    (tmp_path / CONFIG).write_text("[listen]\nhop_s = 2  # Stra\xdfe\n", encoding="latin-1")
    (tmp_path / UNIT).write_text("old")
    steps = {step.what: step.change for step in install(tmp_path)}
    assert steps[f"/{CONFIG}"] == "keep"
    assert steps[f"/{UNIT}"] == "change"
    with pytest.raises(InputError, match="not UTF-8"):
        load_config(tmp_path / CONFIG)
    assert b"hop_s = 2" in (tmp_path / CONFIG).read_bytes()


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    steps = install(tmp_path, dry_run=True)
    assert [step.change for step in steps] == ["create"] * 3
    assert list(tmp_path.iterdir()) == []


def test_uninstall_keeps_the_configuration(tmp_path: Path) -> None:
    install(tmp_path)
    Installation(root=tmp_path).uninstall()
    Installation(root=tmp_path).uninstall()
    assert set(snapshot(tmp_path)) == {str(CONFIG)}


def test_installed_configuration_is_complete_and_good(tmp_path: Path) -> None:
    install(tmp_path)
    config = load_config(tmp_path / CONFIG)
    assert config.node.state_folder == Path("/var/lib/edge-asc")
    assert config.terminal.format == "none"
    assert config.mqtt is None
    text = (tmp_path / CONFIG).read_text()
    assert "\n#name = " in text, "one image for many nodes"
    assert f"sudo -u edge-asc {Path(sys.executable).with_name('edge-asc')} config check /{CONFIG}" in text


def test_unit_is_hardened() -> None:
    unit = unit_text(user="edge-asc", python=Path("/opt/edge-asc/bin/python3"))
    for line in ("Type=notify", "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes",
                 "SupplementaryGroups=audio", "StateDirectory=edge-asc", "CacheDirectory=edge-asc", "WatchdogSec=120",
                 "Restart=always", "User=edge-asc", "CapabilityBoundingSet=", "DevicePolicy=closed",
                 "DeviceAllow=char-alsa rw"):
        assert line in unit.splitlines()
    assert "$" not in unit
    assert "ProtectHome=read-only" in unit_text(user="pi", python=Path("/home/pi/venv/bin/python"))


@pytest.mark.tool
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    program = require_program("systemd-analyze")
    unit = tmp_path / "edge-asc.service"
    unit.write_text(unit_text(user="root", python=Path(sys.executable)))
    done = subprocess.run([program, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "edge-asc" in line]) == (0, [])
    # Of 10; a unit without any hardening has 9.6.
    secure = subprocess.run([program, "security", "--offline=true", "--threshold=25", "--no-pager", str(unit)],
                            capture_output=True, text=True, check=False)
    assert secure.returncode == 0, secure.stdout


def test_a_home_that_is_closed_is_noticed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    python = home / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    for folder in (home, home / "venv", python.parent):
        folder.chmod(0o755)
    python.touch()
    above = unreachable_part(tmp_path)  # pytest's own folder is closed to others
    home.chmod(0o700)
    assert unreachable_part(python) == (above or home)
    assert unreachable_part(Path("/usr/bin/env")) is None


@pytest.mark.parametrize("user", ["root; rm", "-x", "1a", "a b"])
def test_odd_users_are_refused(tmp_path: Path, user: str) -> None:
    with pytest.raises(InputError, match="not a name"):
        install(tmp_path, user=user)


def test_verbs(tmp_path: Path) -> None:
    done = edge_asc("service", "install", "--root", tmp_path, "--python", "/opt/edge-asc/bin/python")
    assert done.returncode == 0, done.stderr
    assert "create  /etc/systemd/system/edge-asc.service" in done.stdout
    assert "ExecStart=/opt/edge-asc/bin/python -I" in (tmp_path / UNIT).read_text()
    done = edge_asc("service", "uninstall", "--root", tmp_path)
    assert (done.returncode, "what stays: the user edge-asc; /etc/edge-asc" in done.stdout) == (0, True)
    assert edge_asc("service", "install", "--dry-run").stdout.endswith("nothing was done\n")
    assert edge_asc("service", "status", env={**os.environ, "PATH": ""}).returncode == 1
