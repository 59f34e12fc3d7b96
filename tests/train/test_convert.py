"""Keras -> TFLite -> bundle: zeros stay zeros, answers stay answers, the files are as small as promised."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras
from click.testing import CliRunner

from edge_asc.audit import parse_budgets
from edge_asc.bundle import Bundle
from edge_asc.cli.convert import command
from edge_asc.errors import InputError, OverBudgetError, TrainingError, VerificationError
from edge_asc.runtime import load_ensemble, verify_bundle
from edge_asc.runtime.interpreter import InterpretedMember
from edge_asc.tflite_file import compact, densify, is_sparse, read_model
from edge_asc.train import convert
from edge_asc.train.convert import convert_run
from edge_asc.train.execution import describe, executions_from_json
from edge_asc.train.fit import train_ensemble
from edge_asc.train.member_files import VARIANTS, check_member, convert_member, keras_counts
from edge_asc.train.models import build, kernels
from edge_asc.train.recipes import from_mapping
from edge_asc.train.run import Run
from tests.data.tiny_tau import write_tiny
from tests.golden import make_models

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def inputs() -> np.ndarray:
    return make_models.windows()


@pytest.fixture(scope="module")
def network(inputs) -> keras.Model:
    return make_models.seeded("V(1,0,1,0)", inputs, seed=1)


@pytest.fixture(scope="module")
def files(network, inputs) -> dict[str, bytes]:
    return convert_member(network, VARIANTS, inputs)


# One member

def test_every_variant_is_made_and_agrees_with_keras(network, files, inputs):
    assert tuple(files) == VARIANTS
    for variant, data in files.items():
        assert is_sparse(data) == variant.endswith("-sparse")
        agreement = check_member(network, data, variant, inputs)
        assert agreement.largest_difference < {"float32": 1e-5, "float16": 0.02, "int8": 0.2}[variant.split("-")[0]]
        assert agreement.label_agreement > 0.8
        n_weights = sum(kernel.numpy().size for kernel in kernels(network).values())
        assert agreement.n_kernel_zeros == pytest.approx(0.8 * n_weights, abs=5)
        assert agreement.n_new_zeros <= 0.01 * n_weights


def test_every_file_takes_and_gives_one_window_in_its_own_type(files):
    for variant, data in files.items():
        found = read_model(data)
        source, target = found.tensors[found.inputs[0]], found.tensors[found.outputs[0]]
        assert (source.shape, target.shape) == ((1, 16, 32, 1), (1, 3))
        assert source.dtype == target.dtype == (np.int8 if variant.startswith("int8") else np.float32)


def test_sparse_and_dense_are_the_same_weights(files):
    for precision in ("float32", "float16", "int8"):
        assert compact(files[f"{precision}-sparse"], sparse=False) == files[f"{precision}-dense"]
        assert not is_sparse(densify(files[f"{precision}-sparse"]))


def test_a_file_of_another_network_is_refused(network, inputs):
    data = convert_member(make_models.seeded("V(1,0,1,0)", inputs, seed=9), ["float32-sparse"], inputs)
    with pytest.raises(VerificationError, match="not zero any more"):
        check_member(network, data["float32-sparse"], "float32-sparse", inputs)


def test_a_float32_file_that_answers_otherwise_is_refused(network, files, inputs):
    altered = keras.models.clone_model(network)
    altered.set_weights([weight * 1.01 for weight in network.get_weights()])
    with pytest.raises(VerificationError, match="does not compute what the Keras model computes"):
        check_member(altered, files["float32-sparse"], "float32-sparse", inputs)


def test_unknown_variants_are_refused(network, inputs):
    with pytest.raises(InputError, match="int3-sparse"):
        convert_member(network, ["int3-sparse"], inputs)


def test_counts_before_folding_are_the_papers():
    for architecture, n, n_batchnorm in (("V(2,2,3,3)", 80_839, 944), ("I(2,1,2)", 167_571, 128)):
        counts = keras_counts(build(architecture))
        assert counts["n_parameters"] == n
        assert sum(layer["n"] for layer in counts["layers"] if layer["kind"] == "BatchNormalization") == n_batchnorm


# The numbers to reach: 5 V(2,2,3,3) + 1 I(2,1,2), random weights, 80 % zeros

@pytest.fixture(scope="module")
def ensemble_bytes() -> dict[str, int]:
    rng = np.random.default_rng(0)
    windows = np.clip(rng.normal(-45, 15, (4, 48, 467)), -100, 30).astype(np.float32)
    total: dict[str, int] = {}
    for architecture, n in (("V(2,2,3,3)", 5), ("I(2,1,2)", 1)):
        model = build(architecture, seed=1)
        for kernel in kernels(model).values():
            values = kernel.numpy()
            kernel.assign(np.where(np.abs(values) > np.quantile(np.abs(values), 0.8), values, 0))
        for variant, data in convert_member(model, ["float16-sparse", "int8-sparse"], windows).items():
            total[variant] = total.get(variant, 0) + n * len(data)
    return total


def test_the_ensemble_is_as_small_as_promised(ensemble_bytes):
    assert ensemble_bytes["int8-sparse"] <= 320 * 1024
    assert ensemble_bytes["float16-sparse"] <= 430 * 1024


# A run

RECIPE = {
    "name": "tiny", "members": {"v1": "V(1,0,0,0)", "i1": "I(0,0,0)"}, "seed": 3,
    "features": {"n_fft": 1024, "hop_length": 512, "n_mels": 16, "n_frames": 32},
    "training": {"epochs": 4, "batch_size": 4, "learning_rate": 3e-3, "norm_momentum": 0.8},
    "pruning": {"begin_epoch": 1, "end_epoch": 2, "every_epochs": 1},
    "augmentation": {"gain_db": [-20.0, 10.0]}}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("convert")
    write_tiny(root / "data", n_train=2, clip_s=1.0)
    train_ensemble(from_mapping(RECIPE), root / "data", root / "run", n_jobs=1)
    return root / "run"


@pytest.fixture(scope="module")
def bundle(run_dir) -> Bundle:
    return convert_run(run_dir, run_dir.parent / "bundle")


def test_a_run_becomes_a_bundle_that_verifies(bundle):
    assert [member.name for member in bundle.members] == ["v1", "i1"]
    assert bundle.variants == convert.DEFAULT_VARIANTS
    assert all(check.ok for check in verify_bundle(bundle, variants=bundle.variants))
    window = bundle.golden().features
    assert load_ensemble(bundle, variant="float32-sparse").probabilities(window).sum() == pytest.approx(1, abs=1e-5)


def test_all_members_quantise_their_input_alike(bundle):
    scales = set()
    for member in bundle.members:
        found = read_model(bundle.member_bytes(member.name, "int8-sparse"))
        quantization = found.tensors[found.inputs[0]].quantization
        scales.add((float(quantization.scale[0]), int(quantization.zero_point[0])))
    assert len(scales) == 1


def test_the_bundle_says_what_was_counted_and_compared(bundle, run_dir):
    audit = bundle.audit()
    assert set(audit["keras"]) == {"v1", "i1"}
    state = Run.load(run_dir).state("v1")
    assert audit["keras"]["v1"]["n_nonzero"] == state["n_nonzero"]
    assert audit["agreement"]["float32-sparse"]["v1"]["largest_difference"] <= 1e-5
    assert set(audit["scores"]) == {"keras", *bundle.variants}
    assert audit["checks"] == []
    card = bundle.model_card()
    step = describe(executions_from_json(Run.load(run_dir).about["execution"]))
    for text in ("V(1,0,0,0)", "int8-sparse", "## Limits", "training windows | 12", "Nothing was trained or chosen",
                 f"training step | {step} |"):
        assert text in card


def test_the_best_epoch_and_own_sections_are_named_for_what_they_are(run_dir, tmp_path):
    made = convert_run(run_dir, tmp_path / "bundle", variants=["float32-sparse"], weights="best",
                       sections={"Floors": "Chance is 0.33."})
    assert made.made["weights"] == "best_on_validation"
    assert "chosen on these very windows" in made.model_card()
    assert "## Floors\n\nChance is 0.33." in made.model_card()


def test_an_ensemble_over_budget_is_not_written(run_dir, tmp_path):
    with pytest.raises(OverBudgetError):
        convert_run(run_dir, tmp_path / "bundle", variants=["int8-sparse"], budgets=parse_budgets(["file=1KB"]))
    assert not list(tmp_path.iterdir())


def test_impossible_wishes_are_refused_before_any_work(run_dir, tmp_path):
    for arguments in ({"variants": []}, {"variants": ["int8"]},
                      {"variants": ["int8-dense"], "default_variant": "int8-sparse"}):
        with pytest.raises(InputError):
            convert_run(run_dir, tmp_path / "bundle", **arguments)


def test_another_data_set_is_refused(run_dir, tmp_path):
    write_tiny(tmp_path / "other", n_train=3, clip_s=1.0)
    with pytest.raises(TrainingError, match="not the data set"):
        convert_run(run_dir, tmp_path / "bundle", dataset_dir=tmp_path / "other")


def test_an_unfinished_run_is_refused(run_dir, tmp_path):
    shutil.copytree(run_dir, tmp_path / "run")
    (tmp_path / "run" / "members" / "i1" / "state.json").unlink()
    with pytest.raises(TrainingError, match=r"i1 .* is not finished"):
        convert_run(tmp_path / "run", tmp_path / "bundle")


def test_a_moved_data_set_and_an_own_golden_clip(run_dir, tmp_path):
    shutil.copytree(run_dir.parent / "data", tmp_path / "moved", ignore=shutil.ignore_patterns("features"))
    clip = next((tmp_path / "moved" / "audio").glob("*.wav"))
    made = convert_run(run_dir, tmp_path / "bundle", variants=["float32-sparse"], dataset_dir=tmp_path / "moved",
                       golden_clip=clip)
    assert clip.name in made.model_card()
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text())["made"]["converted"]


def test_the_verb_writes_a_bundle_and_one_file(run_dir, tmp_path):
    done = CliRunner().invoke(command, [str(run_dir), "-o", str(tmp_path / "bundle"), "--variants", "float32-sparse",
                                        "--one-file", str(tmp_path / "all.tflite")], catch_exceptions=False)
    assert done.exit_code == 0
    assert "* float32-sparse" in done.stdout
    bundle = Bundle.load(tmp_path / "bundle")
    window = bundle.golden().features
    expected = load_ensemble(bundle).probabilities(window)
    one = InterpretedMember((tmp_path / "all.tflite").read_bytes())
    np.testing.assert_allclose(one.probabilities(window), expected, atol=1e-6)
