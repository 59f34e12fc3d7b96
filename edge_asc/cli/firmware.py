"""`edge-asc firmware`: a bundle as C99 for a microcontroller, and the proof that it computes the same there.

`edge-asc firmware BUNDLE -o DIR` is short for `edge-asc firmware export BUNDLE -o DIR`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edge_asc.cli.options import note

if TYPE_CHECKING:
    from pathlib import Path

    from firmware_export.boards.board import Board
    from firmware_export.output.exported import Exported


class _ExportByDefault(click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["export", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ExportByDefault, short_help="A bundle as C99 for a microcontroller; verify DIR runs it.",
             context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Turn a bundle into C99 for a microcontroller, and check what came out.

    `edge-asc firmware BUNDLE -o DIR` is short for `edge-asc firmware export BUNDLE -o DIR`.
    """


@command.command()
@click.argument("bundle_path", type=click.Path(), metavar="BUNDLE", required=False)
@click.option("-o", "--out", "out_path", type=click.Path(), metavar="DIR", required=True, help="The folder to write.")
@click.option("--board", "board_name", metavar="NAME", help="Refuse what does not fit this board; see `boards`.")
@click.option("--members", metavar="NAMES", help="Some members only, such as v1,i1; all of them otherwise.")
@click.option("--format", "form", type=click.Choice(["c", "tflm"]), default="c", show_default=True,
              help="C that runs by itself, or arrays for TFLite Micro.")
@click.option("--spare-frames", "n_spare_frames", type=click.IntRange(0, 100_000), metavar="N",
              help="Frames that may arrive while a window is being classified. Otherwise as many as the board is "
              "estimated to need, or 64.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for a program.")
def export(bundle_path: str | None, out_path: str, board_name: str | None, members: str | None, form: str,
           n_spare_frames: int | None, as_json: bool) -> None:
    """Write BUNDLE (the one in the box otherwise) as C99 into DIR: samples in, a scene out.

    An earlier export at DIR is replaced once the new one is complete.

    No interpreter, no memory allocation, no operating system. The networks' int8 variant is used. With --board, the
    stripes in which the networks run and the spare frames are chosen for its RAM and clock.
    """
    import json
    import shlex
    import sys
    from pathlib import Path

    from edge_asc.bundle import Bundle, shipped_bundle
    from firmware_export.boards.board import find_board
    from firmware_export.boards.fitting import STACK_BYTES, estimated_s
    from firmware_export.export import export_bundle
    from firmware_export.output.tflm import export_tflm

    bundle = Bundle.load(bundle_path or shipped_bundle())
    board = find_board(board_name) if board_name else None
    chosen = tuple(name.strip() for name in members.split(",")) if members is not None else None
    typed = shlex.join(["edge-asc", *sys.argv[1:]])
    if form == "tflm":
        if board or n_spare_frames is not None:
            raise click.UsageError("--board and --spare-frames lay out C that runs by itself; they do not go with "
                                   "--format tflm.")
        arrays = export_tflm(bundle, Path(out_path), members=chosen, command=typed)
        click.echo(json.dumps(arrays, indent=1) if as_json else
                   f"{out_path}: {arrays['flash_bytes'] / 1024:.1f} KiB of models, "
                   f"{arrays['arena_bytes'] / 1024:.1f} KiB of tensor arena")
        return
    exported = export_bundle(bundle, Path(out_path), members=chosen, board=board, n_spare_frames=n_spare_frames,
                             command=typed)
    sizes = exported.sizes()
    if as_json:
        click.echo(json.dumps(sizes, indent=1))
        return
    click.echo(f"{out_path}: members {' '.join(exported.members)}, variant {exported.variant}")
    click.echo(f"  tables    {sizes['flash_tables_bytes'] / 1024:6.1f} KiB of flash")
    click.echo(f"  AscState  {sizes['ram_state_bytes'] / 1024:6.1f} KiB of RAM, {sizes['n_spare_frames']} spare frames")
    if board:
        seconds = estimated_s(board, sum(sizes["multiplications"].values()))
        click.echo(f"  {board.name}  about {seconds:.1f} s per window: an estimate, nothing was measured there")
        left = board.ram_bytes - sizes["ram_state_bytes"] - STACK_BYTES
        click.echo(f"  left for the rest of the program, {STACK_BYTES >> 10} KiB of stack taken off: "
                   f"{left / 1024:.1f} KiB of RAM")
        spec = exported.features
        if seconds > (room_s := sizes["n_spare_frames"] * spec.hop_length / spec.sample_rate_hz):
            note(f"spare frames take {room_s:.1f} s of sound while {board.name} classifies for {seconds:.1f} s: it "
                 "will answer, with gaps between its windows")
    click.echo(f"Next: edge-asc firmware verify {shlex.quote(out_path)}")


@command.command()
def boards() -> None:
    """List the boards that --board knows."""
    from firmware_export.boards.board import BOARDS

    for board in BOARDS.values():
        click.echo(f"{board.name:18} {board.core.name:11} {board.clock_hz / 1e6:4.0f} MHz "
                   f"{board.flash_bytes >> 10:5} KiB flash {board.ram_bytes >> 10:4} KiB RAM   {board.title}")


