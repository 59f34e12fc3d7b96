"""Packs: what comes out is what went in, and what anybody else made up is one clear error."""

from __future__ import annotations

import lzma
import random
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asc.bundle import Bundle
from edge_asc.bundle.packing import MAGIC, MAX_CONTENT_BYTES, pack_bundle, parse_pack, read_pack
from edge_asc.bundle.updating import unpack_bundle
from edge_asc.errors import BundleError, InputError
from edge_asc.runtime import load_ensemble, record_self_test, verify_bundle
from edge_asc.runtime.self_test import self_test_clip
from edge_asc.spec import FeatureSpec
from tests.full_disk import full_disk
from tests.packs import content_of, joined, packed, sealed, with_hash
from tests.program import BUNDLE, assert_one_error, edge_asc


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return packed(tmp_path_factory.mktemp("pack") / "pack").read_bytes()


@pytest.mark.parametrize("variant", ["int8-sparse", "int8-dense", "float32-sparse"])
def test_what_was_packed_is_unpacked_and_answers_alike(tmp_path: Path, variant: str) -> None:
    before = Bundle.load(BUNDLE)
    packed(tmp_path / "pack", variant=variant)
    done = unpack_bundle(tmp_path / "pack", tmp_path / "bundle")
    after = Bundle.load(tmp_path / "bundle")
    assert done.bundle == after
    assert done.is_new
    assert done.previous is None
    assert (after.labels, after.features, after.variants) == (before.labels, before.features, (variant,))
    assert after.made["by"] == before.made["by"]
    assert after.model_card() == before.model_card()
    assert after.audit() == {}
    window = before.golden().features
    np.testing.assert_array_equal(after.golden().samples, before.golden().samples)
    np.testing.assert_array_equal(load_ensemble(after, delegate=False).member_probabilities(window),
                                  load_ensemble(before, variant=variant, delegate=False).member_probabilities(window))
    assert all(check.ok for check in verify_bundle(after))


def test_a_pack_is_smaller_than_its_members_and_always_the_same(tmp_path: Path) -> None:
    one = packed(tmp_path / "one", golden=record_self_test).read_bytes()
    assert one == packed(tmp_path / "two", golden=record_self_test).read_bytes()
    files = [member.files["int8-sparse"].n_bytes for member in Bundle.load(BUNDLE).members]
    assert len(one) < 0.8 * sum(files), "with manifest, card and golden clip"


def test_the_made_up_golden_clip_costs_little_and_finds_a_wrong_member(tmp_path: Path) -> None:
    packed(tmp_path / "pack", golden=record_self_test)
    bundle = unpack_bundle(tmp_path / "pack", tmp_path / "bundle").bundle
    assert all(check.ok for check in verify_bundle(bundle))
    data = bundle.golden()
    assert data.probabilities.max() < 0.98, "an answer that is certain would test little"
    full = self_test_clip(FeatureSpec(), seed=1)
    assert full.shape == (FeatureSpec().window_samples,)
    np.testing.assert_array_equal(full * 32768, np.rint(full * 32768))
    assert len(lzma.compress((full * 32768).astype("<i2").tobytes())) < 4096
    changed = [check.name for check in verify_bundle(swapped(bundle)) if not check.ok]
    assert "int8-sparse v1" in changed


def swapped(bundle: Bundle) -> Bundle:
    """The same bundle with the files of its first and last members exchanged, a V and an I."""
    import dataclasses

    first, *others, last = bundle.members
    members = (dataclasses.replace(first, files=last.files), *others, dataclasses.replace(last, files=first.files))
    return dataclasses.replace(bundle, members=members)


def test_audit_goes_along_when_asked(tmp_path: Path) -> None:
    packed(tmp_path / "pack", keep_audit=True)
    assert unpack_bundle(tmp_path / "pack", tmp_path / "b").bundle.audit() == Bundle.load(BUNDLE).audit()


def test_a_variant_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no variant 'int4'; wanted one of float32-sparse"):
        packed(tmp_path / "pack", variant="int4")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_pack(tmp_path: Path) -> None:
    (tmp_path / "pack").write_bytes(b"old")
    bundle = Bundle.load(BUNDLE)
    with full_disk(1000), pytest.raises(OSError, match="File too large"):
        pack_bundle(bundle, tmp_path / "pack")
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]
    assert (tmp_path / "pack").read_bytes() == b"old"


