"""Unpack and rollback: whatever is wrong and whenever it is killed, a whole bundle stands where one stood."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edge_asc.bundle import Bundle, NewMember, save_bundle
from edge_asc.bundle.packing import read_pack
from edge_asc.bundle.updating import rollback_bundle, unpack_bundle
from edge_asc.errors import BundleError, VerificationError
from tests.full_disk import full_disk
from tests.packs import packed
from tests.program import ROOT, assert_one_error, command_line, edge_asc, environment


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three different packs, oldest first."""
    folder = tmp_path_factory.mktemp("packs")
    return {variant: packed(folder / variant, variant=variant)
            for variant in ("float32-sparse", "int8-dense", "int8-sparse")}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "bundle"


def variant_at(path: Path) -> str:
    return Bundle.load(path).default_variant


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_previous_bundle_is_kept_and_comes_back(packs: dict[str, Path], place: Path) -> None:
    for pack in packs.values():
        unpack_bundle(pack, place)
    assert variant_at(place) == "int8-sparse"
    assert variant_at(place.parent / "bundle.previous") == "int8-dense"
    assert rollback_bundle(place).default_variant == "int8-dense"
    assert rollback_bundle(place).default_variant == "int8-sparse", "twice is back again"
    assert names(place.parent) == ["bundle", "bundle.previous"]


def test_the_same_pack_again_changes_nothing(packs: dict[str, Path], place: Path) -> None:
    first, second, _ = packs.values()
    unpack_bundle(first, place)
    unpack_bundle(second, place)
    done = unpack_bundle(second, place)
    assert not done.is_new
    assert done.previous is not None
    assert rollback_bundle(place).default_variant == "float32-sparse", "still the one before"


def test_a_damaged_bundle_is_repaired_and_never_kept(packs: dict[str, Path], place: Path) -> None:
    first, second, third = packs.values()
    unpack_bundle(first, place)
    unpack_bundle(second, place)
    damage(place)
    assert unpack_bundle(second, place).is_new, "the same again, because what stood there was damaged"
    assert variant_at(place.parent / "bundle.previous") == "float32-sparse"
    damage(place)
    unpack_bundle(third, place)
    assert variant_at(place.parent / "bundle.previous") == "float32-sparse", "not the damaged one"


def damage(path: Path) -> None:
    (path / "MODEL_CARD.md").write_text("something else")


def test_rollback_to_a_damaged_bundle_is_refused(packs: dict[str, Path], place: Path) -> None:
    first, second, _ = packs.values()
    unpack_bundle(first, place)
    with pytest.raises(BundleError, match=r"no previous bundle to go back to.*`edge-asc bundle unpack` keeps one"):
        rollback_bundle(place)
    unpack_bundle(second, place)
    damage(place.parent / "bundle.previous")
    with pytest.raises(BundleError, match="has another size"):
        rollback_bundle(place)
    assert variant_at(place) == "int8-dense"


def test_rollback_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a bundle"):
        rollback_bundle(tmp_path / "no" / "where")
    with pytest.raises(BundleError, match="no previous bundle"):
        rollback_bundle(tmp_path / "nothing")


def test_a_check_that_says_no_leaves_everything(packs: dict[str, Path], place: Path) -> None:
    first, second, _ = packs.values()

    def says_no(bundle: Bundle) -> None:
        assert bundle.default_variant == "int8-dense", "it sees the new bundle"
        raise VerificationError("no")

    unpack_bundle(first, place)
    with pytest.raises(VerificationError):
        unpack_bundle(second, place, check=says_no)
    assert variant_at(place) == "float32-sparse"
    assert names(place.parent) == ["bundle"]


def test_what_is_not_a_bundle_is_never_replaced(packs: dict[str, Path], place: Path) -> None:
    place.mkdir()
    (place / "thesis.tex").write_text("x")
    with pytest.raises(BundleError, match="exists and is not a bundle"):
        unpack_bundle(packs["int8-sparse"], place)
    other = place.parent / "other"
    (place.parent / "other.previous").mkdir()
    (place.parent / "other.previous" / "thesis.tex").write_text("x")
    with pytest.raises(BundleError, match=r"other\.previous exists and is not a bundle"):
        unpack_bundle(packs["int8-sparse"], other)


def test_a_link_stays_a_link(packs: dict[str, Path], place: Path) -> None:
    first, second, _ = packs.values()
    unpack_bundle(first, place.parent / "real")
    place.symlink_to("real")
    unpack_bundle(second, place)
    assert place.is_symlink()
    assert variant_at(place.parent / "real") == variant_at(place) == "int8-dense"
    assert rollback_bundle(place).default_variant == "float32-sparse"


def test_a_full_disk_leaves_the_old_bundle(packs: dict[str, Path], place: Path) -> None:
    unpack_bundle(packs["float32-sparse"], place)
    with full_disk(5000), pytest.raises(OSError, match="File too large"):
        unpack_bundle(packs["int8-dense"], place)
    assert variant_at(place) == "float32-sparse"
    assert names(place.parent) == ["bundle"]


def test_a_strict_umask_keeps_no_service_user_out(packs: dict[str, Path], place: Path) -> None:
    before = os.umask(0o077)
    try:
        unpack_bundle(packs["int8-sparse"], place)
    finally:
        os.umask(before)
    for each in (place, *place.rglob("*")):
        assert stat.S_IMODE(each.stat().st_mode) == (0o755 if each.is_dir() else 0o644)


