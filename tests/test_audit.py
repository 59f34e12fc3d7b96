"""What is counted, in whose way, and what is said when it is too much."""

from __future__ import annotations

import dataclasses
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edge_asc.audit import (
    DEFAULT_BUDGET,
    PRESETS,
    Budget,
    audit_bundle,
    count_model,
    parse_budgets,
    peak_activation_bytes,
)
from edge_asc.bundle import Bundle
from edge_asc.cli.audit import command
from edge_asc.errors import BundleError, InputError, OverBudgetError
from edge_asc.tflite_file import read_model
from tests.tflite_models import model

BUNDLE = Path(__file__).parent / "golden" / "bundle"
KERAS = {"n_parameters": 900, "n_nonzero": 300, "n_nonzero_without_batchnorm": 200}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(BUNDLE)


# One network

def test_layers_are_counted_as_by_hand():
    layers = {layer.name: layer for layer in count_model(read_model(model("v-float32-dense")))}
    assert list(layers) == ["CONV_2D 1", "CONV_2D 2", "CONV_2D 3", "FULLY_CONNECTED 1", "FULLY_CONNECTED 2"]
    second = layers["CONV_2D 2"]  # 3x3, 12 -> 20 channels, on 4 x 8 positions
    assert second.output_shape == (1, 4, 8, 20)
    assert second.n_weights == 3 * 3 * 12 * 20 + 20
    assert second.macs == 4 * 8 * 3 * 3 * 12 * 20
    assert second.sparsity == pytest.approx(0.8)
    assert second.macs_nonzero == 4 * 8 * round(3 * 3 * 12 * 20 * 0.2)
    assert second.n_nonzero == round(3 * 3 * 12 * 20 * 0.2) + 20
    assert second.weights_bytes == 4 * second.n_weights
    assert layers["FULLY_CONNECTED 2"].macs == 20 * 3


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_sparse_and_dense_files_count_alike_but_for_bytes(precision):
    sparse, dense = (count_model(read_model(model(f"v-{precision}-{encoding}"))) for encoding in ("sparse", "dense"))
    for ours, theirs in zip(sparse, dense, strict=True):
        assert dataclasses.replace(ours, weights_bytes=0) == dataclasses.replace(theirs, weights_bytes=0)
    assert sum(layer.weights_bytes for layer in sparse) < sum(layer.weights_bytes for layer in dense)


def test_memory_of_activations_is_the_largest_sum_alive():
    # The first convolution: its input 16 x 32 and its output 16 x 32 x 12; then that output and its pooled quarter.
    int8, float32 = (peak_activation_bytes(read_model(model(f"v-{each}-dense"))) for each in ("int8", "float32"))
    assert int8 == 16 * 32 * 12 + 8 * 16 * 12
    assert float32 == 4 * int8


# A bundle

def test_a_bundle_is_summed_over_its_members(bundle):
    audit = audit_bundle(bundle, keras={member.name: KERAS for member in bundle.members})
    for variant, (*members, total) in audit.variants.items():
        assert [sizes.name for sizes in members] == [member.name for member in bundle.members]
        assert total.name == "ensemble"
        assert total.n_parameters == 900 * len(members)
        files = [bundle.member_bytes(member.name, variant) for member in bundle.members]
        assert total.file_bytes == sum(len(data) for data in files)
        assert total.compressed_bytes == sum(len(zlib.compress(data, 9)) for data in files)
        assert total.macs == sum(sizes.macs for sizes in members)
        assert total.ram_bytes == max(sizes.ram_bytes for sizes in members)
    assert audit.counts_batchnorm
    assert set(audit.layers) == {member.name for member in bundle.members}


def test_without_counts_from_training_the_files_are_counted(bundle):
    audit = audit_bundle(bundle, keras={})
    sizes = audit.variants[bundle.default_variant][0]
    assert not audit.counts_batchnorm
    assert sizes.n_nonzero == sum(layer.n_nonzero for layer in audit.layers[sizes.name])
    assert sizes.n_nonzero_without_batchnorm == sizes.n_nonzero


def test_the_rule_charges_by_precision(bundle):
    counts = {member.name: KERAS for member in bundle.members}
    n = len(bundle.members)
    for variant, n_bytes in (("float32-sparse", 4), ("int8-sparse", 1)):
        budgets = parse_budgets(["nonzero=1MB", "nonzero-without-batchnorm=1MB", "parameters=1MB", "n-parameters=1M"])
        found = [check.found for check in audit_bundle(bundle, budgets=budgets, variant=variant, keras=counts).checks]
        assert found == [300 * n * n_bytes, 200 * n * n_bytes, 900 * n * n_bytes, 900 * n]


def test_macs_per_second_are_those_of_a_window_over_its_length(bundle):
    audit = audit_bundle(bundle, budgets=parse_budgets(["macs=1G", "macs-per-s=1G"]), keras={})
    per_window, per_second = (check.found for check in audit.checks)
    assert per_second == round(per_window / bundle.features.window_s)


