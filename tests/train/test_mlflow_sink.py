"""MLflow gets every epoch once: as they happen, after an interruption, and after the server was away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from edge_asc.errors import TrainingError
from edge_asc.train import mlflow_sink
from edge_asc.train.fit import train_on
from edge_asc.train.mlflow_sink import EXPERIMENT, MlflowSink, Tracked
from edge_asc.train.progress import Silent
from edge_asc.train.recipes import override
from tests.train import synthetic

pytestmark = pytest.mark.train


class Watched(Silent):
    """Does something after each epoch, and remembers what must be seen."""

    def __init__(self) -> None:
        self.n_epochs, self.lines = 0, []

    def epoch(self, text: str) -> None:
        self.n_epochs += 1
        self.after(self.n_epochs)

    def after(self, n_epochs: int) -> None:
        pass

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_an_interrupted_run_goes_on_in_the_same_runs_and_a_server_may_be_away(tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "run"
    uri, watched = f"file:{store}", Watched()

    def stop_or_hide(n_epochs: int) -> None:
        if n_epochs == 3:
            raise KeyboardInterrupt
        if n_epochs == 5:
            store.rename(tmp_path / "elsewhere")
        if n_epochs == 8:
            (tmp_path / "elsewhere").rename(store)

    watched.after = stop_or_hide
    sink = MlflowSink(uri, out, progress=watched)
    with pytest.raises(KeyboardInterrupt):
        synthetic.train(out, members=["v1"], progress=Tracked(watched, sink))
    sink.end("KILLED")
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    assert {run.info.status for run in client.search_runs([experiment])} == {"KILLED"}

    sink = MlflowSink(uri, out, progress=watched)
    synthetic.train(out, members=["v1"], progress=Tracked(watched, sink))
    sink.end("FINISHED")
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert set(runs) == {"run", "v1"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    whole, member = runs["run"], runs["v1"]
    assert member.data.tags["mlflow.parentRunId"] == whole.info.run_id
    history = client.get_metric_history(member.info.run_id, "validation_macro_accuracy")
    assert [metric.step for metric in history] == list(range(1, 10))
    assert whole.data.params["training.epochs"] == "9"
    assert whole.data.tags["data.sha256"] == synthetic.DATA["sha256"]
    results = json.loads((out / "results.json").read_text())
    assert whole.data.metrics["last.ensemble.log_loss"] == results["last"]["ensemble"]["log_loss"]
    assert {file.path for file in client.list_artifacts(whole.info.run_id)} >= {"run.json", "results.json",
                                                                               "curves.png"}

    for run in runs.values():
        client.delete_run(run.info.run_id)
    MlflowSink(uri, out, progress=watched).end("FINISHED")
    assert len(client.search_runs([experiment])) == 2, "what was deleted over there begins anew"
    said = [line for line in watched.lines if line.startswith("MLflow")]
    assert len(said) == 1, "told once that the server is away"


def test_a_server_that_is_away_is_left_alone_for_a_while_but_not_at_the_end(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, n_tries = tmp_path / "run", []
    synthetic.train(out, members=["v1"], epochs=7)
    sink = MlflowSink(f"file:{tmp_path / 'store'}", out, progress=Silent())

    def fail() -> None:
        n_tries.append(1)
        raise OSError("no answer")

    monkeypatch.setattr(sink, "_send", fail)
    for _ in range(3):
        sink.update()
    assert len(n_tries) == 1
    sink.end("FINISHED")
    assert len(n_tries) == 2
    monkeypatch.setattr(mlflow_sink, "_PAUSE_S", 0.0)
    monkeypatch.setattr(mlflow_sink, "_PAUSE_FACTOR", 0)
    sink._wait_until_s = 0.0
    for _ in range(3):
        sink.update()
    assert len(n_tries) == 5


def test_epochs_with_the_rounding_of_int8_are_told_apart(tmp_path: Path) -> None:
    uri, out = f"file:{tmp_path / 'store'}", tmp_path / "run"
    recipe = override(synthetic.recipe(epochs=7), ["quantization.aware_epochs=2"])
    sink = MlflowSink(uri, out, progress=Silent())
    train_on(synthetic.splits(), recipe, out, members=["v1"], data=synthetic.DATA, progress=Tracked(Silent(), sink))
    sink.end("FINISHED")
    client = MlflowClient(tracking_uri=uri)
    runs = {run.info.run_name: run for run in client.search_runs(
        [client.get_experiment_by_name(EXPERIMENT).experiment_id])}
    for key, n_epochs in (("cross_entropy", 7), ("aware.cross_entropy", 2)):
        steps = [metric.step for metric in client.get_metric_history(runs["v1"].info.run_id, key)]
        assert steps == list(range(1, n_epochs + 1))
    assert "aware.ensemble.log_loss" in runs["run"].data.metrics


def test_a_server_that_is_not_there_is_an_error_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"MLflow at http://127\.0\.0\.1:9 cannot be used.*train without --mlflow"):
        MlflowSink("http://127.0.0.1:9", tmp_path, progress=Silent())