def test_two_at_once_take_turns(packs: dict[str, Path], place: Path) -> None:
    def update(variant: str) -> None:
        for _ in range(5):
            unpack_bundle(packs[variant], place)

    threads = [threading.Thread(target=update, args=[variant]) for variant in packs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(place.parent) == ["bundle", "bundle.previous"]
    assert variant_at(place) != variant_at(place.parent / "bundle.previous")


def test_a_name_with_odd_characters_and_its_neighbours(packs: dict[str, Path], tmp_path: Path) -> None:
    neighbour = tmp_path / ".a+b.c.0123456789abcdef.unpack-part"
    neighbour.mkdir()
    unpack_bundle(packs["int8-sparse"], tmp_path / "a+b")
    assert names(tmp_path) == [neighbour.name, "a+b"], "leftovers of a+b.c are none of ours"


# Killed ---------------------------------------------------------------------------------------------------------------


def kills(packs: dict[str, Path], tmp_path: Path, *, action: str, names: list[str], swap: bool) -> list[dict[str, Any]]:
    root = tmp_path / "root"
    root.mkdir()
    for name in names:
        shutil.copy(packs[name], root)
    job = {"root": str(root), "packs": names, "action": action, "swap": swap}
    (tmp_path / "job.json").write_text(json.dumps(job))
    done = subprocess.run([sys.executable, ROOT / "tests" / "kill_points.py", tmp_path / "job.json"], check=False,
                          capture_output=True, text=True, env=environment(), timeout=270)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def key(pack: Path) -> str:
    return hashlib.sha256(read_pack(pack).manifest_bytes).hexdigest()[:8]


@pytest.mark.parametrize("swap", [True, False], ids=["swap", "two renames"])
def test_unpack_killed_before_every_line(packs: dict[str, Path], tmp_path: Path, swap: bool) -> None:
    oldest, old, new = (key(pack) for pack in packs.values())
    found = kills(packs, tmp_path, action="unpack", names=list(packs), swap=swap)
    assert len(found) > 60
    allowed = {old, new} if swap else {old, new, None}
    assert {each["at"] for each in found} == allowed
    assert {each["previous"] for each in found} <= {oldest, old, None}
    for each in found:
        settled = (each["settled"], each["settled_previous"])
        assert settled in {(old, oldest), (new, old)}, "nothing but before or after"
        assert each["names"] == ["bundle", "bundle.previous"], "nothing is left lying about"
        assert each["at"] in (None, each["settled"])


@pytest.mark.parametrize("swap", [True, False], ids=["swap", "two renames"])
def test_the_first_unpack_killed_before_every_line(packs: dict[str, Path], tmp_path: Path, swap: bool) -> None:
    found = kills(packs, tmp_path, action="unpack", names=["int8-sparse"], swap=swap)
    assert {each["at"] for each in found} == {None, key(packs["int8-sparse"])}
    assert all(each["at"] == each["settled"] and each["settled_previous"] is None for each in found)


@pytest.mark.parametrize("swap", [True, False], ids=["swap", "two renames"])
def test_rollback_killed_before_every_line(packs: dict[str, Path], tmp_path: Path, swap: bool) -> None:
    variants = ["float32-sparse", "int8-dense"]
    old, new = (key(packs[variant]) for variant in variants)
    # The last pack of the list is the one that `unpack` would take; rollback needs both in place.
    found = kills(packs, tmp_path, action="rollback", names=[*variants, "int8-sparse"], swap=swap)
    assert {each["at"] for each in found} == ({old, new} if swap else {old, new, None})
    assert {(each["settled"], each["settled_previous"]) for each in found} == {(new, old), (old, new)}


def test_the_real_program_killed_at_random_moments(packs: dict[str, Path], place: Path) -> None:
    rng = random.Random(4)
    unpack_bundle(packs["float32-sparse"], place)
    for turn in range(12):
        pack = packs["int8-dense" if turn % 2 else "int8-sparse"]
        process = subprocess.Popen(command_line("bundle", "unpack", pack, "-o", place), env=environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.05, 0.8))
        process.send_signal(signal.SIGKILL)
        process.wait()
        Bundle.load(place)
    assert edge_asc("bundle", "unpack", packs["int8-sparse"], "-o", place).returncode == 0
    assert names(place.parent) == ["bundle", "bundle.previous"]


def test_a_bundle_that_computes_something_else_never_goes_live(packs: dict[str, Path], place: Path) -> None:
    """All hashes right, but v2 holds v1's network."""
    good = unpack_bundle(packs["float32-sparse"], place).bundle
    members = [NewMember(name=member.name, architecture=member.architecture, seed=member.seed,
                         models={"float32-sparse": good.member_bytes(source, "float32-sparse")})
               for member, source in zip(good.members, ("v1", "v1", "i1"), strict=True)]
    save_bundle(place.parent / "wrong", labels=good.labels, features=good.features, members=members, audit={},
                golden=good.golden(), model_card="", made={}, default_variant="float32-sparse")
    done = edge_asc("bundle", "pack", place.parent / "wrong", "-o", place.parent / "pack", "--golden", "recorded")
    assert done.returncode == 0, done.stderr
    refused = edge_asc("bundle", "unpack", place.parent / "pack", "-o", place)
    assert_one_error(refused, "float32-sparse v2 differs by", "nothing was replaced")
    assert Bundle.load(place).to_json() == good.to_json()
    assert edge_asc("bundle", "unpack", place.parent / "pack", "-o", place, "--no-replay").returncode == 0
    assert edge_asc("bundle", "rollback", place).returncode == 0
    assert Bundle.load(place).to_json() == good.to_json()
