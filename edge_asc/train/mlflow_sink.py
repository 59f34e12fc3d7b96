"""A training run in MLflow, for those who keep their runs there: `edge-asc train --mlflow URI`.

Everything is read from the run directory, which is complete without it. So nothing is lost while a server is away, a
run that goes on where it stopped goes on in MLflow as well, and a server that does not answer holds training up for
half a minute at a time, and a tenth of the time at most: after a failure nothing is sent for a while.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# MLflow 3 wants to be told that its plain folders are meant; whoever names one means it.
os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from edge_asc.errors import TrainingError
from edge_asc.train.history import Row, read_csv
from edge_asc.train.progress import Reporter
from edge_asc.train.run import AWARE, Run, write_json

EXPERIMENT = "edge-asc"
IDS = "mlflow.json"
"""In the run directory: where MLflow keeps this run and its members, and how many epochs of each it has."""
_BATCH = 100
_PAUSE_S = 60.0
_PAUSE_FACTOR = 9
"""After a failure nothing is sent for a minute, or for so many times as long as the failure took."""


class MlflowSink:
    """One run directory at one tracking server: a run with a nested run for each member.

    Raises:
        TrainingError: The server cannot be reached at the start.
    """

    def __init__(self, uri: str, folder: Path, *, progress: Reporter) -> None:
        self._uri, self._folder, self._progress = uri, folder, progress
        self._client = MlflowClient(tracking_uri=uri)
        self._is_away = False
        self._wait_until_s = 0.0
        try:
            found = self._client.get_experiment_by_name(EXPERIMENT)
            self._experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        except (MlflowException, OSError) as error:
            raise TrainingError(f"MLflow at {uri} cannot be used", found=str(error).splitlines()[0],
                                wanted="a tracking server or a folder, such as http://host:5000 or file:/srv/mlruns",
                                fix="Start the server, or train without --mlflow.") from error
        self._ids = self._read_ids()
        self._reopen()

    def update(self) -> None:
        """Sends what is new in the run directory, unless a server that is away is to be left alone for now."""
        if time.monotonic() >= self._wait_until_s:
            self._update()

    def end(self, status: str) -> None:
        """The last of it, with files and results; `status` is MLflow's: FINISHED, FAILED or KILLED."""
        self._update()
        if self._is_away or not self._ids["run"]:
            return
        try:
            for path in sorted(self._folder.glob("*.*")):
                if path.suffix in (".json", ".png") and path.name != IDS:
                    self._client.log_artifact(self._ids["run"], str(path))
            if (self._folder / "results.json").is_file():
                self._log(self._ids["run"], metrics=_results(json.loads((self._folder / "results.json").read_text(
                    encoding="utf-8"))))
            for run_id in (*self._ids["members"].values(), self._ids["run"]):
                self._client.set_terminated(run_id, status)
        except Exception as error:
            self._progress.say(f"MLflow: {str(error).splitlines()[0]}; the run is whole in {self._folder}")

    def _update(self) -> None:
        """A server that is away is told of once, and gets it all later."""
        if not (self._folder / "run.json").is_file():
            return
        begin_s = time.monotonic()
        try:
            self._send()
            self._is_away = False
        except Exception as error:  # MLflow raises bare ones too, and no tracker may end a training
            if not self._is_away:
                self._progress.say(f"MLflow: {str(error).splitlines()[0]}; training goes on, and it is sent later")
            self._is_away = True
            end_s = time.monotonic()
            self._wait_until_s = end_s + max(_PAUSE_S, _PAUSE_FACTOR * (end_s - begin_s))

    def _read_ids(self) -> dict[str, Any]:
        try:
            ids: dict[str, Any] = json.loads((self._folder / IDS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            ids = {}
        return ids if ids.get("uri") == self._uri else self._nothing_sent()

    def _nothing_sent(self) -> dict[str, Any]:
        return {"uri": self._uri, "run": "", "members": {}, "n_sent": {}}

    def _reopen(self) -> None:
        """A run that goes on is running again. One that was deleted over there begins anew."""
        try:
            for run_id in filter(None, (*self._ids["members"].values(), self._ids["run"])):
                self._client.update_run(run_id, status="RUNNING")
        except MlflowException:
            self._ids = self._nothing_sent()

    def _send(self) -> None:
        run = Run.load(self._folder)
        if not self._ids["run"]:
            self._ids["run"] = self._create(run, self._folder.name, {})
        for name, architecture in run.recipe.members:
            table = run.folder(name) / "history.csv"
            if not table.is_file():
                continue
            if name not in self._ids["members"]:
                self._ids["members"][name] = self._create(run, name, {
                    "mlflow.parentRunId": self._ids["run"], "architecture": architecture})
            self._send_rows(table, name, to=name)
            aware = table.with_name(AWARE) / table.name
            if aware.is_file():
                self._send_rows(aware, f"{name}/{AWARE}", to=name, prefix=f"{AWARE}.")
        write_json(self._folder / IDS, self._ids)

    def _send_rows(self, table: Path, key: str, *, to: str, prefix: str = "") -> None:
        """The rows of a member's table that are new since the last time, counted under `key`."""
        rows, n_sent = read_csv(table), self._ids["n_sent"].get(key, 0)
        self._log(self._ids["members"][to], metrics=[metric for row in rows[n_sent:] for metric in
                                                     _metrics(row, prefix)])
        self._ids["n_sent"][key] = len(rows)

    def _create(self, run: Run, name: str, tags: Mapping[str, str]) -> str:
        made_with = run.about["made_with"]
        tags = {"mlflow.runName": name, "mlflow.source.name": "edge-asc train", **tags,
                "data.sha256": run.about["data"]["sha256"], "platform": made_with["platform"],
                **{f"version.{package}": version for package, version in made_with["versions"].items()}}
        if made_with["git"]:
            tags["mlflow.source.git.commit"] = made_with["git"]
        created = self._client.create_run(self._experiment, tags=tags)
        self._log(created.info.run_id, params=[Param(key, value) for key, value in _flat(run.recipe.to_json()).items()])
        return str(created.info.run_id)

    def _log(self, run_id: str, *, metrics: list[Metric] | None = None, params: list[Param] | None = None) -> None:
        """In batches that every server takes."""
        metrics, params = metrics or [], params or []
        for start in range(0, max(len(metrics), len(params)), _BATCH):
            self._client.log_batch(run_id, metrics=metrics[start:start + _BATCH], params=params[start:start + _BATCH])


class Tracked:
    """A reporter that also has MLflow told of each finished epoch."""

    def __init__(self, reporter: Reporter, sink: MlflowSink) -> None:
        self._reporter, self._sink = reporter, sink
        self.begin, self.advance, self.skip, self.say = (reporter.begin, reporter.advance, reporter.skip, reporter.say)

    def epoch(self, text: str) -> None:
        """The epoch's row stands in history.csv by now."""
        self._reporter.epoch(text)
        self._sink.update()


def _metrics(row: Row, prefix: str) -> list[Metric]:
    return [Metric(f"{prefix}{key}", value, int(time.time() * 1000), int(row["epoch"])) for key, value in row.items()
            if key != "epoch"]


def _results(results: Mapping[str, Any]) -> list[Metric]:
    """The ensemble's figures for the last and the best epoch."""
    return [Metric(f"{which}.ensemble.{key}", value, int(time.time() * 1000), 0)
            for which, judged in results.items() if isinstance(judged, dict)
            for key, value in judged["ensemble"].items() if isinstance(value, float)]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": str(value)}
    return found
