"""The published data set's files as Zenodo lists them, and one file from there onto disk: resumed and checked.

Names, sizes and MD5 sums are asked of Zenodo's record API each time, so nothing here can be out of date.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from edge_asc.errors import DatasetError

API = "https://zenodo.org/api"
N_TRIES = 5
"""Connections in a row that bring nothing new, and times that a file may arrive damaged, before giving up."""
PAUSE_S = 1.0
"""After the first of those connections; twice as long after each further one."""
CHUNK_BYTES = 1 << 16
"""What a connection that breaks may lose."""
_TIMEOUT_S = (15, 60)
_BUSY = (408, 429, 500, 502, 503, 504)

Advance = Callable[[float], None]


class Stopped(Exception):
    """The user or another file's error ended the download; what is there is kept."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file of a record."""

    name: str
    size_bytes: int
    md5: str
    url: str


def open_session() -> requests.Session:
    """A session that asks again when a server is busy, as late as the server wants (Retry-After)."""
    retry = Retry(total=None, connect=2, read=2, status=N_TRIES, backoff_factor=PAUSE_S / 2, status_forcelist=_BUSY,
                  respect_retry_after_header=True)
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    # The bytes as they are stored, or sizes and ranges would mean something else.
    session.headers["Accept-Encoding"] = "identity"
    return session


def list_record(session: requests.Session, record: int, *, api: str = API) -> list[RemoteFile]:
    """The files of a record, by name.

    Raises:
        DatasetError: The server cannot be reached, or its answer is not such a list.
    """
    url = f"{api.rstrip('/')}/records/{record}"
    try:
        answer = session.get(url, timeout=_TIMEOUT_S)
        answer.raise_for_status()
        return sorted((_remote_file(entry) for entry in answer.json()["files"]), key=lambda file: file.name)
    except requests.JSONDecodeError as error:
        raise DatasetError(f"{url} did not answer with JSON", found=error, wanted="a record with its files") from None
    except requests.RequestException as error:
        raise DatasetError(f"{url} cannot be read", found=error, wanted="the record's list of files",
                           fix="Check the connection and run the same command again.") from None
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"the list of files at {url} has another form", found=repr(error),
                           wanted="files with key, size, md5 checksum and link") from None


def _remote_file(entry: dict[str, Any]) -> RemoteFile:
    kind, _, digest = entry["checksum"].partition(":")
    name = entry["key"]
    if kind != "md5" or not re.fullmatch(r"[0-9a-f]{32}", digest):
        raise ValueError(entry["checksum"])
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise ValueError(name)
    return RemoteFile(name=name, size_bytes=int(entry["size"]), md5=digest, url=str(entry["links"]["self"]))


def fetch(session: requests.Session, file: RemoteFile, path: Path, *, advance: Advance,
          stop: threading.Event) -> None:
    """Brings a file to `path`, whole and with the right MD5 sum; goes on with what an earlier call left in `.part`.

    Args:
        advance: Told of new bytes; a negative number takes some back.
        stop: Once set, ends the download.

    Raises:
        DatasetError: The server cannot be reached, or the file arrives damaged again and again.
        Stopped: `stop` was set.
    """
    part = path.with_name(f"{path.name}.part")
    for _ in range(N_TRIES):
        _fetch_bytes(session, file, part, advance=advance, stop=stop)
        with part.open("rb") as arrived:
            found = hashlib.file_digest(arrived, "md5").hexdigest()
        if found == file.md5:
            part.replace(path)
            return
        # Nothing says which bytes are wrong: all of them are fetched anew.
        part.unlink()
        advance(-file.size_bytes)
    raise DatasetError(f"{file.name} arrives damaged", found=f"MD5 {found} the last of {N_TRIES} times",
                       wanted=file.md5, fix="Run the same command again later; the other files are kept.")


def _fetch_bytes(session: requests.Session, file: RemoteFile, part: Path, *, advance: Advance,
                 stop: threading.Event) -> None:
    """Until `part` has all bytes: over and over from where the last connection broke."""
    if part.exists() and part.stat().st_size > file.size_bytes:
        part.unlink()
    n_in_vain, trouble = 0, ""
    part.touch()
    while (begin := part.stat().st_size) < file.size_bytes:
        if n_in_vain == N_TRIES:
            raise DatasetError(f"{file.name} cannot be fetched", found=trouble or "an answer without bytes",
                               wanted=f"{file.size_bytes} bytes, {begin} are there",
                               fix="Check the connection and run the same command again: it goes on from there.")
        if n_in_vain and stop.wait(PAUSE_S * 2 ** (n_in_vain - 1)):
            raise Stopped
        try:
            _fetch_on(session, file, part, begin, advance=advance, stop=stop)
        except requests.RequestException as error:
            trouble = str(error)
        n_in_vain = 0 if part.stat().st_size > begin else n_in_vain + 1


def _fetch_on(session: requests.Session, file: RemoteFile, part: Path, begin: int, *, advance: Advance,
              stop: threading.Event) -> None:
    """One connection: appends to `part`, or begins it anew if the server only gives whole files."""
    headers = {"Range": f"bytes={begin}-"} if begin else {}
    with session.get(file.url, headers=headers, stream=True, timeout=_TIMEOUT_S) as answer:
        answer.raise_for_status()
        goes_on = answer.status_code == requests.codes.partial_content and \
            answer.headers.get("Content-Range", "").startswith(f"bytes {begin}-")
        if begin and not goes_on:
            advance(-begin)
            begin = 0
        left = file.size_bytes - begin
        with part.open("ab" if begin else "wb") as out:
            for chunk in answer.iter_content(CHUNK_BYTES):
                if stop.is_set():
                    raise Stopped
                # More than was announced would only be thrown away with the rest.
                out.write(chunk[:left])
                advance(min(len(chunk), left))
                left -= min(len(chunk), left)
                if not left:
                    return
