"""One small data set and one finished run for all tests that only look at them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.train import tiny_sounds


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of easy sounds; its features are cached by whoever comes first."""
    return tiny_sounds.write_sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="session")
def sounds_run(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on it."""
    from edge_asc.train.fit import train_ensemble

    return train_ensemble(tiny_sounds.recipe(), sounds, tmp_path_factory.mktemp("run"), n_jobs=1).path
