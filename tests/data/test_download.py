"""The published data set arrives whole over a line that drops, damages and refuses, and after a kill."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_asc.data import zenodo
from edge_asc.data.dataset import TauDataset
from edge_asc.data.download import Downloaded, download, unpack
from edge_asc.errors import DatasetError
from tests.data.flaky_server import RECORD, FlakyServer
from tests.data.tiny_tau import write_tiny
from tests.program import environment

pytestmark = pytest.mark.train

NAME = "TAU-urban-acoustic-scenes-2020-3class-development"


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small data set in three archives, and a text file."""
    root = tmp_path_factory.mktemp("tau") / NAME
    write_tiny(root, clip_s=0.2)
    parts: dict[str, list[Path]] = {"audio.1": [], "audio.2": [], "meta": []}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            parts["meta" if path.suffix == ".csv" else f"audio.{1 + (path.name < 'm')}"].append(path)
    files = {}
    for part, paths in parts.items():
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for path in paths:
                archive.write(path, path.relative_to(root.parent))
        files[f"{NAME}.{part}.zip"] = packed.getvalue()
    return {**files, "README.md": b"about it"}


@pytest.fixture
def server(archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyServer]:
    monkeypatch.setattr(zenodo, "PAUSE_S", 0.02)
    flaky = FlakyServer(archives)
    yield flaky
    flaky.close()


def fetched(server: FlakyServer, folder: Path, **options: int) -> Downloaded:
    return download(RECORD, folder, api=server.api, **options)


def assert_whole(folder: Path, archives: dict[str, bytes]) -> None:
    """Every file of every archive is there, and nothing else."""
    wanted = {"README.md": archives["README.md"]}
    for name, data in archives.items():
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                wanted |= {member: archive.read(member) for member in archive.namelist()}
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert set(found) - set(wanted) == {".lock", ".download.json"}
    assert {name: found[name] for name in wanted} == wanted
    assert len(TauDataset.load(folder / NAME).train) == 6


def test_it_arrives_and_is_not_fetched_twice(server: FlakyServer, archives: dict[str, bytes], tmp_path: Path) -> None:
    done = fetched(server, tmp_path)
    assert (done.n_fetched, done.n_kept, done.folders) == (4, 0, (NAME,))
    assert_whole(tmp_path, archives)
    server.asked.clear()
    assert fetched(server, tmp_path).n_kept == 4
    assert server.asked == [("record", "")]


@pytest.mark.parametrize("ignores_ranges", [False, True])
def test_dropped_connections_are_taken_up(server: FlakyServer, archives: dict[str, bytes], tmp_path: Path,
                                          ignores_ranges: bool) -> None:
    name = f"{NAME}.audio.1.zip"
    server.n_drops[name], server.ignores_ranges = 3, ignores_ranges
    fetched(server, tmp_path)
    assert_whole(tmp_path, archives)
    ranges = [asked for asked_name, asked in server.asked if asked_name == name]
    assert ranges[0] == ""
    assert ranges[1] == f"bytes={zenodo.CHUNK_BYTES}-"


def test_a_damaged_file_is_fetched_again(server: FlakyServer, archives: dict[str, bytes], tmp_path: Path) -> None:
    server.n_damaged[f"{NAME}.meta.zip"] = 2
    fetched(server, tmp_path)
    assert_whole(tmp_path, archives)


def test_a_file_that_stays_damaged_is_refused_and_the_others_are_kept(server: FlakyServer, archives: dict[str, bytes],
                                                                      tmp_path: Path) -> None:
    server.n_damaged[f"{NAME}.meta.zip"] = 1000
    with pytest.raises(DatasetError, match=r"meta\.zip arrives damaged; found MD5 .* wanted"):
        fetched(server, tmp_path, n_jobs=1)
    assert not (tmp_path / NAME / "meta.csv").exists()
    assert (tmp_path / NAME / "audio").is_dir()
    server.n_damaged.clear()
    assert fetched(server, tmp_path).n_kept == 3
    assert_whole(tmp_path, archives)


