"""Ten thousand damaged files: each is refused in words or read; none crashes, hangs or stops an interpreter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from edge_asc.bundle import Bundle
from edge_asc.errors import BundleError, ModelFileError
from edge_asc.tflite_file import compact, densify, read_model
from tests.program import BUNDLE
from tests.tflite_models import NAMES, ROOT, model

N_MUTATIONS, N_PARTS = 10_000, 4
N_RUN = 200


def sources() -> list[bytes]:
    return [data for name in NAMES if name.startswith("v-") for data in (model(name), compact(model(name)))]


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One of: cut off; bits flipped; bytes replaced; a word set to something nasty; a piece copied elsewhere."""
    changed, n = bytearray(data), len(data)
    kind = rng.integers(5)
    if kind == 0:
        return bytes(changed[:rng.integers(n)])
    if kind == 1:
        for _ in range(rng.integers(1, 4)):
            changed[rng.integers(n)] ^= 1 << rng.integers(8)
    elif kind == 2:
        for _ in range(rng.integers(1, 9)):
            changed[rng.integers(n)] = rng.integers(256)
    elif kind == 3:
        place = 4 * rng.integers(n // 4 - 1)
        word = rng.choice([0, 1, 255, 65535, n, n - 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF])
        changed[place:place + 4] = int(word).to_bytes(4, "little")
    else:
        target, source = rng.integers(n - 64, size=2)
        length = rng.integers(4, 64)
        changed[target:target + length] = data[source:source + length]
    return bytes(changed)


def accepted(n: int, *, seed: int) -> list[bytes]:
    """The mutations that `read_model` takes for good."""
    rng, files, found = np.random.default_rng(seed), sources(), []
    for number in range(n):
        data = mutated(files[number % len(files)], rng)
        try:
            read_model(data)
            found.append(data)
        except ModelFileError:
            continue
    return found


@pytest.mark.parametrize("part", range(N_PARTS))
def test_damage_is_refused_in_words_or_read_and_quickly(part):
    rng, files, slowest_s = np.random.default_rng([3, part]), sources(), 0.0
    n_refused = 0
    for number in range(N_MUTATIONS // N_PARTS):
        data = mutated(files[number % len(files)], rng)
        begin = time.process_time()
        try:
            read_model(data)
        except ModelFileError:
            n_refused += 1
        slowest_s = max(slowest_s, time.process_time() - begin)
    assert n_refused > 0.4 * N_MUTATIONS / N_PARTS  # the rest flipped bits of weights, scales or names
    assert slowest_s < 1.0


def test_no_change_of_a_bundle_goes_unseen(tmp_path):
    """What reads as another network, a flipped bit of a weight say, is for the hash of the bundle to find."""
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    path = tmp_path / "bundle" / "members" / "int8-sparse" / "v1.tflite"
    good, rng = path.read_bytes(), np.random.default_rng(8)
    for _ in range(300):
        data = mutated(good, rng)
        if data == good:
            continue
        path.write_bytes(data)
        with pytest.raises(BundleError, match=r"v1\.tflite"):
            Bundle.load(tmp_path / "bundle")


def test_every_truncation_is_refused():
    data = compact(model("v-int8-sparse"))
    for n in range(len(data) - 3):  # the last bytes may be padding
        with pytest.raises(ModelFileError):
            read_model(data[:n])


def test_what_is_read_can_be_rewritten():
    for data in accepted(300, seed=5):
        read_model(compact(data))
        read_model(densify(data))


def test_lists_that_share_their_entries_do_not_multiply_the_work():
    # A table whose lists all point at one another's entries: small in bytes, endless if every path were walked.
    data = bytearray(b"\0" * 16)
    n = 50_000
    body = (n).to_bytes(4, "little") + b"".join((4 * (n - i)).to_bytes(4, "little") for i in range(n))
    begin = time.process_time()
    with pytest.raises(ModelFileError):
        read_model(bytes(data[:4]) + b"TFL3" + bytes(data[8:]) + body)
    assert time.process_time() - begin < 1.0


def test_no_accepted_file_stops_the_interpreter():
    """In a process of its own, which must come to its end."""
    if os.environ.get("_FUZZ_CHILD"):
        from ai_edge_litert import interpreter as module

        for data in accepted(3 * N_RUN, seed=int(os.environ["_FUZZ_CHILD"]))[:N_RUN]:
            dense = densify(data)
            for resolver in (module.OpResolverType.AUTO, module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES):
                try:
                    interpreter = module.Interpreter(model_content=dense, experimental_op_resolver_type=resolver)
                    interpreter.allocate_tensors()
                    interpreter.invoke()
                except (ValueError, RuntimeError):
                    continue
        return
    command = [sys.executable, "-m", "pytest", "-q", "-n0", f"{__file__}::test_no_accepted_file_stops_the_interpreter"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "_FUZZ_CHILD": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
