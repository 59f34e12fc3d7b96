"""Pictures: PNG files that decode, of the size they should have, with something on them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.image import imread

from edge_asc.spec import LABELS
from edge_asc.train import plots
from edge_asc.train.floors import chance
from edge_asc.train.metrics import Scores, score

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def scores() -> Scores:
    rng = np.random.default_rng(0)
    return score(rng.dirichlet([1, 1, 1], 30), np.arange(30) % 3, labels=LABELS,
                 scenes=[("airport", "park", "tram")[n % 3] for n in range(30)])


def pixels(png: bytes) -> np.ndarray:
    """[height, width, 4]; the picture is not empty."""
    image = imread(io.BytesIO(png), format="png")
    assert image[..., :3].std() > 0.02
    return image


def history(n: int, **more: float) -> list[dict[str, float]]:
    return [{"epoch": i + 1, "cross_entropy": 1 / (i + 1), "kernel_sparsity": i / n, **more} for i in range(n)]


def test_curves_of_members_with_and_without_a_selection() -> None:
    png = plots.curves({"v1": history(5, validation_log_loss=1.0, validation_macro_accuracy=0.5),
                        "i1": history(3, selection_log_loss=1.0, selection_macro_accuracy=0.5)})
    assert pixels(png).shape[:2] == (715, 1210)  # 6.5 x 11 inches


def test_curves_of_nothing_are_still_a_picture() -> None:
    assert pixels(plots.curves({})).shape[:2] == pixels(plots.curves({"v1": []})).shape[:2] == (715, 1210)


def test_confusion(scores: Scores) -> None:
    assert pixels(plots.confusion(scores)).shape[:2] == (506, 572)
    assert plots.confusion(scores) == plots.confusion(scores)
    assert plots.confusion(scores, title="another") != plots.confusion(scores)


def test_a_bar_per_scene_makes_the_picture_higher(scores: Scores) -> None:
    few = pixels(plots.scenes(scores))
    many = score(np.full((30, 3), 1 / 3), np.zeros(30, int), labels=LABELS, scenes=[f"scene{n}" for n in range(30)])
    assert pixels(plots.scenes(many)).shape[0] > 3 * few.shape[0]


def test_levels(scores: Scores) -> None:
    points = {gain_db: (scores, (chance(3),)) for gain_db in (0.0, -20.0, 10.0)}
    assert pixels(plots.levels(points)).shape[:2] == (440, 715)
