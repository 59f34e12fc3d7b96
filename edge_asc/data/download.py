"""`dataset download`: the published data set from Zenodo, several files at a time, unpacked and ready to train on.

Killed at any moment, the same command goes on: a file half there is resumed, a file that is there is not fetched
again, an archive half unpacked is unpacked again. What is unpacked is remembered by its MD5 sum, and its archive goes.
"""

from __future__ import annotations

import errno
import json
import shutil
import threading
import zipfile
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import requests

from edge_asc.atomic import write_text
from edge_asc.data.folder_lock import sole_writer
from edge_asc.data.progress_bar import progress_bar
from edge_asc.data.zenodo import API, Advance, RemoteFile, fetch, list_record, open_session
from edge_asc.errors import DatasetError

RECORDS = {"development": 3670185, "evaluation": 3685835}
"""Of TAU Urban Acoustic Scenes 2020 3Class: 38.6 GB and 23.1 GB."""
STATE = ".download.json"
_ARCHIVES = ".archives"


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """What a call did."""

    folders: tuple[str, ...]
    """Where the data set is, relative to the folder that was named."""
    n_fetched: int
    n_kept: int
    """Files that were there from before."""


def download(record: int, folder: Path, *, n_jobs: int = 4, api: str = API, progress: bool = False) -> Downloaded:
    """Fetches and unpacks every file of a record that is not there yet.

    Args:
        record: Its number.
        folder: Where the data set's own folder goes; made if need be.
        n_jobs: Files at a time.
        api: Another server with Zenodo's record API.
        progress: Show a bar on stderr.

    Raises:
        DatasetError: The server cannot be reached, a file stays damaged, an archive holds what it must not, or the
            disk is too small.
    """
    with sole_writer(folder, wait=False), open_session() as session:
        files = list_record(session, record, api=api)
        work = _Work(folder, session)
        left = [file for file in files if not work.is_done(file)]
        _require_space(work, left, n_jobs)
        total = sum(file.size_bytes for file in files)
        done = total - sum(work.n_missing(file) for file in left)
        with progress_bar(f"record {record}", total=total, done=done, shown=progress) as advance:
            try:
                _all_at_once(work, left, advance, n_jobs)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise _too_small(folder, "no space left", "more") from None
                raise
        if not any(work.archives.iterdir()):
            work.archives.rmdir()
        return Downloaded(folders=work.folders([file.name for file in files]), n_fetched=len(left),
                          n_kept=len(files) - len(left))


class _Work:
    """The folder, and what is remembered of it."""

    def __init__(self, folder: Path, session: requests.Session) -> None:
        self.folder, self.session = folder, session
        self.archives = folder / _ARCHIVES
        self.archives.mkdir(exist_ok=True)
        self.stop = threading.Event()
        self._lock = threading.Lock()
        try:
            self._done: dict[str, dict[str, str | list[str]]] = json.loads(
                (folder / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            # Lost or damaged: everything is fetched again, nothing else can go wrong.
            self._done = {}

    def is_done(self, file: RemoteFile) -> bool:
        """Whether it is unpacked, and its folders are still there."""
        known = self._done.get(file.name, {})
        return known.get("md5") == file.md5 and all((self.folder / name).exists() for name in known["folders"])

    def n_missing(self, file: RemoteFile) -> int:
        """Bytes that are still to be fetched."""
        paths = (self.archives / file.name, self.archives / f"{file.name}.part")
        return file.size_bytes - min(file.size_bytes, sum(path.stat().st_size for path in paths if path.exists()))

    def n_unpacked(self, file: RemoteFile) -> int:
        """Bytes that came out of an archive which was being unpacked; they are replaced one by one."""
        try:
            with zipfile.ZipFile(self.archives / file.name) as opened:
                return sum(member.file_size for member in opened.infolist()
                           if (self.folder / member.filename).is_file())
        except (FileNotFoundError, zipfile.BadZipFile):
            return 0

    def folders(self, names: Sequence[str]) -> tuple[str, ...]:
        """The folders that were unpacked from these files."""
        found = {folder for name in names for folder in self._done[name]["folders"]}
        return tuple(sorted(folder for folder in found if (self.folder / folder).is_dir()))

    def run(self, file: RemoteFile, advance: Advance) -> None:
        """One file, from the server to its place."""
        archive = self.archives / file.name
        if not archive.exists():
            fetch(self.session, file, archive, advance=advance, stop=self.stop)
        if archive.suffix == ".zip":
            unpacked = unpack(archive, self.folder)
            archive.unlink()
        else:
            archive.replace(self.folder / file.name)
            unpacked = [file.name]
        with self._lock:
            self._done[file.name] = {"md5": file.md5, "folders": unpacked}
            write_text(self.folder / STATE, json.dumps(self._done, indent=1) + "\n")


def _all_at_once(work: _Work, files: Sequence[RemoteFile], advance: Advance, n_jobs: int) -> None:
    """Several files in parallel; the first error, or Ctrl-C, ends them all."""
    with ThreadPoolExecutor(n_jobs) as pool:
        tasks = [pool.submit(work.run, file, advance) for file in files]
        try:
            finished, _ = wait(tasks, return_when=FIRST_EXCEPTION)
            for task in finished:
                task.result()
        finally:
            work.stop.set()
            pool.shutdown(cancel_futures=True)


def unpack(archive: Path, folder: Path) -> list[str]:
    """Puts every file of a ZIP archive below `folder`, each in one step, and returns the topmost names.

    Raises:
        DatasetError: It is damaged, a file's checksum is wrong, or a name leads out of the folder.
    """
    temporary = archive.with_name(f"{archive.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    topmost = set()
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                path = PurePosixPath(member.filename)
                if path.is_absolute() or ".." in path.parts or not path.parts:
                    raise DatasetError(f"{archive.name} holds a file that leads out of its folder",
                                       found=member.filename, fix="Do not use this archive.")
                topmost.add(path.parts[0])
                if member.is_dir():
                    continue
                extracted = Path(opened.extract(member, temporary))
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                extracted.replace(target)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise DatasetError(f"{archive} cannot be unpacked", found=error,
                           fix="Delete it and run the same command again.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return sorted(topmost)


def _require_space(work: _Work, left: Sequence[RemoteFile], n_jobs: int) -> None:
    # What comes out of all archives (WAV files hardly shrink in a ZIP file), and those that are there at a time, less
    # what an earlier call has brought of either.
    sizes = sorted((file.size_bytes for file in left), reverse=True)
    there = sum(file.size_bytes - work.n_missing(file) + work.n_unpacked(file) for file in left)
    needed, free = sum(sizes) + sum(sizes[:n_jobs]) - there, shutil.disk_usage(work.folder).free
    if free < needed:
        raise _too_small(work.folder, f"{free / 1e9:.1f} GB free", f"{needed / 1e9:.1f} GB")


def _too_small(folder: Path, found: str, wanted: str) -> DatasetError:
    return DatasetError(f"not enough space in {folder}", found=found, wanted=wanted,
                        fix="Free some space, or name another folder with -o. What is there is kept.")