def test_what_is_over_is_said_with_how_much(bundle):
    audit = audit_bundle(bundle, budgets=parse_budgets(["file=1KB", "ram=1MB", "macs=10"]), keras={})
    assert [check.budget.counts for check in audit.over] == ["file", "macs"]
    with pytest.raises(OverBudgetError) as error:
        audit.require_within_budget()
    total = audit.variants[audit.variant][-1]
    n_kb = total.file_bytes / 1024
    assert f"{n_kb:.1f} KB of 1.0 KB, {n_kb - 1:.1f} KB over" in str(error.value)
    assert "macs" in str(error.value)
    assert "ram" not in str(error.value)


def test_a_limit_that_is_met_exactly_is_kept(bundle):
    total = audit_bundle(bundle, keras={}).variants[bundle.default_variant][-1]
    budget = Budget(name="exact", limit=total.file_bytes, counts="file")
    assert not audit_bundle(bundle, budgets=[budget], keras={}).over
    assert audit_bundle(bundle, budgets=[dataclasses.replace(budget, limit=total.file_bytes - 1)], keras={}).over


# Budgets

def test_presets_are_the_rules_by_year():
    assert PRESETS[DEFAULT_BUDGET] == (Budget(name="dcase2020-1b", limit=512_000, counts="nonzero"),)
    assert PRESETS["dcase2020-1b-organisers"][0].counts == "nonzero-without-batchnorm"
    assert PRESETS["dcase2021-1a"][0].limit == 131_072
    assert [(b.counts, b.limit) for b in PRESETS["dcase2022"]] == [("n-parameters", 128_000),
                                                                   ("macs-per-s", 30_000_000)]
    for year in (2023, 2024, 2025):
        assert [(b.counts, b.limit) for b in PRESETS[f"dcase{year}"]] == [("parameters", 128_000),
                                                                          ("macs-per-s", 30_000_000)]


def test_the_papers_ensemble_fits_the_rule_it_was_made_for():
    nonzero_bytes = 119_758 * 4
    assert nonzero_bytes <= PRESETS[DEFAULT_BUDGET][0].limit
    assert f"{nonzero_bytes / 1024:.1f}" == "467.8"
    assert PRESETS[DEFAULT_BUDGET][0].limit < 571_768 * 4


@pytest.mark.parametrize(("text", "limit"), [
    ("file=300KB", 307_200), ("file=0.5 MB", 524_288), ("ram=64kib", 65_536), ("flash=1000", 1000),
    ("macs=30M", 30_000_000),
    ("macs-per-s=2.5g", 2_500_000_000), ("n-parameters=128K", 128_000)])
def test_own_limits_are_read(text, limit):
    assert parse_budgets([text]) == (Budget(name=text, limit=limit, counts=text.partition("=")[0]),)


@pytest.mark.parametrize("text", ["dcase1999", "file", "file=", "file=big", "file=-3KB", "wheels=4", "macs=30MB",
                                  "ram=3G"])
def test_unreadable_limits_are_refused(text):
    with pytest.raises(InputError):
        parse_budgets([text])


@pytest.mark.parametrize("keras", [3, {"v1": 3}, {"v1": {"n_parameters": 3}}, {"v1": KERAS | {"n_nonzero": "many"}}])
def test_counts_that_are_none_are_refused(bundle, monkeypatch, keras):
    monkeypatch.setattr(type(bundle), "audit", lambda self: {"keras": keras})
    with pytest.raises(BundleError, match=r"audit\.json"):
        audit_bundle(bundle)


def test_an_unknown_variant_is_refused(bundle):
    with pytest.raises(InputError, match="no variant 'int3-sparse'"):
        audit_bundle(bundle, variant="int3-sparse")


# The verb

def test_the_verb_prints_layers_members_and_sizes():
    done = CliRunner().invoke(command, [str(BUNDLE)])
    assert done.exit_code == 0
    for text in ("CONV_2D 1", "ensemble", "int8-sparse", "compressed", "fits  dcase2020-1b"):
        assert text in done.stdout
    assert "CONV_2D" not in CliRunner().invoke(command, [str(BUNDLE), "--no-layers"]).stdout


def test_the_verb_says_no():
    done = CliRunner().invoke(command, [str(BUNDLE), "--budget", "file=1KB", "--budget", "dcase2022"])
    assert isinstance(done.exception, OverBudgetError)
    assert "OVER  file=1KB" in done.stdout
    assert "fits  dcase2022" in done.stdout


def test_the_verb_speaks_json():
    done = CliRunner().invoke(command, [str(BUNDLE), "--json", "--variant", "int8-dense"])
    found = json.loads(done.stdout)
    assert found["variant"] == "int8-dense"
    assert [check["ok"] for check in found["checks"]] == [True]
    assert np.isclose(found["layers"]["v1"][0]["sparsity"], 0.8, atol=0.05)
