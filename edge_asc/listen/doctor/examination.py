"""Looks at everything a listening node needs, on the machine itself, and says in plain words what to do about it.

Each check is a function from what was configured to `Finding`s; none of them raises for what it was made to find.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from edge_asc.bundle import Bundle, shipped_bundle
from edge_asc.errors import DeviceError, EdgeAscError
from edge_asc.listen.checking import check_config
from edge_asc.listen.config import Config
from edge_asc.listen.doctor.findings import BAD, GOOD, NOTE, Finding
from edge_asc.listen.doctor.sound import look_at_sound
from edge_asc.listen.microphone import RING_S
from edge_asc.runtime import NATIVE, Ensemble, load_ensemble

HEADROOM = 0.7
"""Share of a hop, and of what the microphone's ring holds, that inference may take: the rest is for the front end, the
sinks and the system."""
_N_TIMED = 15


def examine(config: Config, *, listen_s: float = 3.0) -> Iterator[Finding]:
    """Look at everything, one finding after the other.

    Args:
        config: The node's configuration.
        listen_s: How long to listen to the microphone.
    """
    bundle = None
    try:
        bundle = Bundle.load(config.listen.bundle or shipped_bundle(), public_key=config.listen.public_key)
        names = ", ".join(member.name for member in bundle.members)
        yield Finding(about="bundle", verdict=GOOD, found=f"{bundle.path}: {names}; every file as its manifest "
                      f"says, {bundle.fingerprint}")
    except EdgeAscError as error:
        yield _bad("bundle", error)
    if bundle:
        yield from _guarded("settings", lambda: _settings(config))
        yield from _guarded("engine", lambda: _engine(config, bundle))
    yield from _guarded("microphone", lambda: look_at_sound(config, bundle, listen_s=listen_s))
    yield from _clock()
    yield from _heat()
    yield from _guarded("disk", lambda: _disk(config))
    yield from _guarded("broker", lambda: _broker(config))


def _guarded(about: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except EdgeAscError as error:
        yield _bad(about, error)
    except OSError as error:
        yield Finding(about=about, verdict=BAD, found=f"{error.filename}: {error.strerror}",
                      fix="Run this as the service's user, and let that user get at it.")


def _bad(about: str, error: EdgeAscError) -> Finding:
    found = error.what if error.found is None else f"{error.what}; found {error.found}"
    return Finding(about=about, verdict=BAD, found=found, fix=error.fix or "")


def _settings(config: Config) -> Iterator[Finding]:
    warnings = check_config(config)
    for warning in warnings:
        yield Finding(about="settings", verdict=NOTE, found=warning)
    if not warnings:
        yield Finding(about="settings", verdict=GOOD, found="what they name is there and can be used")


def _engine(config: Config, bundle: Bundle) -> Iterator[Finding]:
    remarks: list[str] = []
    ensemble = load_ensemble(bundle, variant=config.listen.variant, engine=config.listen.engine,
                             n_threads=config.listen.n_threads, notify=remarks.append)
    yield Finding(about="engine", verdict=GOOD, found=ensemble.description)
    if not all(member.uses_delegate or member.engine == NATIVE for member in ensemble.members):
        yield Finding(about="delegate", verdict=NOTE, found="; ".join(remarks) or "not used by every member",
                      fix="Nothing to do if the speed below is good; dense variants run fastest.")
    yield _speed(ensemble, hop_s=config.listen.hop_s)


def _speed(ensemble: Ensemble, *, hop_s: float) -> Finding:
    """How many members of this kind fit into a hop."""
    spec = ensemble.features
    window = np.random.default_rng(0).uniform(-80, 0, (spec.n_mels, spec.n_frames)).astype(np.float32)
    ensemble.probabilities(window)
    times_s = []
    for _ in range(_N_TIMED):
        started_s = time.perf_counter()
        ensemble.probabilities(window)
        times_s.append(time.perf_counter() - started_s)
    # The 90th percentile: a node must keep up on its slow moments too.
    slow_s = float(np.quantile(times_s, 0.9))
    n_members = len(ensemble.members)
    # Sound that arrives meanwhile waits in the ring: with a long hop that is full before the hop is over.
    n_fit = int(HEADROOM * min(hop_s, RING_S) / (slow_s / n_members))
    found = (f"{n_members} members take {slow_s * 1000:.1f} ms of every {hop_s * 1000:.0f} ms; "
             f"{n_fit} such members would fit in real time on one core")
    if n_fit >= n_members:
        return Finding(about="speed", verdict=GOOD, found=found)
    faster = "the int8-dense variant, a bundle with fewer members, or more threads (listen.n_threads)."
    if slow_s <= HEADROOM * RING_S:
        return Finding(about="speed", verdict=BAD, found=found, fix=f"Take a longer listen.hop_s, {faster}")
    return Finding(about="speed", verdict=BAD, found=found, fix=f"Take {faster} A longer hop does not help: while a "
                   f"window is classified, {RING_S:g} s of sound are kept.")


def _clock() -> Iterator[Finding]:
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    fix = "Events carry a wrong wall-clock time until it is set: check the network and `timedatectl`."
    # Before this program was written: a board without a battery that has not reached a time server yet.
    if time.gmtime().tm_year < 2025:
        yield Finding(about="clock", verdict=NOTE, found=now, fix=fix)
    elif (program := shutil.which("timedatectl")) is None:
        yield Finding(about="clock", verdict=GOOD, found=f"{now}; cannot tell whether it is synchronised")
    else:
        said = _output([program, "show", "--property=NTPSynchronized", "--value"])
        known = {"yes": "synchronised", "no": "not synchronised"}.get(said, "cannot tell whether it is synchronised")
        yield Finding(about="clock", verdict=NOTE if said == "no" else GOOD, found=f"{now}; {known}",
                      fix=fix if said == "no" else "")


def _heat() -> Iterator[Finding]:
    sensor = Path("/sys/class/thermal/thermal_zone0/temp")
    if program := shutil.which("vcgencmd"):  # Raspberry Pi's own word on voltage and heat
        said = _output([program, "get_throttled"])
        if said.startswith("throttled=") and said != "throttled=0x0":
            yield Finding(about="power", verdict=NOTE, found=f"the board was slowed down ({said})",
                          fix="Use a stronger power supply, or cool the board.")
            return
    try:
        celsius = int(sensor.read_text()) / 1000
    except (OSError, ValueError):
        return
    verdict = NOTE if celsius > 75 else GOOD
    yield Finding(about="heat", verdict=verdict, found=f"{celsius:.0f} °C",
                  fix="Cool the board: it slows down at 80 °C." if verdict == NOTE else "")


def _disk(config: Config) -> Iterator[Finding]:
    wanted_bytes = (config.mqtt.max_spool_bytes if config.mqtt else 0)
    yield _space(config.node.state_folder, wanted_bytes=wanted_bytes, name="node.state_folder")
    if config.file:
        yield _space(config.file.path.parent, wanted_bytes=config.file.max_bytes * config.file.n_files,
                     name="file.path")


def _space(folder: Path, *, wanted_bytes: int, name: str) -> Finding:
    existing = next(part for part in (folder, *folder.parents) if part.exists())
    free_bytes = shutil.disk_usage(existing).free
    found = f"{folder}: {free_bytes / 2**20:.0f} MB free, up to {wanted_bytes / 2**20:.0f} MB may be used"
    try:
        probe = existing / f".edge-asc-doctor-{time.monotonic_ns()}"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        return Finding(about="disk", verdict=BAD, found=f"{existing}: {error.strerror}",
                       fix=f"Choose another {name}, or run this as the service's user.")
    if free_bytes < wanted_bytes:
        return Finding(about="disk", verdict=NOTE, found=found, fix=f"Free some space, or choose another {name}.")
    return Finding(about="disk", verdict=GOOD, found=found)


def _broker(config: Config) -> Iterator[Finding]:
    if config.mqtt is None:
        yield Finding(about="broker", verdict=GOOD, found="none configured")
        return
    from edge_asc.listen.sinks.mqtt_link import Link

    # Another name than the service's own: a broker closes the older of two connections with one name.
    broker = config.mqtt.broker(client_id=f"edge-asc-doctor-{config.node.name}")
    started_s = time.monotonic()
    try:
        link = Link(broker, will=None, on_progress=lambda: None)
    except DeviceError as error:
        # Events wait on disk until a broker is there: no reason not to listen. One that refuses us will go on so.
        yield _bad("broker", error) if error.found else Finding(about="broker", verdict=NOTE, found=error.what,
                                                                fix=error.fix or "")
        return
    took_ms = (time.monotonic() - started_s) * 1000
    link.close()
    yield Finding(about="broker", verdict=GOOD, found=f"{broker.address} lets us in after {took_ms:.0f} ms")


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