@command.command()
@click.argument("folder", type=click.Path(), metavar="DIR")
@click.option("--target", "targets", multiple=True, metavar="NAME", help="host, host-clang, m4f, m7, m55, stm32f405, "
              "m0plus, rv32 or rv32imc; may be repeated. Otherwise all for which the tools are installed.")
@click.option("--bundle", "bundle_path", type=click.Path(), metavar="BUNDLE",
              help="The bundle that DIR was exported from, if it is no longer where it was.")
@click.option("--board", "board_name", metavar="NAME", help="Estimate the time on this board.")
@click.option("--windows", "n_windows", type=click.IntRange(1, 10_000), default=3, show_default=True,
              help="Windows on which every member is compared: of real recordings, noise and mixtures.")
@click.option("--emulated-windows", "n_emulated_windows", type=click.IntRange(1, 10_000), metavar="N",
              help="How many of these on emulated parts, which are slow. Otherwise all.")
@click.option("--goals", "must_reach_goals", is_flag=True,
              help="Exit with 1 also where the paper's ensemble takes more than the project's goals allow, or where "
              "that was not measured: it needs the targets m4f and m55, and counted instructions.")
@click.option("--count/--no-count", default=True, show_default=True, help="Count instructions on emulated targets.")
@click.option("--dataset", "dataset_path", type=click.Path(), metavar="DATASET",
              help="Also run the C on the validation clips of this data set and print its accuracy.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for a program.")
def verify(folder: str, targets: tuple[str, ...], bundle_path: str | None, board_name: str | None, n_windows: int,
           n_emulated_windows: int | None, must_reach_goals: bool, count: bool, dataset_path: str | None,
           as_json: bool) -> None:
    """Build the export in DIR for this machine and for emulated parts, run it, compare and measure.

    Features must agree with NumPy's within 0.05 dB (0.5 dB where the front end computes in integers), every output
    tensor with TFLite Micro's bit for bit, and the answer from samples on with the bundle's. Instructions are
    counted by QEMU; they are not cycles. The exit status is 1 if anything does not agree.
    """
    import json
    import sys
    from pathlib import Path

    from edge_asc.errors import VerificationError
    from firmware_export.boards.board import find_board
    from firmware_export.output.exported import Exported
    from firmware_export.proof.goals import goals_table, missed_goals
    from firmware_export.proof.report import verification_json, verification_table
    from firmware_export.proof.verify import verify_export

    exported = Exported.load(Path(folder))
    board = find_board(board_name) if board_name else None
    bundle = exported.bundle(Path(bundle_path) if bundle_path else None)
    verification = verify_export(exported, bundle=bundle, targets=_targets(targets), n_windows=n_windows,
                                 n_emulated_windows=n_emulated_windows, count=count,
                                 progress=note if sys.stderr.isatty() else lambda what: None)
    values = verification_json(verification, board=board)
    if dataset_path:
        values["dataset"] = _accuracy(exported, Path(dataset_path))
    if as_json:
        click.echo(json.dumps(values, indent=1))
    else:
        _print([verification_table(verification, board=board), goals_table(verification)], board, values.get("dataset"))
    problems = verification.problems() + (missed_goals(verification) if must_reach_goals else [])
    if problems:
        raise VerificationError("; ".join(problems))


def _targets(names: tuple[str, ...]) -> list[str]:
    from edge_asc.errors import InputError
    from firmware_export.proof.build import TARGETS, missing_tools

    if unknown := [name for name in names if name not in TARGETS]:
        raise InputError(f"no target {', '.join(unknown)}", wanted=", ".join(TARGETS))
    if names:
        return list(dict.fromkeys(names))
    for name, target in TARGETS.items():
        if missing := missing_tools(target):
            note(f"target {name} is left out: {' and '.join(missing)} not installed")
    return [name for name, target in TARGETS.items() if not missing_tools(target)]


def _accuracy(exported: Exported, path: Path) -> dict[str, object]:
    from edge_asc.data.dataset import TauDataset
    from firmware_export.proof.accuracy import measure_accuracy

    clips = [(clip.path, clip.label) for clip in TauDataset.load(path).validation if clip.label is not None]
    return measure_accuracy(exported, clips, progress=lambda done: note(f"{done} of {len(clips)} clips"))


def _print(tables: list[str], board: Board | None, dataset: dict[str, object] | None) -> None:
    click.echo("\n\n".join(filter(None, tables)))
    if board:
        click.echo(f"\nThe time on {board.name} is an estimate: counted instructions x "
                   f"{board.core.cycles_per_instruction} cycles / {board.clock_hz / 1e6:.0f} MHz.")
    if dataset:
        figures = ", ".join(f"{key} {value}" for key, value in dataset.items())
        click.echo(f"\nThe C on the validation clips of the data set: {figures}")
