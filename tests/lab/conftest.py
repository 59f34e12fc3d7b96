"""The small data set of the tests of training."""

from tests.train.conftest import sounds as sounds
