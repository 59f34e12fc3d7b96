"""`edge-asc listen`: the scene of a microphone, a file or a stream, event by event."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from edge_asc.cli.options import ensemble_options, load, note
from edge_asc.errors import InputError

if TYPE_CHECKING:
    from edge_asc.listen.events import Block
    from edge_asc.listen.microphone import Microphone


@click.command(short_help="Name the scene from a microphone, a file or a stream.")
@click.option("--mic", is_flag=True, help="Listen to a microphone.")
@click.option("--device", metavar="ID|NAME", help="Which microphone: a number or a part of a name from "
              "`edge-asc devices`; the system's default otherwise. Implies --mic.")
@click.option("--wav", "path", type=click.Path(), metavar="FILE", help="Listen to a sound file (WAV, FLAC, Ogg, MP3), "
              "as fast as possible.")
@click.option("--realtime", is_flag=True, help="With --wav: at the pace at which it was recorded.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Listen to raw PCM on standard input.")
@click.option("--rate", "rate_hz", type=click.IntRange(min=1), help="With --stdin: its sample rate in Hz; the "
              "bundle's otherwise.")
@click.option("--channels", "n_channels", type=click.IntRange(min=1), default=1, show_default=True,
              help="With --stdin: its interleaved channels.")
@click.option("--format", "pcm_format", type=click.Choice(["s16le", "f32le"]), default="s16le", show_default=True,
              help="With --stdin: its samples.")
@click.option("--hop", "hop_s", type=float, default=1.0, show_default=True, help="Seconds between events.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for a program.")
@click.option("--smooth", "smooth_s", type=float, default=0.0, help="Smooth the probabilities with this time constant "
              "in seconds.")
@click.option("--mean-of", type=int, default=1, help="Take the mean of the last so many answers.")
@click.option("--enter", type=float, default=0.0, help="Probability that a label needs to become the scene.")
@click.option("--leave", type=float, default=1.0, help="Keep the scene while its probability is at least this.")
@click.option("--hold", "min_hold_s", type=float, default=0.0, help="Keep a scene at least so many seconds.")
@click.option("--unknown-below", type=float, default=0.0, help="Say `unknown` below this probability.")
@click.option("--unknown-entropy", type=float, default=1.0, help="Say `unknown` above this entropy, 0 to 1.")
@click.option("--on-change", is_flag=True, help="Speak only when the scene changes.")
@ensemble_options
@click.option("-v", "--verbose", is_flag=True, help="Say what is running, and how fast, on standard error.")
def command(mic: bool, device: str | None, path: str | None, realtime: bool, from_stdin: bool, rate_hz: int | None,
            n_channels: int, pcm_format: str, hop_s: float, as_json: bool, on_change: bool, bundle_path: str | None,
            variant: str | None, runtime: str, n_threads: int, verbose: bool, **rules: Any) -> None:
    """Name the scene of the last window of sound, each hop, from a microphone, a file or a stream.

    \b
    edge-asc listen --mic
    edge-asc listen --wav street.wav --json
    arecord -t raw -f S16_LE -r 48000 | edge-asc listen --stdin --rate 48000
    """
    mic = mic or device is not None
    if mic + (path is not None) + from_stdin != 1:
        raise click.UsageError("Choose one of --mic, --wav FILE and --stdin.")
    if realtime and path is None:
        raise click.UsageError("--realtime goes with --wav FILE.")

    from edge_asc.listen.decide import Decider, DecisionRules

    decider = Decider(DecisionRules(each_hop=not on_change, **rules))
    ensemble = load(bundle_path, variant=variant, runtime=runtime, n_threads=n_threads)
    if verbose:
        note(ensemble.description)
    rate = ensemble.features.sample_rate_hz
    with contextlib.ExitStack() as stack:
        source: Iterable[Block]
        if mic:
            from edge_asc.listen.microphone import Microphone

            source = microphone = stack.enter_context(Microphone(device, sample_rate_hz=rate))
            stack.callback(_report_overflows, microphone)
            note(f"listening to {microphone.description}; first answer after {ensemble.features.window_s:.1f} s")
        elif path is not None:
            from edge_asc.listen.sources import file_source

            source = file_source(path, sample_rate_hz=rate, realtime=realtime)
        else:
            from edge_asc.listen.sources import pcm_source

            source = pcm_source(sys.stdin.buffer, from_hz=rate_hz or rate, n_channels=n_channels,
                                pcm_format=pcm_format, sample_rate_hz=rate)
        _run(source, ensemble, decider, hop_s=hop_s, as_json=as_json, verbose=verbose)


def _report_overflows(microphone: Microphone) -> None:
    if microphone.ring.n_overflows:
        note(f"samples were lost {microphone.ring.n_overflows} times: the machine was too slow, or the driver")


def _run(source: Iterable[Block], ensemble: Any, decider: Any, *, hop_s: float, as_json: bool, verbose: bool) -> None:
    from edge_asc.listen.pipeline import listen
    from edge_asc.listen.sinks import Sink
    from edge_asc.listen.sinks.json_lines import JsonLines
    from edge_asc.listen.sinks.text import Text

    if sys.stdout is None:  # Python's answer to a closed descriptor
        raise InputError("standard output is closed", wanted="a place for the events", fix="Redirect it: > events.txt")
    sink: Sink = JsonLines(sys.stdout) if as_json else Text(sys.stdout)
    latencies_ms: list[float] = []
    for event in listen(source, ensemble, hop_s=hop_s, notify=note):
        if verbose:
            latencies_ms.append(event.latency_ms)
        decision = decider.update(event)
        if decision is not None:
            sink.emit(decision)
    sink.close()
    if latencies_ms:
        latencies_ms.sort()
        note(f"{len(latencies_ms)} windows, latency median {latencies_ms[len(latencies_ms) // 2]:.1f} ms, "
             f"largest {latencies_ms[-1]:.1f} ms")
