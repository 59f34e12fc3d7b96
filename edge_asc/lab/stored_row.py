"""A result as the store keeps it: texts, an .npz file, and a hash over all of them that tells damage."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
from dataclasses import dataclass

import numpy as np

from edge_asc.lab.tasks import Arrays, Outcome, Task


@dataclass(frozen=True)
class StoredRow:
    """A row of the database, or a line of the journal."""

    key: str
    task: str
    """JSON, as are `result` and `provenance`."""
    result: str
    provenance: str
    arrays: bytes
    sha256: str

    @classmethod
    def of(cls, task: Task, outcome: Outcome) -> StoredRow:
        """The row for an outcome."""
        archive = io.BytesIO()
        np.savez_compressed(archive, **outcome.arrays)  # type: ignore[arg-type]  # every key is an array's name
        texts = (task.key, json.dumps(task.to_json()), json.dumps(outcome.result), json.dumps(outcome.provenance))
        return cls(*texts, archive.getvalue(), _hash(*texts, archive.getvalue()))

    @classmethod
    def from_line(cls, line: bytes) -> StoredRow | None:
        """The row of a journal's line; None if the line is damaged."""
        try:
            values = json.loads(line)
            row = cls(**{**values, "arrays": base64.b64decode(values["arrays"], validate=True)})
            return row if row.is_sound else None
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def to_line(self) -> str:
        """A line of the journal."""
        return json.dumps({**vars(self), "arrays": base64.b64encode(self.arrays).decode()}) + "\n"

    @property
    def is_sound(self) -> bool:
        """Whether everything is as it was when the row was made."""
        try:
            return self.sha256 == _hash(self.key, self.task, self.result, self.provenance, self.arrays)
        except (TypeError, AttributeError):  # SQLite gives back whatever type it finds
            return False

    def read_task(self) -> Task:
        """The task that `of` was given."""
        return Task.from_json(json.loads(self.task))

    def read_outcome(self) -> Outcome:
        """The outcome that `of` was given."""
        return Outcome(result=json.loads(self.result), arrays=self._read_arrays(),
                       provenance=json.loads(self.provenance))

    def has_answers_of(self, other: StoredRow) -> bool:
        """Whether both have the same arrays, whatever the seconds that they took, and however they were packed."""
        if self.arrays == other.arrays:
            return True
        ours, theirs = self._read_arrays(), other._read_arrays()
        return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)

    def _read_arrays(self) -> Arrays:
        with np.load(io.BytesIO(self.arrays), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}


COLUMNS = tuple(field.name for field in dataclasses.fields(StoredRow))


def _hash(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