# What is refused, and how -------------------------------------------------------------------------------------------


def refused(data: bytes, match: str) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        parse_pack(data, where="the pack")
    assert str(caught.value).startswith("the pack")
    assert caught.value.fix


@pytest.mark.parametrize("data", [b"", b"EDGE", b"\x1f\x8b", b"PK\x03\x04" * 99, MAGIC[:-1] + b"2" + bytes(99)])
def test_other_files_are_not_packs(data: bytes) -> None:
    refused(data, "is not a packed bundle")


def test_every_truncation_and_every_flipped_byte_is_found(pack: bytes) -> None:
    rng = random.Random(1)
    for _ in range(1500):
        refused(pack[: rng.randrange(len(pack))], "is damaged or not complete|is not a packed bundle")
        at = rng.randrange(len(pack))
        flipped = pack[:at] + bytes([pack[at] ^ (1 << rng.randrange(8))]) + pack[at + 1:]
        refused(flipped, "is damaged or not complete|is not a packed bundle")
    refused(pack + b"x", "is damaged")


def test_forgeries_of_the_compressed_part_are_refused(pack: bytes) -> None:
    """The hash is right, as an attacker would make it: no crash, no other answer."""
    rng, good = random.Random(2), parse_pack(pack, where="the pack")
    compressed = pack[len(MAGIC) + 32:]
    for _ in range(1000):
        data = bytearray(compressed)
        for _ in range(rng.choice((1, 1, 2, 8))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            assert parse_pack(with_hash(bytes(data)), where="the pack").files == good.files
        except BundleError as error:
            assert str(error).startswith("the pack")  # noqa: PT017  # bytes that decode to the same are fine too


def test_forgeries_of_the_content_are_read_or_refused(pack: bytes) -> None:
    rng = random.Random(3)
    manifest, files = content_of(pack)
    content = joined(manifest, files)
    n_refused = 0
    for _ in range(150):
        data = bytearray(content)
        at = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(3000)
        data[at: at + rng.choice((0, 1, 1, 1, 4))] = rng.randbytes(rng.choice((0, 1, 1, 1, 4)))
        try:
            parse_pack(sealed(bytes(data)), where="the pack")
        except BundleError:
            n_refused += 1
    assert n_refused > 100


@given(st.binary(max_size=200))
def test_any_content_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError):
        parse_pack(sealed(content), where="the pack")


@given(st.binary(max_size=200))
def test_any_compressed_part_is_refused(data: bytes) -> None:
    refused(with_hash(data), "cannot be unpacked|ends too early")


def entry(manifest: dict[str, Any]) -> dict[str, Any]:
    found = manifest["files"]["MODEL_CARD.md"]
    assert isinstance(found, dict)
    return found


FORGERIES: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("out of the folder", lambda m: entry(m).update(file="../../etc/cron.d/x"), "leads out of the bundle"),
    ("absolute", lambda m: entry(m).update(file="/etc/passwd"), "leads out of the bundle"),
    ("hidden", lambda m: entry(m).update(file=".bashrc"), "leads out of the bundle"),
    ("deep", lambda m: entry(m).update(file="/".join("a" * 50)), "leads out of the bundle"),
    ("over the manifest", lambda m: entry(m).update(file="manifest.json"), "wanted the name of another file"),
    ("over the signature", lambda m: entry(m).update(file="manifest.sig"), "wanted the name of another file"),
    ("file and folder", lambda m: entry(m).update(file="members"), "as a file and as a folder; found members"),
    ("file below a file", lambda m: entry(m).update(file="golden.npz/x"), "as a file and as a folder"),
    ("one name twice", lambda m: entry(m).update(file="audit.json"), "names one file twice"),
    ("another hash", lambda m: entry(m).update(sha256="0" * 64), "MODEL_CARD.md is not what its manifest says"),
    ("longer than it is", lambda m: entry(m).update(n_bytes=entry(m)["n_bytes"] + 1), "is not what its|ends too early"),
    ("shorter than it is", lambda m: entry(m).update(n_bytes=0), "is not what its manifest says"),
    ("a bomb by its own account", lambda m: [m["files"][name].update(n_bytes=30 << 20) for name in m["files"]],
     "would unpack to more than 64 MiB"),
    ("of the future", lambda m: m.update(format_version=2), "found version 2"),
]