def test_a_busy_server_is_given_the_time_it_asks_for(server: FlakyServer, archives: dict[str, bytes],
                                                     tmp_path: Path) -> None:
    name = f"{NAME}.audio.2.zip"
    server.refusals = {"record": [(429, {"Retry-After": "1"})], name: [(500, {}), (503, {})]}
    begin_s = time.monotonic()
    fetched(server, tmp_path)
    assert time.monotonic() - begin_s >= 1
    assert_whole(tmp_path, archives)


@pytest.mark.parametrize("status", [404, 500])
def test_a_server_that_refuses_for_good_is_an_error(server: FlakyServer, tmp_path: Path, status: int) -> None:
    server.refusals = {"README.md": [(status, {})] * 1000}
    with pytest.raises(DatasetError, match=f"README.md cannot be fetched.*{status}.*goes on from there"):
        fetched(server, tmp_path)
    server.refusals = {"record": [(404, {})]}
    with pytest.raises(DatasetError, match="records/3670185 cannot be read"):
        fetched(server, tmp_path)


@pytest.mark.parametrize("entry", [
    {"key": "../x", "size": 1, "checksum": "md5:" + 32 * "0", "links": {"self": ""}},
    {"key": "x", "size": 1, "checksum": "sha256:0", "links": {"self": ""}},
    {"key": "x"}, 3])
def test_a_list_of_another_form_is_an_error(server: FlakyServer, tmp_path: Path, entry: object,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "record", lambda: {"files": [entry]})
    with pytest.raises(DatasetError, match="another form"):
        fetched(server, tmp_path)


def test_an_archive_must_stay_in_its_folder(tmp_path: Path) -> None:
    archive = tmp_path / "bad.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("data/../../escaped.txt", "x")
    with pytest.raises(DatasetError, match="leads out"):
        unpack(archive, tmp_path / "out")
    archive.write_bytes(archive.read_bytes()[:40])
    with pytest.raises(DatasetError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "out")
    assert not list(tmp_path.rglob("escaped.txt"))


def test_a_full_disk_is_said_before_anything_is_fetched(server: FlakyServer, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    big = {**server.record()["files"][0], "size": 10**15}
    monkeypatch.setattr(server, "record", lambda: {"files": [big]})
    with pytest.raises(DatasetError, match=r"not enough space.*GB free"):
        fetched(server, tmp_path)
    assert [name for name, _ in server.asked] == ["record"]


def test_what_is_there_needs_no_space_again(server: FlakyServer, archives: dict[str, bytes], tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of one archive has arrived, another is half unpacked: the disk that just fitted has so much less free."""
    (tmp_path / ".archives").mkdir()
    part, unpacking = (archives[f"{NAME}.audio.{number}.zip"] for number in (1, 2))
    n_half = len(part) // 2
    (tmp_path / ".archives" / f"{NAME}.audio.1.zip.part").write_bytes(part[:n_half])
    (tmp_path / ".archives" / f"{NAME}.audio.2.zip").write_bytes(unpacking)
    with zipfile.ZipFile(io.BytesIO(unpacking)) as archive:
        first = archive.infolist()[0]
        archive.extract(first, tmp_path)
    free = 2 * sum(map(len, archives.values())) - n_half - len(unpacking) - first.file_size
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free - 1))
    with pytest.raises(DatasetError, match="not enough space"):
        fetched(server, tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))
    fetched(server, tmp_path)
    assert_whole(tmp_path, archives)
    assert (f"{NAME}.audio.1.zip", f"bytes={n_half}-") in server.asked


def test_killed_in_the_middle_the_program_goes_on(server: FlakyServer, archives: dict[str, bytes],
                                                  tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edge_asc", "dataset", "download", "tau2020-3class", "-o", str(tmp_path), "--api",
               server.api, "--jobs", "2"]
    server.pause_s = 1.0
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE) as process:
        deadline_s = time.monotonic() + 60
        while not any(part.stat().st_size for part in tmp_path.glob(".archives/*.part")):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        process.kill()
    server.pause_s = 0.0
    server.asked.clear()
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert any(asked for _, asked in server.asked), "nothing was resumed"
    assert f"Next: edge-asc dataset check {tmp_path / NAME}" in done.stdout
    assert_whole(tmp_path, archives)
