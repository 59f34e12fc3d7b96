"""Signatures: only the holder of the key can make a bundle that a node with its public half will run."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edge_asc.bundle import Bundle
from edge_asc.bundle.packing import parse_pack
from edge_asc.bundle.signing import new_key_pair, sign, verify
from edge_asc.bundle.updating import rollback_bundle, unpack_bundle
from edge_asc.errors import BundleError, InputError, MissingDependencyError
from tests.conftest import WavFile, require_program
from tests.full_disk import full_disk
from tests.packs import content_of, joined, packed, sealed
from tests.program import BUNDLE, assert_one_error, edge_asc
from tests.sounds import sound


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pairs mine, mine.pub and theirs, theirs.pub."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("mine", "theirs"):
        new_key_pair(folder / name)
    return folder


@pytest.fixture
def signed(keys: Path, tmp_path: Path) -> Path:
    """An unpacked bundle, signed with mine."""
    return unpack_bundle(packed(tmp_path / "pack", private_key=keys / "mine"), tmp_path / "bundle").bundle.path


def test_a_new_pair(tmp_path: Path) -> None:
    private, public = new_key_pair(tmp_path / "key")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert "PRIVATE" not in public.read_text()
    before = private.read_bytes(), public.read_bytes()
    with pytest.raises(InputError, match=r"key exists, and a key is never overwritten"):
        new_key_pair(tmp_path / "key")
    assert (private.read_bytes(), public.read_bytes()) == before
    private.unlink()
    with pytest.raises(InputError, match=r"key\.pub exists, and a key is never overwritten"):
        new_key_pair(tmp_path / "key")


def test_sign_and_verify(keys: Path) -> None:
    signature = sign(b"text", private_key=keys / "mine")
    assert len(signature) == 64
    verify(b"text", signature, public_key=keys / "mine.pub", where="it")
    wrong = [(b"texT", signature), (b"text", signature[:-1]), (b"text", bytes(64)), (b"text", b""),
             (b"text", sign(b"text", private_key=keys / "theirs"))]
    for data, other in wrong:
        with pytest.raises(BundleError, match=r"^it is signed by another key than .*mine\.pub, or was changed"):
            verify(data, other, public_key=keys / "mine.pub", where="it")
    with pytest.raises(BundleError, match=r"^it is not signed"):
        verify(b"text", None, public_key=keys / "mine.pub", where="it")


def test_files_that_are_not_the_key_that_is_wanted(keys: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "broken").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "ec").write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(
        pem, pkcs8, serialization.NoEncryption()))
    (tmp_path / "locked").write_bytes(ed25519.Ed25519PrivateKey.generate().private_bytes(
        pem, pkcs8, serialization.BestAvailableEncryption(b"secret")))
    for path in (*tmp_path.iterdir(), keys / "mine.pub"):
        with pytest.raises(InputError, match=r"is no key to sign with.*Make one: edge-asc bundle keygen"):
            sign(b"text", private_key=path)
    for path in (*tmp_path.iterdir(), keys / "mine"):
        with pytest.raises(InputError, match=r"is no key to check signatures with.*Give the \.pub file"):
            verify(b"text", bytes(64), public_key=path, where="it")
    with pytest.raises(InputError, match="cannot read the key"):
        sign(b"text", private_key=tmp_path / "gone")


def test_a_full_disk_leaves_no_half_of_a_pair(tmp_path: Path) -> None:
    with full_disk(0), pytest.raises(InputError, match="cannot write the key"):
        new_key_pair(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []
    new_key_pair(tmp_path / "key")


def test_a_signed_bundle_is_loaded_with_the_right_key_alone(keys: Path, signed: Path) -> None:
    assert Bundle.load(signed) == Bundle.load(signed, public_key=keys / "mine.pub")
    with pytest.raises(BundleError, match="is signed by another key"):
        Bundle.load(signed, public_key=keys / "theirs.pub")
    with pytest.raises(BundleError, match="is not signed; wanted a signature by the holder of"):
        Bundle.load(BUNDLE, public_key=keys / "mine.pub")


def test_no_change_goes_unnoticed(keys: Path, signed: Path) -> None:
    """A member with its hash in the manifest put right, as one would who can write there but not sign."""
    import hashlib

    member = signed / "members" / "int8-sparse" / "v1.tflite"
    member.write_bytes((signed / "members" / "int8-sparse" / "v2.tflite").read_bytes())
    manifest = json.loads((signed / "manifest.json").read_text())
    manifest["members"][0]["files"]["int8-sparse"] |= {
        "sha256": hashlib.sha256(member.read_bytes()).hexdigest(), "n_bytes": member.stat().st_size}
    (signed / "manifest.json").write_text(json.dumps(manifest))
    Bundle.load(signed)
    with pytest.raises(BundleError, match="or was changed after signing"):
        Bundle.load(signed, public_key=keys / "mine.pub")


def test_a_signature_that_is_no_file_or_huge(keys: Path, signed: Path) -> None:
    (signed / "manifest.sig").write_bytes(bytes(1 << 20))
    with pytest.raises(BundleError, match="signed by another key"):
        Bundle.load(signed, public_key=keys / "mine.pub")
    (signed / "manifest.sig").unlink()
    (signed / "manifest.sig").mkdir()
    with pytest.raises(BundleError, match="is not signed"):
        Bundle.load(signed, public_key=keys / "mine.pub")


def test_forged_packs_are_refused_before_their_manifest_is_read(keys: Path, tmp_path: Path) -> None:
    good = packed(tmp_path / "pack", private_key=keys / "mine").read_bytes()
    signature = parse_pack(good, where="pack", public_key=keys / "mine.pub").signature
    assert signature is not None
    manifest, files = content_of(good)
    manifest["default_variant"] = ["not", "even", "a", "name"]
    for forged in (signature, b"", bytes(64)):
        with pytest.raises(BundleError, match="signed"):
            parse_pack(sealed(joined(manifest, files, signature=forged)), where="pack", public_key=keys / "mine.pub")


def test_rollback_asks_for_the_signature_too(keys: Path, tmp_path: Path) -> None:
    unpack_bundle(packed(tmp_path / "plain"), tmp_path / "bundle")
    unpack_bundle(packed(tmp_path / "pack", private_key=keys / "mine"), tmp_path / "bundle",
                  public_key=keys / "mine.pub")
    with pytest.raises(BundleError, match=r"bundle\.previous is not signed"):
        rollback_bundle(tmp_path / "bundle", public_key=keys / "mine.pub")
    Bundle.load(tmp_path / "bundle", public_key=keys / "mine.pub")


def test_a_signature_is_added_to_a_bundle_that_stands_there_without(keys: Path, tmp_path: Path) -> None:
    unpack_bundle(packed(tmp_path / "plain"), tmp_path / "bundle")
    pack = packed(tmp_path / "pack", private_key=keys / "mine")
    assert unpack_bundle(pack, tmp_path / "bundle", public_key=keys / "mine.pub").is_new


def test_openssl_agrees(keys: Path, signed: Path, tmp_path: Path) -> None:
    openssl = require_program("openssl")

    def run(*arguments: object) -> None:
        subprocess.run([openssl, *map(str, arguments)], check=True, capture_output=True)

    run("pkeyutl", "-verify", "-rawin", "-in", signed / "manifest.json", "-sigfile", signed / "manifest.sig", "-pubin",
        "-inkey", keys / "mine.pub")
    run("genpkey", "-algorithm", "ed25519", "-out", tmp_path / "key")
    run("pkey", "-in", tmp_path / "key", "-pubout", "-out", tmp_path / "key.pub")
    verify(b"text", sign(b"text", private_key=tmp_path / "key"), public_key=tmp_path / "key.pub", where="it")


def test_without_the_extra(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'edge-asc\[sign\]'"):
        sign(b"text", private_key=keys / "mine")
    Bundle.load(BUNDLE)


def test_the_command_line(keys: Path, signed: Path, tmp_path: Path, wav_file: WavFile) -> None:
    wav = wav_file(sound("outdoor", 2))
    mine, theirs = keys / "mine.pub", keys / "theirs.pub"
    for verb in (["listen", "--wav", wav, "--bundle", signed], ["classify", wav, "--bundle", signed],
                 ["verify", signed]):
        done = edge_asc(*verb, "--public-key", mine)
        assert done.returncode == 0, done.stderr
        assert_one_error(edge_asc(*verb, "--public-key", theirs), "is signed by another key", "Do not use this bundle")
    config = tmp_path / "node.toml"
    shutil.copy(theirs, tmp_path / "the.pub")
    config.write_text(f'[listen]\nbundle = "{signed}"\npublic_key = "the.pub"\n')
    assert_one_error(edge_asc("listen", "--wav", wav, "--config", config), "is signed by another key")
    pack = tmp_path / "pack"
    assert edge_asc("bundle", "keygen", tmp_path / "new").returncode == 0
    done = edge_asc("bundle", "pack", BUNDLE, "-o", pack, "--sign", tmp_path / "new")
    assert "3 members, float32-sparse, signed" in done.stdout
    done = edge_asc("bundle", "unpack", pack, "-o", signed, "--public-key", tmp_path / "new.pub")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert_one_error(edge_asc("bundle", "unpack", pack, "-o", signed, "--public-key", mine), "signed by another key")
    assert_one_error(edge_asc("bundle", "keygen", tmp_path / "new"), "exists, and a key is never overwritten")
    Bundle.load(signed, public_key=tmp_path / "new.pub")
