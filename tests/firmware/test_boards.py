"""Boards: what fits is accepted, what does not is refused with its numbers and with what would fit."""

from __future__ import annotations

import pytest

from edge_asc.errors import InputError, OverBudgetError
from firmware_export.boards.board import BOARDS, KIB, Need, find_board, require_fit

ENSEMBLE = Need(label="v1 v2 v3 v4 v5 i1", flash_bytes=250 * KIB, ram_bytes=70 * KIB)
SINGLE = Need(label="v1", flash_bytes=60 * KIB, ram_bytes=46 * KIB)


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_every_board_is_a_plausible_part(board: object) -> None:
    found = BOARDS[board.name]  # type: ignore[attr-defined]
    assert 256 * KIB <= found.flash_bytes <= 16 * 1024 * KIB
    assert 64 * KIB <= found.ram_bytes <= 1024 * KIB
    assert 30e6 <= found.clock_hz <= 600e6
    assert found.title


def test_what_fits_is_accepted_to_the_last_byte() -> None:
    board = find_board("stm32f411")
    exact = Need(label="all of it", flash_bytes=board.flash_bytes, ram_bytes=board.ram_bytes)
    require_fit(board, exact)
    with pytest.raises(OverBudgetError):
        require_fit(board, Need(label="one more", flash_bytes=board.flash_bytes + 1, ram_bytes=1))
    with pytest.raises(OverBudgetError):
        require_fit(board, Need(label="one more", flash_bytes=1, ram_bytes=board.ram_bytes + 1))


def test_refusal_has_the_numbers_and_the_way_out() -> None:
    hopeless = Need(label="v1 v2", flash_bytes=100 * KIB, ram_bytes=66 * KIB)
    with pytest.raises(OverBudgetError) as raised:
        require_fit(find_board("nicla-voice"), ENSEMBLE, alternatives=(hopeless, SINGLE))
    for part in ("nicla-voice", "250.0 KiB of flash and 70.0 KiB of RAM", "at most 512.0 KiB and 64.0 KiB",
                 "This would fit: v1: 60.0 KiB of flash and 46.0 KiB of RAM", "nrf52840"):
        assert part in str(raised.value)
    assert "v1 v2:" not in str(raised.value)


def test_refusal_without_a_way_out_says_so() -> None:
    with pytest.raises(OverBudgetError, match="No choice of members and stripes fits"):
        require_fit(find_board("nicla-voice"), Need(label="huge", flash_bytes=1 << 30, ram_bytes=1 << 30))


def test_unknown_board_names_all() -> None:
    with pytest.raises(InputError, match=r"no board 'arduino-uno'.*stm32l476"):
        find_board("arduino-uno")


def test_estimate_follows_the_clock() -> None:
    slow, fast = find_board("nrf52840"), find_board("stm32f405")
    assert slow.estimated_s(64e6) == pytest.approx(slow.core.cycles_per_instruction)
    assert slow.estimated_s(1e6) / fast.estimated_s(1e6) == pytest.approx(168 / 64)
