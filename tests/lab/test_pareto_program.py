"""`edge-asc lab pareto` and `pick` as programs: killed in the middle of a search, taken up, picked, verified."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from edge_asc.lab.store import Store
from edge_asc.lab.tasks import Task
from tests.program import assert_one_error, command_line, edge_asc, environment
from tests.train import tiny_sounds

pytestmark = pytest.mark.train
# As on a user's terminal: tests make every warning an error, and tfmot warns when it is imported.
TERMINAL = {name: value for name, value in environment().items() if name != "PYTHONWARNINGS"}
N_TRIALS = 3


def settings() -> list[str]:
    """The tiny recipe as changes of the one that the laboratory starts from."""
    values = tiny_sounds.recipe(epochs=6).to_json()
    return [f"{section}.{key}={json.dumps(value)}" for section in ("features", "training", "pruning", "augmentation")
            for key, value in values[section].items() if value is not None and key != "selection_fraction"]


def arguments(dataset: Path, out: Path, *more: object) -> list[object]:
    changes = [word for setting in settings() for word in ("--set", setting)]
    return ["lab", "pareto", dataset, "-o", out, "--workers", 1, "--architecture", "I(0,0,0)", "--width", 0.5,
            "--sparsity", 0, "--sparsity", 0.8, "--variant", "int8-sparse", "--ruler", "file", *changes, *more]


def n_done(study: Path) -> int:
    """Trials with a result in a study that another program writes."""
    if not study.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{study}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM trials WHERE state = 'COMPLETE'").fetchone()[0])
    except sqlite3.Error:
        return 0


def trained(said: str) -> list[str]:
    """The tasks that a run reports as finished."""
    return [line.split("done", 1)[1].split("macro")[0] for line in said.splitlines() if " tasks done" in line]


@pytest.fixture(scope="module")
def finished(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A laboratory whose search was killed after a trial and then taken up."""
    out = tmp_path_factory.mktemp("lab")
    study = out / "pareto" / "search.sqlite"
    search = arguments(sounds, out, "--search", N_TRIALS, "--together", 1)
    program = subprocess.Popen(command_line(*search), stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True, env=TERMINAL)
    deadline_s = time.monotonic() + 240
    while n_done(study) < 1:
        assert program.poll() is None, program.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    program.send_signal(signal.SIGKILL)
    before = program.communicate()[1]
    done = edge_asc(*search, env=TERMINAL, timeout_s=280)
    assert done.returncode == 0, done.stderr
    assert not set(trained(before)) & set(trained(done.stderr)), "trained twice"
    assert "Ensembles were chosen on the selection split" in done.stdout
    assert "Hypervolume: 0." in done.stdout
    return out


def test_a_killed_search_ends_with_as_many_trials_as_asked_for(finished: Path) -> None:
    assert n_done(finished / "pareto" / "search.sqlite") == N_TRIALS
    listed = json.loads((finished / "pareto" / "pool" / "pool.json").read_text())["tasks"]
    tried = {Task.from_json(values).key for values in listed}
    assert 2 < len(tried) <= 2 + N_TRIALS
    assert tried == {task.key for task, _ in Store(finished / "store.sqlite")}, "trials are tasks of the store"


def test_the_outputs_say_who_chose_and_fetch_nothing(finished: Path) -> None:
    folder = finished / "pareto"
    values = json.loads((folder / "pareto.json").read_text())
    assert "reported on the validation split" in values["splits"]
    assert any(point["on_front"] and point["interval"]["n_recordings"] == 6 for point in values["points"])
    html = (folder / "pareto.html").read_text()
    assert "Plotly.newPlot" in html
    assert "<script src=" not in html
    assert '"showSendToCloud": false' in html, "plotly's button would upload the figures"
    assert "<h2>The front</h2>" in html
    assert (folder / "pareto.md").read_text().startswith("# Accuracy against complexity")


def test_a_pick_is_a_bundle_that_every_verb_takes(finished: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    budgets = ["--budget", "file=60KB", "--budget", "dcase2020-1b"]
    done = edge_asc("lab", "pick", finished, "-o", bundle, *budgets, "--budget", "latency=1s", "--board", "stm32f405",
                    env=TERMINAL)
    assert done.returncode == 0, done.stderr
    assert f"edge-asc audit {bundle} --budget file=60KB --budget dcase2020-1b;" in done.stdout
    for verb in (["verify", bundle], ["audit", bundle, *budgets],
                 ["firmware", bundle, "-o", tmp_path / "c", "--board", "stm32f405"]):
        checked = edge_asc(*verb)
        assert checked.returncode == 0, checked.stderr
    clip = next(tiny for tiny in Path(json.loads((finished / "pareto/pool/pool.json").read_text())["tasks"][0]
                                      ["dataset"]).glob("audio/*.wav"))
    assert edge_asc("classify", clip, "--bundle", bundle).returncode == 0
    card = (bundle / "MODEL_CARD.md").read_text()
    assert "## How it was picked" in card
    assert "which is reported" in card


def test_what_cannot_be_is_said_in_one_line(finished: Path, tmp_path: Path) -> None:
    nothing = edge_asc("lab", "pick", finished, "-o", tmp_path / "none", "--budget", "file=100B", env=TERMINAL)
    assert_one_error(nothing, "no ensemble of the pool keeps the budgets", "the nearest", "KB over")
    assert not (tmp_path / "none").exists()
    few = tiny_sounds.write_sounds(tmp_path / "few", n_train=1, n_validation=1, n_segments=1)
    assert_one_error(edge_asc(*arguments(few, tmp_path / "lab"), env=TERMINAL), "no recording of", "to hold out")
