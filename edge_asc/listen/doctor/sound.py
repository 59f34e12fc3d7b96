"""The doctor's look at the microphone: which one, at what rate, and whether it hears what was trained on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from edge_asc.bundle import Bundle
from edge_asc.listen.config import Config
from edge_asc.listen.doctor.findings import BAD, GOOD, NOTE, Finding
from edge_asc.listen.health import Level, Meter
from edge_asc.listen.microphone import Microphone, devices

_SILENCE_DBFS = -150.0
"""Below the last of 24 bits: nothing but zeros."""
_FAR_DB = 12.0
"""Beyond the levels trained on by more than this the answers were seen to fall."""


def look_at_sound(config: Config, bundle: Bundle | None, *, listen_s: float) -> Iterator[Finding]:
    """Listen for a while.

    Raises:
        EdgeAscError: There is no microphone, or it cannot be opened.
    """
    rate_hz = bundle.features.sample_rate_hz if bundle else 48_000
    meter = Meter(sample_rate_hz=rate_hz)
    others = ", ".join(f"{device.index}: {device.name}" for device in devices())
    with Microphone(config.microphone.device, sample_rate_hz=rate_hz) as microphone:
        yield Finding(about="microphone", verdict=GOOD, found=f"{microphone.description} (there are {others})")
        if microphone.device_rate_hz < rate_hz:
            yield Finding(about="rate", verdict=NOTE, found=f"{microphone.device_rate_hz} Hz",
                          fix=f"The bundle was trained on {rate_hz} Hz: what lies above "
                              f"{microphone.device_rate_hz // 2} Hz is missing. Use a microphone that records more.")
        n_samples, started_s = 0, time.monotonic()
        for block in microphone:
            meter.look_at(block)
            n_samples += block.samples.size
            if n_samples >= listen_s * rate_hz:
                break
        took_s = time.monotonic() - started_s
        if microphone.ring.n_overflows:
            yield Finding(about="losses", verdict=NOTE, found=f"sound was lost {microphone.ring.n_overflows} times in "
                          f"{took_s:.1f} s", fix="The machine is too busy, or a USB hub is overloaded.")
    level = meter.level
    assert level
    if level.peak_dbfs < _SILENCE_DBFS:
        yield Finding(about="level", verdict=BAD, found="digital silence: every sample is zero",
                      fix="Unmute the microphone (alsamixer, F4), or choose another: edge-asc devices")
        return
    yield _compare(level, bundle.made if bundle else {})
    yield from _judge(level, meter.counts)


def _judge(level: Level, counts: Mapping[str, int]) -> Iterator[Finding]:
    if counts["clipped_samples"]:
        yield Finding(about="clipping", verdict=NOTE, found=f"{counts['clipped_samples']} samples at full scale",
                      fix="Turn the gain down (alsamixer, F4).")
    if abs(level.dc_offset) > 0.02:
        yield Finding(about="offset", verdict=NOTE, found=f"a constant offset of {level.dc_offset:+.3f} of full scale",
                      fix="The lowest band hears it. Another sound card, or its high-pass filter, helps.")


def _compare(level: Level, made: Mapping[str, Any]) -> Finding:
    found = f"{level.rms_dbfs:.1f} dBFS, peak {level.peak_dbfs:.1f} dBFS"
    trained = made.get("level_dbfs")
    if not isinstance(trained, dict) or not {"p5", "p95"} <= set(trained):
        return Finding(about="level", verdict=GOOD, found=f"{found}; the bundle does not say what it was trained on")
    lowest, highest = float(trained["p5"]), float(trained["p95"])
    found += f"; trained on {lowest:.0f} to {highest:.0f} dBFS"
    if lowest - _FAR_DB <= level.rms_dbfs <= highest + _FAR_DB:
        return Finding(about="level", verdict=GOOD, found=found)
    side, turn = ("quieter", "up") if level.rms_dbfs < lowest else ("louder", "down")
    return Finding(about="level", verdict=NOTE, found=f"{found}: far {side} than that",
                   fix=f"Turn the gain {turn} (alsamixer, F4), unless this place is just {side}.")
