"""A cluster of two nodes on this machine: one is killed in the middle, and the table is that of a run without Ray."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from tests.lab import test_pareto_program, tiny_sweep
from tests.program import assert_one_error, command_line, edge_asc

pytestmark = pytest.mark.train


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head and a second node, each with room for one task."""
    node = {"num_cpus": 1, "object_store_memory": 100_000_000}
    made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    made.add_node(**node)
    made.wait_for_nodes()
    yield made
    made.shutdown()


def in_the_middle(cluster: Any, arguments: list[object], out: Path) -> subprocess.Popen[str]:
    """The program, once both nodes are in the middle of a task; or one is, and the other starts its next."""
    program = subprocess.Popen(command_line(*arguments, "--address", cluster.address), stderr=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, text=True, env=tiny_sweep.TERMINAL)
    deadline_s = time.monotonic() + 200
    while len(tiny_sweep.unfinished(out, at_least=1)) < (1 if tiny_sweep.n_finished(out) in (2, 3) else 2):
        assert program.poll() is None, program.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    return program


def test_a_killed_node_changes_nothing_in_the_table(cluster: Any, sounds: Path, swept: Path, tmp_path: Path) -> None:
    program = in_the_middle(cluster, tiny_sweep.arguments(sounds, tmp_path), tmp_path)
    cluster.remove_node(cluster.list_all_nodes()[1], allow_graceful=False)
    _, said = program.communicate(timeout=250)
    assert program.returncode == 0, said
    assert "its worker was lost" in said
    assert "6 of 6 tasks done" in said
    assert tiny_sweep.table(tmp_path) == tiny_sweep.table(swept)


@pytest.mark.slow
def test_a_cluster_that_goes_away_leaves_a_sweep_to_go_on_with(cluster: Any, sounds: Path, swept: Path,
                                                               tmp_path: Path) -> None:
    arguments = tiny_sweep.arguments(sounds, tmp_path)
    program = in_the_middle(cluster, arguments, tmp_path)
    cluster.shutdown()
    _, said = program.communicate(timeout=250)
    assert program.returncode == 1
    assert said.splitlines()[-1].startswith("edge-asc: the Ray cluster at")
    assert "give the same command" in said
    done = edge_asc(*arguments, "--workers", 1, env=tiny_sweep.TERMINAL, timeout_s=280)
    assert done.returncode == 0, done.stderr
    assert tiny_sweep.table(tmp_path) == tiny_sweep.table(swept)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_front_with_a_search_is_that_of_a_run_without_ray(cluster: Any, sounds: Path, tmp_path: Path) -> None:
    fronts = []
    for place in (["--address", cluster.address], []):
        out = tmp_path / f"out{len(fronts)}"
        arguments = test_pareto_program.arguments(sounds, out, "--search", 2, "--together", 2, *place)
        done = edge_asc(*arguments, env=tiny_sweep.TERMINAL, timeout_s=280)
        assert done.returncode == 0, done.stderr
        assert "trial 2 of 2" in done.stderr
        fronts.append(json.loads((out / "pareto" / "pareto.json").read_text()) | {"made_with": None})
    assert fronts[0] == fronts[1]
    assert len(fronts[0]["members"]) == 4


def test_no_cluster_is_one_line(sounds: Path, tmp_path: Path) -> None:
    assert_one_error(edge_asc(*tiny_sweep.arguments(sounds, tmp_path), "--address", "127.0.0.1:1",
                              env=tiny_sweep.TERMINAL), "no Ray cluster at 127.0.0.1:1", "ray start --head")
