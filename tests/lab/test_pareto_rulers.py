"""Rulers: each says what the tool it stands for says of the same members."""

from __future__ import annotations

import json

import pytest

from edge_asc.audit import COUNTS, MEASURES, audit_bundle, member_sizes, parse_budgets
from edge_asc.bundle import Bundle
from edge_asc.errors import InputError, MissingDependencyError, OverBudgetError
from edge_asc.lab.pareto.part import Part
from edge_asc.lab.pareto.rulers import find_rulers
from firmware_export.boards.board import find_board
from firmware_export.boards.fitting import STACK_BYTES, code_bytes
from firmware_export.export import export_bundle
from firmware_export.proof.build import TARGETS, missing_tools
from tests.program import BUNDLE

GOLDEN = Bundle.load(BUNDLE)


def parts(variant: str = "int8-sparse") -> list[Part]:
    counts = json.loads((BUNDLE / "audit.json").read_text()).get("keras", {})
    found = []
    for member in GOLDEN.members:
        data = GOLDEN.member_bytes(member.name, variant)
        sizes = member_sizes(member.name, data, variant, counts.get(member.name))[1]
        found.append(Part(name=member.name, architecture=member.architecture, variant=variant, data=data, sizes=sizes))
    return found


@pytest.mark.parametrize("name", COUNTS)
def test_what_the_audit_counts_is_what_the_audit_says(name):
    [ruler] = find_rulers([name], spec=GOLDEN.features)
    for variant in GOLDEN.variants:
        members = audit_bundle(GOLDEN, variant=variant).variants[variant]
        said = [each.count(name, window_s=GOLDEN.features.window_s) for each in members]
        assert ruler.supports(variant)
        assert ruler.members(parts(variant)) == said[:-1]
        assert ruler.ensemble(parts(variant)) == said[-1]


@pytest.mark.parametrize("name", [*COUNTS, "firmware-flash", "firmware-ram"])
def test_members_add_up_to_the_ensemble_or_the_largest_is_it(name):
    [ruler] = find_rulers([name], spec=GOLDEN.features)
    alone, together = ruler.members(parts()), ruler.ensemble(parts())
    estimate = max(alone) if ruler.is_largest else sum(alone)
    if ruler.is_exact:
        assert estimate == pytest.approx(together, abs=2)
    else:
        assert estimate == pytest.approx(together, rel=0.35, abs=code_bytes(GOLDEN.features))


@pytest.mark.parametrize("board", [None, "stm32f405"])
def test_flash_and_ram_are_those_of_the_export(board, tmp_path):
    flash, ram = find_rulers(["firmware-flash", "firmware-ram"], spec=GOLDEN.features, board=board)
    exported = export_bundle(GOLDEN, tmp_path / "c", board=find_board(board) if board else None)
    sizes = exported.sizes()
    assert flash.ensemble(parts()) == sizes["flash_tables_bytes"] + code_bytes(GOLDEN.features)
    assert ram.ensemble(parts()) == sizes["ram_state_bytes"] + STACK_BYTES
    assert not flash.supports("float16-sparse")


def test_what_does_not_fit_the_board_is_over_budget(monkeypatch):
    from firmware_export.boards import board as boards

    small = boards.Board(name="small", title="", core=boards.CORTEX_M4F, clock_hz=10**8, flash_bytes=1024,
                         ram_bytes=1024)
    monkeypatch.setitem(boards.BOARDS, "small", small)
    [flash] = find_rulers(["firmware-flash"], spec=GOLDEN.features, board="small")
    with pytest.raises(OverBudgetError, match="does not fit on small"):
        flash.ensemble(parts())
    assert all(flash.members(parts())), "alone and without the board each has a size"


def test_latency_is_measured_once_and_positive():
    [ruler] = find_rulers(["latency"], spec=GOLDEN.features)
    alone = ruler.members(parts())
    assert min(alone) > 0
    assert ruler.members(parts("int8-dense")) == alone, "the same network once it is loaded"
    assert ruler.ensemble(parts()) == sum(alone)


@pytest.mark.tool
@pytest.mark.skipif(bool(missing_tools(TARGETS["m4f"])), reason="needs arm-none-eabi-gcc and qemu-system-arm")
def test_instructions_are_counted_on_the_emulated_chip_and_more_for_more_work():
    instructions, macs = find_rulers(["instructions", "macs-nonzero"], spec=GOLDEN.features)
    counted, work = instructions.members(parts()), macs.members(parts())
    assert all(each > macs for each, macs in zip(counted, work, strict=True))
    assert sorted(range(3), key=counted.__getitem__) == sorted(range(3), key=work.__getitem__)
    assert instructions.ensemble(parts()) == sum(counted)


def test_without_the_emulator_instructions_are_refused(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingDependencyError, match=r"no arm-none-eabi-gcc .*macs-nonzero"):
        find_rulers(["instructions"], spec=GOLDEN.features)


def test_unknown_rulers_and_boards_are_refused():
    with pytest.raises(InputError, match=r"no ruler 'joules'; wanted some of nonzero, .*latency"):
        find_rulers(["joules"], spec=GOLDEN.features)
    with pytest.raises(InputError, match="no board"):
        find_rulers(["firmware-ram"], spec=GOLDEN.features, board="toaster")


def test_budgets_may_limit_every_ruler():
    known = COUNTS | MEASURES
    texts = [f"{name}=3{ {'bytes': 'KB', 'us': 'ms', '': 'K'}[unit] }" for name, (_, unit) in known.items()]
    limits = {budget.counts: budget.limit for budget in parse_budgets(texts, counts=known)}
    assert limits == {name: {"bytes": 3072, "us": 3000, "": 3000}[unit] for name, (_, unit) in known.items()}
    with pytest.raises(InputError, match="as in latency=5ms"):
        parse_budgets(["latency=5"], counts=known)
    with pytest.raises(InputError, match="something unknown: 'latency'"):
        parse_budgets(["latency=5ms"])