@pytest.mark.parametrize(("change", "message"), [forgery[1:] for forgery in FORGERIES],
                         ids=[forgery[0] for forgery in FORGERIES])
def test_each_forgery_is_an_error_of_its_own(pack: bytes, message: str, tmp_path: Path,
                                             change: Callable[[dict[str, Any]], object]) -> None:
    manifest, files = content_of(pack)
    change(manifest)
    data = sealed(joined(manifest, files))
    refused(data, message)
    (tmp_path / "pack").write_bytes(data)
    with pytest.raises(BundleError, match=message):
        unpack_bundle(tmp_path / "pack", tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["pack"], "nothing is written"


def test_what_is_behind_the_end_is_refused(pack: bytes) -> None:
    manifest, files = content_of(pack)
    refused(sealed(joined(manifest, [*files, b"x"])), "goes on behind its end")
    refused(with_hash(pack[len(MAGIC) + 32:] + b"junk"), "goes on behind its end")
    refused(with_hash(pack[len(MAGIC) + 32:-1]), "cannot be unpacked|goes on behind its end")
    refused(sealed(b"\xff\xff\xff\xff\x00" + bytes(99)), "impossible lengths")
    refused(sealed(b"\x02\x00\x00\x00\x07{}" + bytes(99)), "impossible lengths")


def test_bombs_are_refused_before_they_go_off(pack: bytes) -> None:
    manifest, files = content_of(pack)
    zeros = bytes(150 << 20)
    behind, before = sealed(joined(manifest, [*files, zeros])), sealed(b"\x00\x00\x10\x00\x00" + zeros)
    assert len(behind) < 1 << 20
    tracemalloc.start()
    refused(behind, "goes on behind its end")
    refused(before, "not readable JSON")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 16 << 20
    refused(with_hash(wide_dictionary(pack[len(MAGIC) + 32:])), "cannot be unpacked: Memory usage limit")
    refused(MAGIC + bytes(MAX_CONTENT_BYTES), "is damaged or not complete")


def wide_dictionary(compressed: bytes) -> bytes:
    """The same xz data, made to ask its reader for a dictionary of 1.5 GiB (xz file format, 3.1 and 5.3.1)."""
    n_header = (compressed[12] + 1) * 4
    header = bytearray(compressed[12:12 + n_header - 4])
    assert header[2] == 0x21, "LZMA2"
    header[4] = 37
    return compressed[:12] + bytes(header) + zlib.crc32(header).to_bytes(4, "little") + compressed[12 + n_header:]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="gone: No such file"):
        read_pack(tmp_path / "gone")


def test_the_command_line(tmp_path: Path) -> None:
    done = edge_asc("bundle", "pack", BUNDLE, "--variant", "int8-sparse", "-o", tmp_path / "pack")
    assert done.returncode == 0, done.stderr
    assert "3 members, int8-sparse, not signed" in done.stdout
    done = edge_asc("bundle", "unpack", tmp_path / "pack", "-o", tmp_path / "bundle")
    assert f", {Bundle.load(tmp_path / 'bundle').fingerprint}\n" in done.stdout
    assert (done.returncode, done.stderr) == (0, "edge-asc: nobody's signature was asked for (--public-key)\n")
    (tmp_path / "pack").write_bytes((tmp_path / "pack").read_bytes()[:-9])
    assert_one_error(edge_asc("bundle", "unpack", tmp_path / "pack", "-o", tmp_path / "bundle"), "is damaged",
                     "Transfer it again")
    assert_one_error(edge_asc("bundle", "unpack", BUNDLE / "audit.json", "-o", tmp_path / "b"), "not a packed bundle")
    assert_one_error(edge_asc("bundle", "unpack", tmp_path / "gone", "-o", tmp_path / "b"), "No such file")
    assert_one_error(edge_asc("bundle", "unpack", tmp_path, "-o", tmp_path / "b"), "Is a directory")
    assert_one_error(edge_asc("bundle", "rollback", tmp_path / "bundle"), "no previous bundle")
    assert_one_error(edge_asc("verify", tmp_path / "pack"), "found a file", "edge-asc bundle unpack FILE -o DIR")
    assert Bundle.load(tmp_path / "bundle").variants == ("int8-sparse",)
