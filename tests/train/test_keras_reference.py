"""Keras as the yardstick of a parity report, the whole report of a real run, and the packed size of the ensemble."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edge_asc.bundle import Bundle, NewMember, save_bundle
from edge_asc.bundle.packing import pack_bundle
from edge_asc.cli.parity import command
from edge_asc.errors import TrainingError
from edge_asc.runtime import record_golden, record_self_test
from edge_asc.spec import LABELS, FeatureSpec
from edge_asc.tflite_file import Tensor, compact, read_model, write_model
from edge_asc.train.convert import convert_run
from edge_asc.train.keras_reference import find_run, keras_reference
from edge_asc.train.member_files import convert_member
from edge_asc.train.models import build, kernels
from edge_asc.train.parity_data import parity_data
from tests.sounds import SPEC, sound

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def bundle(sounds_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return convert_run(sounds_run, tmp_path_factory.mktemp("parity") / "bundle",
                       variants=("int8-sparse", "float32-sparse"), default_variant="int8-sparse")


def without_float(bundle: Bundle, path: Path, **changed: object) -> Bundle:
    """The same bundle with int8 files alone."""
    golden = bundle.golden()
    members = [NewMember(name=member.name, architecture=member.architecture, seed=member.seed,
                         models={"int8-sparse": bundle.member_bytes(member.name, "int8-sparse")})
               for member in bundle.members]
    return save_bundle(path, labels=bundle.labels, features=bundle.features, members=members, audit={}, model_card="",
                       golden=dataclasses.replace(golden, outputs={"int8-sparse": golden.outputs["int8-sparse"]}),
                       made=changed.get("made", bundle.made), default_variant="int8-sparse")


def test_keras_answers_as_the_float32_files_do(bundle: Bundle, sounds: Path, sounds_run: Path, tmp_path: Path) -> None:
    data = parity_data(sounds, bundle, split="validation", max_windows=6)
    reference = keras_reference(sounds_run, bundle, data.windows)
    assert reference.probabilities.shape == (2, 6, 3)
    assert reference.name == f"Keras, float32, run {sounds_run}, weights last"
    assert reference.notes == ()
    small = without_float(bundle, tmp_path / "small", made={})
    again = keras_reference(sounds_run, small, data.windows, weights="best")
    assert "does not say that it was made from" in again.notes[0]
    assert set(again.float_files) == {"v1", "i1"}, "converted for want of float32 files"
    assert read_model(again.float_files["v1"]).tensors[0].dtype == np.float32


def test_the_run_is_found_beside_its_bundle(bundle: Bundle, sounds_run: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text("{")
    (tmp_path / "run" / "run.json").write_bytes((sounds_run / "run.json").read_bytes())
    near = without_float(bundle, tmp_path / "work" / "bundle")
    assert find_run(near) == tmp_path / "run"
    assert find_run(without_float(bundle, tmp_path / "bundle", made={})) is None


def test_a_run_of_other_members_is_refused(bundle: Bundle, sounds_run: Path) -> None:
    first, second = bundle.members
    other = dataclasses.replace(bundle, members=(first, dataclasses.replace(second, name="i9")))
    with pytest.raises(TrainingError, match=r"did not train all members of .*; found v1, i1; wanted i9"):
        keras_reference(sounds_run, other, np.zeros((1, SPEC.n_mels, SPEC.n_frames), np.float32))


def test_the_whole_report(bundle: Bundle, sounds: Path, sounds_run: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(command, [str(bundle.path), str(sounds), "--run", str(sounds_run), "--max-windows", "6",
                                        "--layer-windows", "2", "-o", str(tmp_path / "out"), "--members"],
                              catch_exceptions=False)
    assert done.exit_code == 0, done.output
    parity = json.loads((tmp_path / "out" / "parity.json").read_text())
    assert parity["reference"].startswith("Keras, float32, run ")
    assert parity["notes"] == []
    rows = {(each["variant"], each["engine"], each["member"]): each for each in parity["answers"]}
    assert rows["float32-sparse", "LiteRT built-in", "ensemble"]["largest_difference"] < 1e-5
    assert rows["int8-sparse", "TFLite Micro", "ensemble"]["from_first_engine"] == 0
    assert rows["int8-sparse", "LiteRT", "ensemble"]["label_agreement"] > 0.5
    for each in parity["layers"]:
        if each["variant"] == "float32-sparse" and each["against"] == "float32":
            assert max(gap["largest_steps"] for gap in each["gaps"]) == 0
    page = (tmp_path / "out" / "parity.html").read_text()
    assert page.count("data:image/png") == 2
    assert "Keras, float32, run" in done.output


# The number to reach: packed for the air, int8, 5 V(2,2,3,3) + 1 I(2,1,2), 80 % zeros ---------------------------------


def drawn_again(data: bytes, *, seed: int) -> bytes:
    """An int8 network of the same shape with other weights, 80 % of them zero, other scales and other biases."""
    model, rng = read_model(data), np.random.default_rng(seed)
    tensors = list(model.tensors)

    def replace(tensor: Tensor, values: np.ndarray, scale: np.ndarray) -> None:
        assert tensor.quantization is not None
        quantization = dataclasses.replace(tensor.quantization, scale=scale.astype(np.float32))
        tensors[tensor.index] = dataclasses.replace(tensor, data=values.astype(tensor.dtype), quantization=quantization)

    for operator in model.operators:
        if operator.name not in ("CONV_2D", "FULLY_CONNECTED"):
            continue
        source, weights, bias = (model.tensors[index] for index in operator.inputs)
        values = rng.normal(0, 45, weights.n_elements)
        values[np.abs(values) < np.quantile(np.abs(values), 0.8)] = 0
        values = np.clip(np.rint(values), -127, 127).reshape(weights.shape)
        scale = weights.quantization.scale * rng.uniform(0.5, 1.5, weights.quantization.scale.shape)
        replace(weights, values, scale)
        replace(bias, rng.integers(-9000, 9000, bias.shape),
                source.quantization.scale * scale.astype(np.float32))
    return compact(write_model(dataclasses.replace(model, tensors=tuple(tensors))), sparse=True)


def test_the_papers_ensemble_fits_through_the_air(tmp_path: Path) -> None:
    spec, members = FeatureSpec(), []
    windows = np.clip(np.random.default_rng(0).normal(-45, 15, (2, 48, 467)), -100, 30).astype(np.float32)
    for architecture, names in (("V(2,2,3,3)", ("v1", "v2", "v3", "v4", "v5")), ("I(2,1,2)", ("i1",))):
        model = build(architecture, seed=1)
        for weight in model.weights:
            if not weight.numpy().any():
                weight.assign(weight + 0.01)  # the converter leaves out what is zero
        for kernel in kernels(model).values():
            kernel.assign(np.where(np.abs(kernel) > np.quantile(np.abs(kernel), 0.8), kernel, 0))
        dense = convert_member(model, ["int8-dense"], windows)["int8-dense"]
        members += [NewMember(name=name, architecture=architecture, seed=seed,
                              models={"int8-sparse": drawn_again(dense, seed=seed)})
                    for seed, name in enumerate(names, start=1)]
    clip = sound("outdoor", spec.window_s + 0.01)
    bundle = save_bundle(tmp_path / "b", labels=LABELS, features=spec, members=members, audit={}, made={},
                         golden=lambda bundle: record_golden(bundle, clip), model_card="# Card\n",
                         default_variant="int8-sparse")
    assert sum(member.files["int8-sparse"].n_bytes for member in bundle.members) > 280 * 1024, "nothing came for free"
    assert pack_bundle(bundle, tmp_path / "pack", golden=record_self_test) <= 200 * 1024
