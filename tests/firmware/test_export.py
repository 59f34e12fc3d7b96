"""A bundle becomes a folder of C: complete, said where from, the same every time, and all or nothing."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_asc import __version__
from edge_asc.bundle import Bundle
from edge_asc.errors import BundleError, InputError, ModelFileError
from edge_asc.spec import FeatureSpec
from firmware_export.emit.model import c_float
from firmware_export.export import export_bundle, planned
from firmware_export.network.read import read_network
from firmware_export.output.exported import Exported, manifest_sha256
from firmware_export.output.sizes import state_bytes
from firmware_export.planning.plan import Purpose
from tests.conftest import require_program
from tests.firmware.native import compile_c
from tests.firmware.networks import COLUMNS, LABELS, ROWS, Builder

SPEC = FeatureSpec(n_mels=ROWS, n_frames=COLUMNS, n_fft=256, hop_length=128)


def _member(seed: int, *, n_labels: int = LABELS, zero_point: int = 5, rows: int = ROWS) -> bytes:
    builder = Builder(seed, rows=rows)
    quantization = builder.tensors[builder.input].quantization
    assert quantization is not None
    quantization = dataclasses.replace(quantization, zero_point=np.array([zero_point], np.int64))
    builder.tensors[builder.input] = dataclasses.replace(builder.tensors[builder.input], quantization=quantization)
    x = builder.pool(builder.conv(builder.input, 4))
    return builder.bytes(builder.softmax(builder.dense(builder.flat(x), n_labels)))


class _Bundle:
    """What the exporter reads of a bundle."""

    def __init__(self, path: Path, members: dict[str, bytes], variants: tuple[str, ...] = ("int8-dense",)) -> None:
        self.path, self.features, self.variants = path, SPEC, variants
        self.labels = tuple(f"label {i}" for i in range(LABELS))
        self._members = members
        self.members = [type("Entry", (), {"name": name})() for name in members]
        path.mkdir(exist_ok=True)
        (path / "manifest.json").write_text(json.dumps(sorted(members)))

    def model_card(self) -> str:
        return "# The card, by Zoë\n"

    def member_bytes(self, name: str, variant: str) -> bytes:
        if name not in self._members:
            raise BundleError(f"no member {name}")
        return self._members[name]


def _bundle(tmp_path: Path, members: dict[str, bytes] | None = None, **changes: Any) -> Bundle:
    bundle: Any = _Bundle(tmp_path / "bundle", members or {"v1": _member(0), "v2": _member(1)}, **changes)
    return bundle  # type: ignore[no-any-return]


def test_the_folder_is_complete_and_says_what_it_was_made_from(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path)
    exported = export_bundle(bundle, tmp_path / "out", command="edge-asc firmware bundle -o out")
    again = Exported.load(tmp_path / "out")
    assert again == exported
    assert again.members == ("v1", "v2")
    assert again.bundle_sha256 == manifest_sha256(bundle)
    for name in ("asc.h", "asc_model_config.h", "asc_model_data.c", "asc_model_features.c", "asc_kernel.h"):
        assert (again.source_folder / name).is_file()
    for name in ("asc_model_config.h", "asc_model_data.c"):
        head = (again.source_folder / name).read_text()[:600]
        assert manifest_sha256(bundle) in head
        assert "edge-asc firmware bundle -o out" in head
        assert f"edge-asc {__version__}" in head
    config = (again.source_folder / "asc_model_config.h").read_text()
    assert f'#define ASC_MODEL_BUNDLE "{manifest_sha256(bundle)[:12]}"' in config
    assert json.loads((tmp_path / "out" / "export.json").read_text())["made_with"] == f"edge-asc {__version__}"
    readme = (tmp_path / "out" / "README.md").read_text()
    assert manifest_sha256(bundle) in readme
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_licence_and_credits_go_along(tmp_path: Path) -> None:
    out = export_bundle(_bundle(tmp_path), tmp_path / "out").folder
    assert (out / "LICENSE").read_bytes() == (Path(__file__).parents[2] / "LICENSE").read_bytes()
    assert (out / "MODEL_CARD.md").read_bytes() == "# The card, by Zoë\n".encode()
    for path in (out / "src").iterdir():
        is_table = path.name in {f"asc_model_{name}" for name in ("config.h", "data.c", "features.c", "features.h")}
        assert path.read_text().startswith("/* SPDX-License-Identifier: Apache-2.0 */\n") != is_table, path


def test_an_export_is_the_same_every_time_and_has_no_machine_in_it(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path)
    for name in ("one", "two"):
        export_bundle(bundle, tmp_path / name)
    files = [sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*") if path.is_file())
             for name in ("one", "two")]
    assert files[0] == files[1]
    for path in files[0]:
        text = (tmp_path / "one" / path).read_bytes()
        assert text == (tmp_path / "two" / path).read_bytes()
        assert str(tmp_path).encode() not in text or path.name == "export.json"


@pytest.mark.tool
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_generated_c_compiles_without_a_warning(tmp_path: Path, compiler: str) -> None:
    require_program(compiler)
    exported = export_bundle(_bundle(tmp_path), tmp_path / "out")
    compile_c(tmp_path / "out.so", exported.sources(), include=[exported.source_folder], flags=("-shared", "-fPIC"),
              compiler=compiler)


def test_sizes_are_reported_and_add_up(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path)
    exported = export_bundle(bundle, tmp_path / "out", n_spare_frames=3)
    sizes = json.loads((tmp_path / "out" / "export.json").read_text())["sizes"]
    assert sizes["ram_window_bytes"] == (COLUMNS + 3) * (ROWS + 1)
    members = planned([read_network(bundle.member_bytes(name, "int8-dense"), name=name) for name in exported.members])
    assert sizes["ram_state_bytes"] == state_bytes(SPEC, members, n_spare_frames=3)
    assert sizes["flash_weights_and_quantisation_bytes"] == sum(
        of["weights"] + of["quantisation"] for of in sizes["flash_members_bytes"].values())
    assert sizes["multiplications"].keys() == {"v1", "v2"}
    config = (tmp_path / "out" / "src" / "asc_model_config.h").read_text()
    assert f"#define ASC_MODEL_LARGEST_PIECE {sizes['largest_piece_multiplications']}\n" in config


def test_some_members_only(tmp_path: Path) -> None:
    assert export_bundle(_bundle(tmp_path), tmp_path / "out", members=["v2"]).members == ("v2",)
    with pytest.raises(BundleError, match="v7"):
        export_bundle(_bundle(tmp_path), tmp_path / "out", members=["v7"])
    with pytest.raises(InputError, match="votes once; found v1 more than once"):
        export_bundle(_bundle(tmp_path), tmp_path / "out", members=["v1", "v2", "v1"])
    assert Exported.load(tmp_path / "out").members == ("v2",)


def test_members_of_one_structure_share_a_plan(tmp_path: Path) -> None:
    exported = export_bundle(_bundle(tmp_path), tmp_path / "out")
    data = (exported.source_folder / "asc_model_data.c").read_text()
    assert len(re.findall(r"^static const AscPlan ", data, re.MULTILINE)) == 1


def test_a_bundle_without_int8_members_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no int8 members"):
        export_bundle(_bundle(tmp_path, variants=("float32-dense",)), tmp_path / "out")


@pytest.mark.parametrize(("other", "words"), [
    ({"zero_point": 6}, "quantises its input otherwise"), ({"n_labels": 3}, "another number of labels"),
    ({"rows": 9}, "reads another window")])
def test_members_that_disagree_are_refused(tmp_path: Path, other: dict[str, int], words: str) -> None:
    with pytest.raises(ModelFileError, match=words):
        export_bundle(_bundle(tmp_path, {"v1": _member(0), "v2": _member(1, **other)}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_earlier_export_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    bundle, out = _bundle(tmp_path), tmp_path / "out"
    export_bundle(bundle, out, members=["v1"])
    (out / "src" / "asc_layers.c").unlink()
    export_bundle(bundle, out)
    assert Exported.load(out).members == ("v1", "v2")
    assert (out / "src" / "asc_layers.c").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "out"]
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="is not an export"):
        export_bundle(bundle, precious)
    assert [path.name for path in precious.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["src/asc_conv.c", "src/mine.c", ".git/HEAD", "README.md", "zephyr/module.yml"])
def test_an_export_with_somebodys_work_in_it_is_kept(tmp_path: Path, name: str) -> None:
    bundle, out = _bundle(tmp_path), tmp_path / "out"
    export_bundle(bundle, out)
    (out / name).parent.mkdir(exist_ok=True)
    with (out / name).open("a") as file:
        file.write("/* A day's work. */\n")
    before = _contents(out)
    with pytest.raises(InputError, match=f"did not write or that were edited.*found {name};"):
        export_bundle(bundle, out, members=["v1"])
    assert _contents(out) == before


def test_a_link_in_an_export_is_somebodys_work_too(tmp_path: Path) -> None:
    bundle, out = _bundle(tmp_path), tmp_path / "out"
    export_bundle(bundle, out)
    (out / "elsewhere").symlink_to(tmp_path)
    with pytest.raises(InputError, match="found elsewhere;"):
        export_bundle(bundle, out)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"files": 3}', '{"files": null}', '{"format_version": 1}'])
def test_a_folder_whose_description_is_damaged_is_kept(tmp_path: Path, text: str) -> None:
    bundle, out = _bundle(tmp_path), tmp_path / "out"
    export_bundle(bundle, out)
    (out / "export.json").write_text(text)
    with pytest.raises(InputError, match="is not an export"):
        export_bundle(bundle, out)


def test_a_link_to_an_export_stays_one(tmp_path: Path) -> None:
    bundle, place = _bundle(tmp_path), tmp_path / "place"
    export_bundle(bundle, place, members=["v1"])
    link = tmp_path / "link"
    link.symlink_to("place")
    export_bundle(bundle, link)
    assert link.is_symlink()
    assert Exported.load(place).members == ("v1", "v2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "link", "place"]


@pytest.mark.parametrize("value", [0.1, 1 / 256, 3.0, 1e-7, 123456.789, 2.0**-149])
def test_floats_read_back_exactly(value: float) -> None:
    text = c_float(np.float32(value))
    assert re.fullmatch(r"[0-9.e+-]+f", text)
    assert np.float32(text[:-1]) == np.float32(value)


def test_names_cannot_break_out_of_their_strings(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path)
    bundle.labels = ('a"; int x; //', "b\\", "c\nversion=9", *(f"l{i}" for i in range(LABELS - 3)))  # type: ignore[misc]
    exported = export_bundle(bundle, tmp_path / "out", command='firmware "*/ int y; /*"')
    data = (exported.source_folder / "asc_model_data.c").read_text()
    assert "int x" in data
    assert r'"a\042; int x; //", "b\134"' in data
    properties = (tmp_path / "out" / "library.properties").read_text().splitlines()
    assert len(properties) == 10
    assert all("=" in line for line in properties)
    assert "*/ int y" not in data
    assert data.count("/*") == data.count("*/")


def test_the_arena_is_that_of_the_largest_member(tmp_path: Path) -> None:
    networks = [read_network(_member(seed), name=f"v{seed}") for seed in (0, 1)]
    one, both = planned(networks[:1], Purpose(arena_bytes=1, tile=8)), planned(networks, Purpose(arena_bytes=1, tile=8))
    assert max(m.plan.arena_bytes for m in both) >= one[0].plan.arena_bytes
