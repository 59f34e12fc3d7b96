"""Layout by board: wide stripes where there is room, narrow ones where there is not, refusal where nothing helps."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from edge_asc.bundle import Bundle
from edge_asc.errors import OverBudgetError
from edge_asc.spec import FeatureSpec
from firmware_export.boards.board import KIB, Board, find_board
from firmware_export.boards.fitting import (
    OWN_BYTES,
    STACK_BYTES,
    code_bytes,
    need,
    settings_for,
    settings_without_board,
    wanted_spare_frames,
)
from firmware_export.emit.frontend import SPARE_FRAMES
from firmware_export.export import export_bundle, planned
from firmware_export.network.layers import Network
from firmware_export.network.read import read_network
from firmware_export.planning.plan import FIRMWARE
from tests.program import BUNDLE

GOLDEN = Bundle.load(BUNDLE)


@pytest.fixture(scope="module")
def networks() -> list[Network]:
    return [read_network(GOLDEN.member_bytes(member.name, "int8-dense"), name=member.name) for member in GOLDEN.members]


def _board(ram_kib: float, *, clock_hz: int = 64_000_000) -> Board:
    return dataclasses.replace(find_board("nrf52840"), name="tiny", ram_bytes=int(ram_kib * KIB), clock_hz=clock_hz)


@pytest.mark.parametrize("ram_kib", [256, 24, 18])
def test_what_is_chosen_fits(networks: list[Network], ram_kib: float) -> None:
    board, spec = _board(ram_kib), GOLDEN.features
    settings = settings_for(board, networks, spec=spec, plan=planned)
    found = need(planned(networks, settings.purpose), spec=spec, n_spare_frames=settings.n_spare_frames)
    assert found.ram_bytes <= board.ram_bytes
    if ram_kib == 256:
        assert found.ram_bytes <= board.ram_bytes / 2, "half is left to others"


def test_spare_frames_leave_room_for_the_program(networks: list[Network]) -> None:
    spec = GOLDEN.features
    half = need(planned(networks, dataclasses.replace(FIRMWARE, arena_bytes=KIB)), spec=spec,
                n_spare_frames=spec.n_frames // 2)
    board = dataclasses.replace(_board(0, clock_hz=1_000_000), ram_bytes=half.ram_bytes + OWN_BYTES)
    settings = settings_for(board, networks, spec=spec, plan=planned)
    assert settings.n_spare_frames == spec.n_frames // 2
    found = need(planned(networks, settings.purpose), spec=spec, n_spare_frames=settings.n_spare_frames)
    assert found.ram_bytes == board.ram_bytes - OWN_BYTES


def test_flash_counts_the_tables_of_the_front_end() -> None:
    spec = FeatureSpec()
    more = code_bytes(dataclasses.replace(spec, n_fft=4096)) - code_bytes(spec)
    assert 9000 < more < 12_000


def test_a_slower_board_gets_more_spare_frames_up_to_a_window(networks: list[Network]) -> None:
    members, spec = planned(networks), GOLDEN.features
    wanted = [wanted_spare_frames(_board(256, clock_hz=hz), members, spec=spec) for hz in (480e6, 48e6, 1e6)]
    assert 1 < wanted[0] < wanted[1] < wanted[2] == spec.n_frames


def test_refusal_names_the_members_that_would_fit(networks: list[Network], tmp_path: Path) -> None:
    narrowest = dataclasses.replace(FIRMWARE, arena_bytes=KIB)
    members = [planned([network], narrowest) for network in networks]
    small = min(need(plan, spec=GOLDEN.features, n_spare_frames=0).ram_bytes for plan in members)
    whole = need(planned(networks, narrowest), spec=GOLDEN.features, n_spare_frames=0).ram_bytes
    board = dataclasses.replace(_board(0), ram_bytes=small)
    assert small < whole
    with pytest.raises(OverBudgetError, match=r"does not fit on tiny; found v1 v2 i1: .* This would fit: v"):
        export_bundle(GOLDEN, tmp_path / "out", board=board)
    assert not list(tmp_path.iterdir()), "nothing is written"
    with pytest.raises(OverBudgetError, match="No choice of members"):
        export_bundle(GOLDEN, tmp_path / "out", board=dataclasses.replace(board, ram_bytes=KIB))


def test_spare_frames_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OverBudgetError) as refused:
        export_bundle(GOLDEN, tmp_path / "out", board=_board(24), n_spare_frames=5000)
    n_frames = int(re.search(r"would fit: v1 v2 i1 with (\d+) spare frames", str(refused.value))[1])  # type: ignore[index]
    export_bundle(GOLDEN, tmp_path / "out", board=_board(24), n_spare_frames=n_frames)
    with pytest.raises(OverBudgetError):
        export_bundle(GOLDEN, tmp_path / "out", board=_board(24), n_spare_frames=n_frames + 1)


def test_without_a_board(networks: list[Network]) -> None:
    spec = GOLDEN.features
    assert settings_without_board(networks, spec=spec, plan=planned).n_spare_frames == SPARE_FRAMES
    single = settings_without_board(networks[:1], spec=spec, plan=planned)
    found = need(planned(networks[:1], single.purpose), spec=spec, n_spare_frames=single.n_spare_frames)
    assert found.ram_bytes <= 48 * KIB
    assert found.ram_bytes > STACK_BYTES
