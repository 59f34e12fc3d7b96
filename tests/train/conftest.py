"""One small data set and one finished run for all tests that only look at them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.train import tiny_sounds


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What training finds out about this machine is kept for the session, and for the processes that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of easy sounds; its features are cached by whoever comes first."""
    return tiny_sounds.write_sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="session")
def sounds_run(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on it."""
    from edge_asc.train.fit import train_ensemble

    return train_ensemble(tiny_sounds.recipe(), sounds, tmp_path_factory.mktemp("run"), n_jobs=1).path
