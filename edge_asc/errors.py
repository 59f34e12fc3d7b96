"""Everything edge-asc raises on purpose, as one tree.

    EdgeAscError
    |-- InputError             something the user handed over cannot be used
    |   |-- AudioError         a file or stream that is not usable sound
    |   |-- DatasetError       a data set or a list of recordings that is not as published
    |   `-- RecipeError        a training recipe with an impossible or unknown value
    |-- ModelFileError         a .tflite file that is damaged or has an unsupported part
    |-- BundleError            a bundle that is damaged, incomplete or of an unknown version
    |-- OverBudgetError        an audit that says no
    |-- VerificationError      two things that must agree and do not
    |-- DeviceError            a microphone that cannot be opened or has gone away
    |-- TrainingError          a run that cannot go on (NaN loss, unusable checkpoint)
    |-- StoreError             a store of results with a damaged row
    `-- MissingDependencyError an extra or a system program that is not installed

Each says what happened, what was found, what was wanted and what to do about it; the command line prints
that and exits with 1. Anything else that escapes is a bug.
"""

from __future__ import annotations


class EdgeAscError(Exception):
    """Base of all errors raised on purpose.

    Args:
        what: What went wrong, one clause, naming the file or value.
        found: What was there.
        wanted: What should have been there.
        fix: What the reader can do now.
    """

    def __init__(self, what: str, *, found: object = None, wanted: object = None, fix: str | None = None) -> None:
        self.what, self.found, self.wanted, self.fix = what, found, wanted, fix
        parts = [what]
        if found is not None:
            parts.append(f"found {found}")
        if wanted is not None:
            parts.append(f"wanted {wanted}")
        text = "; ".join(parts)
        super().__init__(f"{text}. {fix}" if fix else text)


class InputError(EdgeAscError):
    """Something the user handed over cannot be used."""


class AudioError(InputError):
    """A file or stream that is not usable sound."""


class DatasetError(InputError):
    """A data set or a list of recordings that is not as published."""


class RecipeError(InputError):
    """A training recipe with an impossible or unknown value."""


class ModelFileError(EdgeAscError):
    """A .tflite file that is damaged or has an unsupported part."""


class BundleError(EdgeAscError):
    """A bundle that is damaged, incomplete or of an unknown version."""


class OverBudgetError(EdgeAscError):
    """An audit that says no."""


class VerificationError(EdgeAscError):
    """Two things that must agree and do not."""


class DeviceError(EdgeAscError):
    """A microphone that cannot be opened or has gone away."""


class TrainingError(EdgeAscError):
    """A training run that cannot go on."""


class StoreError(EdgeAscError):
    """A store of results with a damaged row."""


class MissingDependencyError(EdgeAscError):
    """An extra or a system program that is not installed."""

    @classmethod
    def extra(cls, feature: str, extra: str) -> MissingDependencyError:
        """The error for a feature whose optional packages are absent."""
        return cls(f"{feature} needs packages that are not installed", fix=f"Run: pip install 'edge-asc[{extra}]'")
