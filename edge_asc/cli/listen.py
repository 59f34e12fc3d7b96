"""`edge-asc listen`: the scene of a microphone, a file or a stream, event by event."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from edge_asc.cli.options import ensemble_options, load, note
from edge_asc.errors import InputError

if TYPE_CHECKING:
    from edge_asc.listen.config import Config
    from edge_asc.listen.events import Block
    from edge_asc.listen.sinks import Writer


# Option -> setting of the configuration that it overrides when it is given.
_SETTINGS = {
    "device": "microphone.device", "hop_s": "listen.hop_s", "bundle_path": "listen.bundle", "variant": "listen.variant",
    "engine": "listen.engine", "public_key": "listen.public_key", "n_threads": "listen.n_threads",
    "smooth_s": "decide.smooth_s", "mean_of": "decide.mean_of", "enter": "decide.enter", "leave": "decide.leave",
    "min_hold_s": "decide.min_hold_s", "unknown_below": "decide.unknown_below",
    "unknown_entropy": "decide.unknown_entropy",
}


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
@click.option("--config", "config_path", type=click.Path(), metavar="FILE", help="A configuration (TOML): MQTT, "
              "metrics and all the rest; see `edge-asc config`. Options given here override it.")
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="Override one setting of the configuration, "
              "such as mqtt.host=localhost.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for a program.")
@click.option("--view", "as_view", is_flag=True, help="A live picture: bars, level, spectrogram.")
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
@click.pass_context
def command(context: click.Context, /, mic: bool, device: str | None, path: str | None, realtime: bool,
            from_stdin: bool, verbose: bool, config_path: str | None, given: tuple[str, ...], as_json: bool,
            as_view: bool, on_change: bool, **options: Any) -> None:
    """Name the scene of the last window of sound, each hop, from a microphone, a file or a stream.

    \b
    edge-asc listen --mic
    edge-asc listen --wav street.wav --json
    edge-asc listen --mic --config node.toml
    arecord -t raw -f S16_LE -r 48000 | edge-asc listen --stdin --rate 48000
    """
    mic = mic or device is not None
    if mic + (path is not None) + from_stdin != 1:
        raise click.UsageError("Choose one of --mic, --wav FILE and --stdin.")
    if realtime and path is None:
        raise click.UsageError("--realtime goes with --wav FILE.")
    if as_json and as_view:
        raise click.UsageError("Choose one of --json and --view.")

    from edge_asc.listen.config import load_config
    from edge_asc.listen.toml_tree import parse_settings

    settings = {**parse_settings(given), **_given_options(context)}
    if as_json or as_view:
        settings["terminal.format"] = "json" if as_json else "view"
    if on_change:
        settings["decide.each_hop"] = False
    config = load_config(config_path, settings)
    ensemble = load(config.listen.bundle, variant=config.listen.variant, engine=config.listen.engine,
                    n_threads=config.listen.n_threads, public_key=config.listen.public_key, notify=_note_to_systemd)
    if verbose:
        note(ensemble.description)
    source, counts = _source(config, mic=mic, path=path, realtime=realtime, rate_hz=ensemble.features.sample_rate_hz,
                             options=options)
    # systemd's way to say stop, and that of a terminal that is closed. What waits is delivered, and that is success.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, lambda *_: sys.exit(0))

    from edge_asc.listen.node import run_node

    latencies_ms = sorted(run_node(source, ensemble, config, writer=_writer(config), notify=note, more_counts=counts))
    if verbose and latencies_ms:
        note(f"{len(latencies_ms)} windows, latency median {latencies_ms[len(latencies_ms) // 2]:.1f} ms, "
             f"largest {latencies_ms[-1]:.1f} ms")


def _note_to_systemd(message: str) -> None:
    """What is said while networks load: they may be compiled, for longer than the unit's TimeoutStartSec."""
    from edge_asc.listen.health import Notifier

    note(message)
    notifier = Notifier()
    notifier.take_time(message)
    notifier.close()


def _given_options(context: click.Context) -> dict[str, Any]:
    """The options that were really given, as settings."""
    return {setting: context.params[name] for name, setting in _SETTINGS.items()
            if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE}


def _source(config: Config, *, mic: bool, path: str | None, realtime: bool, rate_hz: int,
            options: dict[str, Any]) -> tuple[Iterable[Block], Callable[[], dict[str, int]]]:
    """Where the sound comes from, and what that place counts."""
    if mic:
        from edge_asc.listen.microphone import SteadyMicrophone

        microphone = SteadyMicrophone(config.microphone.device, sample_rate_hz=rate_hz, notify=note)
        return microphone, microphone.counts
    from edge_asc.listen.sources import file_source, pcm_source

    if path is not None:
        return file_source(path, sample_rate_hz=rate_hz, realtime=realtime), dict
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("there is no sound on standard input", found="a terminal" if sys.stdin else "it is closed",
                         wanted="raw PCM from a pipe or a file",
                         fix="As in: arecord -t raw -f S16_LE -r 48000 | edge-asc listen --stdin --rate 48000")
    return pcm_source(sys.stdin.buffer, from_hz=options["rate_hz"] or rate_hz, n_channels=options["n_channels"],
                      pcm_format=options["pcm_format"], sample_rate_hz=rate_hz), dict


def _writer(config: Config) -> Writer | None:
    from edge_asc.listen.sinks.json_lines import JsonLines
    from edge_asc.listen.sinks.text import Text

    if config.terminal.format not in ("json", "text"):
        return None
    if sys.stdout is None:  # Python's answer to a closed descriptor
        raise InputError("standard output is closed", wanted="a place for the events", fix="Redirect it: > events.txt")
    return JsonLines(sys.stdout) if config.terminal.format == "json" else Text(sys.stdout)
