"""Bundles: what was saved is what is loaded, and everything else is an error of its own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asc.bundle import Bundle, Golden, NewMember, save_bundle
from edge_asc.bundle.manifest import parse_manifest
from edge_asc.errors import BundleError
from edge_asc.spec import LABELS, FeatureSpec
from tests.program import BUNDLE

SPEC = FeatureSpec(n_fft=64, hop_length=32, n_mels=4, n_frames=3)


def golden(n_members: int = 2) -> Golden:
    rng = np.random.default_rng(0)
    return Golden(samples=rng.integers(-99, 99, 500).astype(np.float32) / 32768,
                  features=rng.random((SPEC.n_mels, SPEC.n_frames)).astype(np.float32),
                  outputs={"float32-dense": rng.random((n_members, 3)).astype(np.float32)},
                  probabilities=np.full(3, 1 / 3, np.float32))


def save(path: Path, **changed: Any) -> Bundle:
    members = [NewMember(name="v1", architecture="V(2,2,3,3)", seed=1, n_parameters=80839,
                         models={"float32-dense": b"one", "int8-dense": b"small"}),
               NewMember(name="i1", architecture="I(2,1,2)", seed=2, models={"float32-dense": b"two"})]
    values: dict[str, Any] = {"labels": LABELS, "features": SPEC, "members": members, "golden": golden(), "audit": {},
                              "model_card": "# Card\n", "made": {"by": "a test"}, "default_variant": "float32-dense"}
    return save_bundle(path, **values | changed)


@pytest.fixture
def bundle_path(tmp_path: Path) -> Path:
    return save(tmp_path / "bundle").path


def edit_manifest(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads((path / "manifest.json").read_text())
    change(values)
    (path / "manifest.json").write_text(json.dumps(values))


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    saved = save(tmp_path / "deep" / "bundle", audit=lambda bundle: {"n_members": len(bundle.members)},
                 model_card=lambda bundle: f"# {bundle.audit()['n_members']} members")
    bundle = Bundle.load(tmp_path / "deep" / "bundle")
    assert bundle == saved
    assert bundle.labels == LABELS
    assert bundle.features == SPEC
    assert bundle.variants == ("float32-dense",), "a variant that one member lacks is none of the bundle's"
    assert [member.name for member in bundle.members] == ["v1", "i1"]
    assert bundle.members[0].n_parameters == 80839
    assert bundle.member_bytes("i1", "float32-dense") == b"two"
    assert bundle.audit() == {"n_members": 2}
    assert bundle.model_card() == "# 2 members"
    np.testing.assert_array_equal(bundle.golden().samples, golden().samples)
    np.testing.assert_array_equal(bundle.golden().outputs["float32-dense"], golden().outputs["float32-dense"])


@pytest.mark.parametrize("samples", [[0.5, -1.0, 32767 / 32768], [0.1, 1.0], [1e-9, -2.0]])
def test_samples_are_stored_without_loss(samples: list[float]) -> None:
    values = np.array(samples, np.float32)
    again = Golden.from_bytes(Golden(samples=values, features=values, outputs={}, probabilities=values).to_bytes())
    assert again.samples.tobytes() == values.tobytes()


def test_saving_the_same_again_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = save(tmp_path / "one"), save(tmp_path / "two")
    assert one.to_json() == two.to_json()


def test_a_flipped_byte_is_found(bundle_path: Path) -> None:
    where = bundle_path / "members/float32-dense/v1.tflite"
    where.write_bytes(b"onf")
    with pytest.raises(BundleError, match=r"v1\.tflite has changed since the bundle was made.*Copy the bundle again"):
        Bundle.load(bundle_path)


def test_a_change_after_loading_is_found(bundle_path: Path) -> None:
    bundle = Bundle.load(bundle_path)
    (bundle_path / "members/float32-dense/v1.tflite").write_bytes(b"onf")
    with pytest.raises(BundleError, match="has changed"):
        bundle.member_bytes("v1", "float32-dense")


def test_a_truncated_file_is_found(bundle_path: Path) -> None:
    (bundle_path / "golden.npz").write_bytes(b"PK")
    with pytest.raises(BundleError, match="another size"):
        Bundle.load(bundle_path)


def test_a_missing_member_is_never_voted_without(bundle_path: Path) -> None:
    (bundle_path / "members/float32-dense/i1.tflite").unlink()
    with pytest.raises(BundleError, match=r"i1\.tflite is missing, and an ensemble never votes with fewer"):
        Bundle.load(bundle_path)


def test_a_fifo_in_place_of_a_member_does_not_hang(bundle_path: Path) -> None:
    where = bundle_path / "members/float32-dense/i1.tflite"
    where.unlink()
    os.mkfifo(where)
    with pytest.raises(BundleError, match="is missing"):
        Bundle.load(bundle_path)


def test_a_link_out_of_the_bundle_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    where = bundle_path / "members/float32-dense/i1.tflite"
    (tmp_path / "elsewhere").write_bytes(where.read_bytes())
    where.unlink()
    where.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="leads out of the bundle"):
        Bundle.load(bundle_path)


MANIFEST_FAULTS: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("newer version", lambda m: m.update(format_version=2), "found version 2; wanted version 1. Upgrade edge-asc"),
    ("older version", lambda m: m.update(format_version=0), "found version 0; wanted version 1. Copy the bundle"),
    ("no version", lambda m: m.pop("format_version"), "lacks the key 'format_version'"),
    ("version of another type", lambda m: m.update(format_version=True), "format_version cannot be used"),
    ("unknown key", lambda m: m.update(vote="max"), "keys that this edge-asc does not know; found vote"),
    ("unknown member key", lambda m: m["members"][0].update(weight=2), r"member 0.*does not know; found weight"),
    ("unknown file", lambda m: m["files"].update(extra={}), "files has keys.*found extra"),
    ("no golden", lambda m: m["files"].pop("golden.npz"), "lacks the key 'golden.npz'"),
    ("no members", lambda m: m.update(members=[]), "at least one member"),
    ("members of one name", lambda m: m["members"][1].update(name="v1"), "each with its own name"),
    ("member is no object", lambda m: m["members"].append(3), "member 2 is not a JSON object"),
    ("labels twice", lambda m: m.update(labels=["a", "a"]), "labels cannot be used"),
    ("seed is text", lambda m: m["members"][0].update(seed="1"), "seed cannot be used.*wanted int"),
    ("features of the future", lambda m: m["features"].update(pcen=True), "unknown .'pcen'.*Upgrade"),
    ("fractional bands", lambda m: m["features"].update(n_mels=4.5), "n_mels cannot be used.*whole number"),
    ("impossible bands", lambda m: m["features"].update(n_mels=0), "impossible feature setting n_mels"),
    ("variant nobody has", lambda m: m.update(default_variant="int4"), "default_variant.*every member has"),
    ("variant one lacks", lambda m: m.update(default_variant="int8-dense"), "default_variant.*every member has"),
    ("short hash", lambda m: file_of(m).update(sha256="abc"), "64 hex digits"),
    ("negative size", lambda m: file_of(m).update(n_bytes=-1), "n_bytes cannot be used"),
    *((f"path {path!r}", lambda m, path=path: file_of(m).update(file=path), "leads out of the bundle or has odd")
      for path in ("../v1.tflite", "/etc/passwd", "members/../../x", "a//b", "", "a\x00b", "~/x", "..\\x")),
]


def file_of(manifest: dict[str, Any]) -> dict[str, Any]:
    entry = manifest["members"][0]["files"]["float32-dense"]
    assert isinstance(entry, dict)
    return entry


@pytest.mark.parametrize(("change", "message"), [fault[1:] for fault in MANIFEST_FAULTS],
                         ids=[fault[0] for fault in MANIFEST_FAULTS])
def test_each_fault_in_the_manifest_is_an_error_of_its_own(bundle_path: Path, message: str,
                                                           change: Callable[[dict[str, Any]], object]) -> None:
    edit_manifest(bundle_path, change)
    with pytest.raises(BundleError, match=message):
        Bundle.load(bundle_path)


@pytest.mark.parametrize(("content", "message"), [
    (b"", "not readable JSON"), (b"{", "not readable JSON"), (b"\xff\xfe", "not readable JSON"),
    (b"[1]", "not a JSON object"), (b"[" * 100_000, "not readable JSON"), (b"1" * 10_000, "not readable JSON"),
    (b" " * (1 << 20) + b"{}", "too large for a manifest"),
], ids=["empty", "cut", "binary", "list", "deep", "huge number", "huge"])
def test_a_manifest_that_is_no_manifest(bundle_path: Path, content: bytes, message: str) -> None:
    (bundle_path / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=message):
        Bundle.load(bundle_path)


def test_what_is_no_bundle_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name, found in (("gone", "no such folder"), ("file", "a file"), ("", "no manifest")):
        with pytest.raises(BundleError, match=f"is not a bundle; found {found}"):
            Bundle.load(tmp_path / name)


json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                           lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner,
                                                                                       max_size=3), max_leaves=8)


@given(data=st.data())
def test_a_manifest_with_any_value_anywhere_is_read_or_refused(data: st.DataObject) -> None:
    values = json.loads((BUNDLE / "manifest.json").read_text())
    node: Any = values
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            node[key] = data.draw(json_values)
            break
        node = node[key]
    try:
        parse_manifest(values, where="manifest.json")
    except BundleError as error:
        assert error.fix, "it says what to do"  # noqa: PT017  # a manifest that is still good is fine too


def test_golden_files_are_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "trapped"),)

    with (tmp_path / "g.npz").open("wb") as file:
        np.savez(file, samples=np.array([Trap()], dtype=object))
    with pytest.raises(BundleError, match="cannot be read"):
        Golden.from_bytes((tmp_path / "g.npz").read_bytes())
    assert not (tmp_path / "trapped").exists()


@given(st.binary(max_size=64))
def test_any_bytes_as_a_golden_file_are_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        Golden.from_bytes(data)


def test_a_golden_clip_of_another_ensemble_is_refused(tmp_path: Path) -> None:
    bundle = save(tmp_path / "bundle", golden=golden(n_members=3))
    with pytest.raises(BundleError, match="does not fit the manifest"):
        bundle.golden()


def test_replacing_keeps_the_old_bundle_until_the_new_one_is_complete(bundle_path: Path) -> None:
    before = Bundle.load(bundle_path)

    def fails(bundle: Bundle) -> dict[str, Any]:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        save(bundle_path, audit=fails)
    assert Bundle.load(bundle_path) == before
    assert [path.name for path in bundle_path.parent.iterdir()] == ["bundle"], "nothing is left lying about"
    save(bundle_path, labels=("a", "b", "c"))
    assert Bundle.load(bundle_path).labels == ("a", "b", "c")
    assert [path.name for path in bundle_path.parent.iterdir()] == ["bundle"]


def test_saving_never_replaces_what_is_not_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("x")
    with pytest.raises(BundleError, match="is not a bundle, so it is not replaced"):
        save(tmp_path / "home")
    assert (tmp_path / "home" / "thesis.tex").exists()


def test_an_empty_folder_may_become_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    assert save(tmp_path / "new").path == tmp_path / "new"


def test_parts_that_do_not_fit_are_refused_before_anything_is_replaced(bundle_path: Path) -> None:
    with pytest.raises(BundleError, match="default_variant"):
        save(bundle_path, default_variant="int8-dense")
    Bundle.load(bundle_path)


def test_a_bundle_can_be_moved(bundle_path: Path, tmp_path: Path) -> None:
    shutil.move(bundle_path, tmp_path / "other")
    assert Bundle.load(tmp_path / "other").labels == LABELS


def test_a_member_or_variant_that_is_not_there(bundle_path: Path) -> None:
    bundle = Bundle.load(bundle_path)
    with pytest.raises(BundleError, match="no member v9"):
        bundle.member_bytes("v9", "float32-dense")
    with pytest.raises(BundleError, match=r"i1 has no variant int8-dense; wanted float32-dense. Choose"):
        bundle.member_bytes("i1", "int8-dense")
