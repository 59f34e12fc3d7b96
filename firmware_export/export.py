"""A bundle -> a folder of C that drops into a firmware, with its sizes and where it came from.

The hand-written C is copied, the tables are generated; nothing is left half-written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_asc.bundle import Bundle
from edge_asc.errors import BundleError, InputError, ModelFileError
from edge_asc.spec import FeatureSpec
from firmware_export.boards.board import Board, Need, require_fit
from firmware_export.boards.fitting import Settings, most_frames, need, settings_for, settings_without_board
from firmware_export.emit.frontend import feature_files
from firmware_export.emit.levels import InputQuantization
from firmware_export.emit.model import Member, config_header, data_source
from firmware_export.network.layers import Conv, Dense, Network
from firmware_export.network.read import read_network
from firmware_export.output.exported import SOURCES, Exported, manifest_sha256, provenance
from firmware_export.output.folder import require_replaceable, write_folder
from firmware_export.output.packaging import packaging_files
from firmware_export.output.readme import readme
from firmware_export.output.sizes import size_report
from firmware_export.planning.lower import Program, lower
from firmware_export.planning.plan import FIRMWARE, Plan, Purpose
from firmware_export.planning.stripes import make_plan

C = Path(__file__).parent / "c"
_VARIANTS = ("int8-sparse", "int8-dense")
_LICENCE = "/* SPDX-License-Identifier: Apache-2.0 */"


def export_bundle(bundle: Bundle, out: Path, *, members: Sequence[str] | None = None, board: Board | None = None,
                  purpose: Purpose | None = None, n_spare_frames: int | None = None, command: str = "") -> Exported:
    """Write the C of an ensemble. A folder that holds an earlier export is replaced once the new one is complete.

    Args:
        bundle: What to export; one of its variants must be int8.
        out: The folder to write.
        members: Names of the members to take; all by default.
        board: Where it is to run; what does not fit is refused.
        purpose: How much RAM the stripes may take, and how wide the kernels are; by default chosen for the board.
        n_spare_frames: Frames that may arrive while a window is being classified; by default chosen for the board.
        command: What the user typed, for the provenance.

    Raises:
        BundleError: The bundle has no int8 variant or no such member.
        ModelFileError: A member has something that the C code has not, or members disagree.
        InputError: Something else than an untouched export stands at `out`, a member is named twice, or the C front end
            cannot compute the features.
        OverBudgetError: It does not fit the board.
    """
    require_replaceable(out)
    variant, names = int8_variant(bundle), list(members) if members is not None else [m.name for m in bundle.members]
    networks = read_networks(bundle, names, variant)
    entry = networks[0].activations[networks[0].input]
    exits = [network.activations[network.output] for network in networks]
    exported = Exported(folder=out, labels=bundle.labels, features=bundle.features, members=tuple(names),
                        variant=variant, input=InputQuantization(scale=float(entry.scale), zero_point=entry.zero_point),
                        outputs=tuple((float(a.scale), a.zero_point) for a in exits),
                        bundle_path=str(bundle.path.resolve()), bundle_sha256=manifest_sha256(bundle))
    if purpose is None or n_spare_frames is None:
        settings = _settings(networks, bundle.features, board)
        purpose = purpose or settings.purpose
        n_spare_frames = settings.n_spare_frames if n_spare_frames is None else n_spare_frames
    planned_members = planned(networks, purpose)
    if board is not None:
        require_fit(board, need(planned_members, spec=bundle.features, n_spare_frames=n_spare_frames),
                    alternatives=most_frames(board, planned_members, spec=bundle.features))
    sizes = size_report(exported, planned_members, n_spare_frames=n_spare_frames)
    files = firmware_files(exported, planned_members, sizes, command=command)
    files["MODEL_CARD.md"] = bundle.model_card()
    write_folder(out, files, {**exported.to_json(), "command": command, "sizes": sizes})
    return exported


def estimate_need(files: Mapping[str, bytes], *, spec: FeatureSpec, board: Board | None = None) -> Need:
    """Flash and RAM that an export of these members would take, without making one.

    Args:
        files: Member -> its int8 file.
        spec: The front end.
        board: As for `export_bundle`.

    Raises:
        ModelFileError: A member has something that the C code has not.
        OverBudgetError: It does not fit the board.
    """
    networks = [read_network(data, name=name) for name, data in files.items()]
    settings = _settings(networks, spec, board)
    found = need(planned(networks, settings.purpose), spec=spec, n_spare_frames=settings.n_spare_frames)
    if board is not None:
        require_fit(board, found)
    return found


def int8_variant(bundle: Bundle) -> str:
    """The int8 variant of a bundle; sparse and dense files hold the same weights.

    Raises:
        BundleError: It has none.
    """
    for variant in _VARIANTS:
        if variant in bundle.variants:
            return variant
    raise BundleError(f"{bundle.path} has no int8 members", found=", ".join(bundle.variants),
                      wanted=" or ".join(_VARIANTS), fix="Convert the run again with --variants int8-sparse.")


def read_networks(bundle: Bundle, names: Sequence[str], variant: str) -> list[Network]:
    """Members that one window can serve.

    Raises:
        BundleError: The bundle has no such member.
        InputError: A member is named twice.
        ModelFileError: A member has something that the C code has not, or members disagree.
    """
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError("each member votes once", found=f"{', '.join(twice)} more than once")
    networks = [read_network(bundle.member_bytes(name, variant), name=name) for name in names]
    _agree(networks, bundle)
    return networks


def planned(networks: Sequence[Network], purpose: Purpose = FIRMWARE) -> list[Member]:
    """Members with their plans; those of one structure share one."""
    structures = [repr(network.structure()) for network in networks]
    plans: dict[str, tuple[Plan, int]] = {}
    for structure, network in zip(structures, networks, strict=True):
        if structure not in plans:
            alike = [other for other, s in zip(networks, structures, strict=True) if s == structure]
            program = lower(network)
            plan = make_plan(program, n_values=n_values(alike, program), max_taps=max_taps(alike), purpose=purpose)
            plans[structure] = plan, len(plans)
    return [Member(network, *plans[structure]) for network, structure in zip(networks, structures, strict=True)]


def n_values(networks: Sequence[Network], program: Program) -> list[int]:
    """Non-zero weights of each step, the mean over members."""
    layers = [[network.layers[step.layers[0]] for network in networks] if step.layers else [] for step in program.steps]
    return [sum(int(np.count_nonzero(layer.weights)) for layer in of_step if isinstance(layer, Conv | Dense))
            // len(networks) for of_step in layers]


def max_taps(networks: Sequence[Network]) -> int:
    """Non-zero weights of the largest output channel of any convolution."""
    return max((int(np.count_nonzero(layer.weights.reshape(layer.weights.shape[0], -1), axis=1).max())
                for network in networks for layer in network.layers if isinstance(layer, Conv)), default=0)


def firmware_files(exported: Exported, members: Sequence[Member], sizes: dict[str, Any], *,
                   command: str) -> dict[str, str]:
    """Path in the export -> content."""
    what = f"members {' '.join(exported.members)},\n   variant {exported.variant}. Do not edit: export again."
    origin = provenance(what, bundle_sha256=exported.bundle_sha256, command=command)
    n_spare_frames = sizes["n_spare_frames"]
    c = {path.name: f"{_LICENCE}\n{path.read_text()}" for path in sorted(C.glob("asc*.[ch]"))}
    c["asc_model_config.h"] = config_header(members, provenance=origin, bundle_id=exported.bundle_sha256[:12])
    c["asc_model_data.c"] = data_source(members, labels=exported.labels, provenance=origin)
    c |= feature_files(exported.features, exported.input, provenance=origin, n_spare_frames=n_spare_frames)
    files = {f"{SOURCES}/{name}": text for name, text in c.items()}
    files |= packaging_files(exported.features, labels=exported.labels, n_spare_frames=n_spare_frames,
                             state_bytes=sizes["ram_state_bytes"])
    files["README.md"] = readme(exported, members, sizes, command=command)
    return files


def _settings(networks: Sequence[Network], spec: FeatureSpec, board: Board | None) -> Settings:
    if board is None:
        return settings_without_board(networks, spec=spec, plan=planned)
    return settings_for(board, networks, spec=spec, plan=planned)


def _agree(networks: Sequence[Network], bundle: Bundle) -> None:
    """All members must read one window and answer with one set of labels."""
    wanted = (bundle.features.n_mels, bundle.features.n_frames, 1)
    first = networks[0].activations[networks[0].input]
    for network in networks:
        entry, exit_ = network.activations[network.input], network.activations[network.output]
        if entry.shape != wanted:
            raise ModelFileError(f"member {network.name} reads another window than the bundle's features make",
                                 found=entry.shape, wanted=wanted)
        if (entry.scale, entry.zero_point) != (first.scale, first.zero_point):
            raise ModelFileError(f"member {network.name} quantises its input otherwise than {networks[0].name}: one "
                                 "window cannot serve both",
                                 found=f"scale {entry.scale}, zero point {entry.zero_point}",
                                 wanted=f"{first.scale}, {first.zero_point}",
                                 fix="Convert all members with the same representative windows.")
        if exit_.shape != (len(bundle.labels), 1, 1):
            raise ModelFileError(f"member {network.name} has another number of labels", found=exit_.shape[0],
                                 wanted=len(bundle.labels))
