"""Every result of the laboratory, in one append-only SQLite file with a journal of JSON lines beside it.

A result is written to the journal and flushed before SQLite takes it, each row with its SHA-256. A database that is
damaged, lost, or behind is made anew from the journal; a row that is bad in both is refused by name. Stores of
several machines are merged with `merge`.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from edge_asc.atomic import write_text
from edge_asc.errors import StoreError
from edge_asc.lab.stored_row import COLUMNS, StoredRow
from edge_asc.lab.tasks import Outcome, Task

_NAME = "store.sqlite"
"""In the folder of a laboratory."""
_TABLE = """CREATE TABLE IF NOT EXISTS results (
    key TEXT PRIMARY KEY, task TEXT NOT NULL, result TEXT NOT NULL, provenance TEXT NOT NULL, arrays BLOB NOT NULL,
    sha256 TEXT NOT NULL) WITHOUT ROWID"""
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM results"


class Store:
    """Results by task. Opening it checks every row.

    Args:
        path: The SQLite file; made if it is not there. The journal is beside it, with the ending `.jsonl`.

    Raises:
        StoreError: A row is damaged in the database and in the journal, or the file is something else.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.journal = self.path.with_suffix(".jsonl")
        self.repaired: list[str] = []
        """What was mended when the store was opened, one sentence each."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():
            journal, bad_lines = self._read_journal()
            stored = self._read_database()
            self._settle(stored, journal, bad_lines)
        self._connection = self._connect()

    def __contains__(self, task: object) -> bool:
        return isinstance(task, Task) and self._select(task.key) is not None

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM results").fetchone()[0])

    def __iter__(self) -> Iterator[tuple[Task, Outcome]]:
        """All results, in the order of their keys."""
        for row in self._rows():
            yield row.read_task(), row.read_outcome()

    def get(self, task: Task) -> Outcome | None:
        """The outcome of a task, or None while there is none."""
        row = self._select(task.key)
        return None if row is None else row.read_outcome()

    def add(self, task: Task, outcome: Outcome) -> bool:
        """Takes in a result for good; False if the task has one already, which then stays."""
        return self._append([StoredRow.of(task, outcome)]) == 1

    def merge(self, other: Store) -> tuple[int, int]:
        """Takes in what another store has and this one has not.

        Returns:
            How many results were added, and how many tasks have other answers in the other store (another machine
            rounds differently); of those, this store's stays.
        """
        rows = list(other._rows())
        mine = {row.key: row for row in self._rows()}
        n_other = sum(row.key in mine and not row.has_answers_of(mine[row.key]) for row in rows)
        return self._append(rows), n_other

    def close(self) -> None:
        """Nothing more follows."""
        self._connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA journal_mode=DELETE")  # hosts that share a file system cannot share a WAL
        connection.execute(_TABLE)
        return connection

    def _select(self, key: str) -> StoredRow | None:
        found = self._connection.execute(f"{_SELECT} WHERE key = ?", [key]).fetchone()
        return None if found is None else StoredRow(*found)

    def _rows(self) -> Iterator[StoredRow]:
        yield from (StoredRow(*values) for values in self._connection.execute(f"{_SELECT} ORDER BY key").fetchall())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else mends the store or adds to it meanwhile: a line half written would look like one half lost."""
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _append(self, rows: Iterable[StoredRow]) -> int:
        with self._alone():
            new = [row for row in rows if self._select(row.key) is None]
            if new:
                # The journal first: what SQLite has, the journal has.
                with self.journal.open("a", encoding="utf-8") as file:
                    file.writelines(row.to_line() for row in new)
                    file.flush()
                    os.fsync(file.fileno())
                _insert(self._connection, new)
        return len(new)

    def _read_journal(self) -> tuple[dict[str, StoredRow], list[int]]:
        """The sound rows by key, and the numbers of other lines. A last line without its end, as a kill leaves it, is
        cut off."""
        if not self.journal.exists():
            return {}, []
        data = self.journal.read_bytes()
        whole = data[:data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self.journal, len(whole))
            self.repaired.append(f"cut off the unfinished last line of {self.journal.name}")
        rows: dict[str, StoredRow] = {}
        bad = []
        for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
            row = StoredRow.from_line(line)
            if row is None:
                bad.append(number)
            else:
                rows.setdefault(row.key, row)
        return rows, bad

    def _read_database(self) -> dict[str, StoredRow] | None:
        """All rows, sound or not, by key; None if there is no readable database."""
        if not self.path.exists():
            return None
        try:
            with closing(self._connect()) as connection:
                if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
                    return None
                return {values[0]: StoredRow(*values) for values in connection.execute(_SELECT)}
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter: a damaged name in a message
            if getattr(error, "sqlite_errorname", "") in ("SQLITE_BUSY", "SQLITE_LOCKED"):
                raise StoreError(f"another process is writing to {self.path}", fix="Wait until it is done.") from None
            if not self.journal.exists():
                raise StoreError(f"{self.path} is damaged, or no store of results", found=error,
                                 wanted=f"a database, or its journal {self.journal.name} to make it from",
                                 fix="Restore one of them, or name another folder.") from None
            return None

    def _settle(self, stored: dict[str, StoredRow] | None, journal: dict[str, StoredRow], bad_lines: list[int]) -> None:
        """Makes database and journal hold the same sound rows, or refuses."""
        if stored is None and bad_lines:
            raise StoreError(f"line {bad_lines[0]} of {self.journal} is damaged, and there is no database to mend it "
                             "from", fix="Delete that line to go on without its result, which will be made again.")
        sound = {key: row for key, row in (stored or {}).items() if row.is_sound}
        bad = [key for key in stored or {} if key not in sound]
        # Whatever the database has was in the journal first. A damaged row may have lost its key, so they are counted.
        if bad and len(journal) < len(stored or {}):
            lost = next((key for key in bad if key not in journal), bad[0])
            raise StoreError(f"row {lost} of {self.path} is damaged, and so is its line in {self.journal.name}",
                             fix=f"Delete it to have it made again: sqlite3 {self.path} "
                                 f"\"DELETE FROM results WHERE key = '{lost}'\"")
        if self.path.exists() and (stored is None or bad):
            aside = self.path.with_suffix(".damaged")
            self.path.replace(aside)
            for ending in ("-journal", "-wal", "-shm"):
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
            self.repaired.append(f"{self.path.name} was damaged (now {aside.name}) and made anew from its journal")
            stored = None
        rows = journal | sound
        if bad_lines or len(journal) < len(rows):
            write_text(self.journal, "".join(row.to_line() for row in rows.values()))
            self.repaired.append(f"wrote {self.journal.name} anew from the database")
        with closing(self._connect()) as connection:
            _insert(connection, [row for key, row in rows.items() if key not in (stored or {})])


def has_store(out: Path) -> bool:
    """Whether a folder is that of a laboratory: a store is there, or the journal to make it from."""
    return any((out / name).exists() for name in (_NAME, Path(_NAME).with_suffix(".jsonl")))


def open_store(out: Path, say: Callable[[str], None]) -> Store:
    """The store that a laboratory's folder has; `say` is told what had to be mended.

    Raises:
        StoreError: There is none, or as for `Store`.
    """
    if not has_store(out):
        raise StoreError(f"no results in {out}", wanted=f"{_NAME}, or its journal",
                         fix="Name the folder that `edge-asc lab` was given as -o.")
    return make_store(out, say)


def make_store(out: Path, say: Callable[[str], None]) -> Store:
    """As `open_store`; an empty one where there is none."""
    store = Store(out / _NAME)
    for sentence in store.repaired:
        say(f"the store was mended: {sentence}")
    return store


def _insert(connection: sqlite3.Connection, rows: Iterable[StoredRow]) -> None:
    with connection:
        connection.executemany(f"INSERT INTO results VALUES ({', '.join('?' * len(COLUMNS))})",
                               [tuple(getattr(row, name) for name in COLUMNS) for row in rows])
