"""MLflow gets every epoch once: as they happen, after an interruption, and after the server was away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from edge_asc.errors import TrainingError
from edge_asc.train.mlflow_sink import EXPERIMENT, MlflowSink, Tracked
from edge_asc.train.progress import Silent
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


def test_a_server_that_is_not_there_is_an_error_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"MLflow at http://127\.0\.0\.1:9 cannot be used.*train without --mlflow"):
        MlflowSink("http://127.0.0.1:9", tmp_path, progress=Silent())
