"""From a run to what people ask: the results file, the advice, the tables for terminal, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_asc.bench import advice
from edge_asc.bench.energy import Energy
from edge_asc.bench.measure import Measured, Run
from edge_asc.bench.statistics import summarize
from edge_asc.bench.work import estimated_energy, sizes
from edge_asc.bundle import Bundle
from edge_asc.report import Section, Table
from edge_asc.runtime import NATIVE

Results = dict[str, Any]


def results(run: Run, bundle: Bundle) -> Results:
    """The content of a results file; `results.schema.json` describes it."""
    found = run.to_json()
    found["bundle"] = {"members": [f"{member.name} {member.architecture}" for member in bundle.members],
                       "default_variant": bundle.default_variant, "window_s": bundle.features.window_s,
                       "sizes": sizes(bundle)}
    for case in found["cases"]:
        if case.get("variant") in bundle.variants and case.get("n_members") == len(bundle.members):
            energy = estimated_energy(found["bundle"]["sizes"][case["variant"]], variant=case["variant"],
                                      skips_zeros=case["engine"] == NATIVE, hop_s=case["hop_s"])
            case["energy"] = [_energy_json(energy)]
    if run.measured[0].energy:
        found["cases"][0].setdefault("energy", []).insert(0, _energy_json(run.measured[0].energy))
    fits = advise(run.measured[0])
    found["advice"] = {"case": run.measured[0].contestant.name, "headroom": advice.HEADROOM,
                       "fits": [fit.to_json() for fit in fits],
                       "text": advice.sentence(fits, n_members=len(bundle.members))}
    return found


def advise(reference: Measured) -> list[advice.Fit]:
    """Headroom on this machine, from the reference's slow side (95th percentiles)."""
    p95 = {task: summarize(times.all_wall_ms()).p95 for task, times in reference.times.items()}
    cost = advice.cost(hop_ms=p95["hop"], front_end_ms=p95["front end, hop"], ensemble_ms=p95["ensemble"],
                       member_ms=max(value for task, value in p95.items() if task.startswith("member ")),
                       hop_s=float(reference.contestant.about["hop_s"]))
    return advice.advise(cost)


def sections(found: Mapping[str, Any]) -> list[Section]:
    """The parts of the page that every run has."""
    machine, cases = found["machine"], found["cases"]
    parts = [Section(heading="Machine", text=machine_text(machine)),
             Section(heading="One hop", table=task_table(cases, "hop"), text=_hop_text(found)),
             Section(heading="Parts", table=parts_table(cases[0]), text=f"{cases[0]['name']}; wall time."),
             Section(heading="Whole program", table=program_table(cases), text="Fed with sound through a pipe; memory "
                     "and CPU as the kernel counts them for the whole process.")]
    parts.append(Section(heading="Sizes", table=size_table(found["bundle"]["sizes"])))
    parts.append(Section(heading="Headroom", text=found["advice"]["text"], table=advice_table(found["advice"]["fits"])))
    if energy := energy_table(cases):
        parts.append(Section(heading="Energy", table=energy, text=_energy_text(cases)))
    if found["absent"]:
        parts.append(Section(heading="Not measured", table=Table(columns=["", "why"],
                                                                 rows=[list(row) for row in found["absent"].items()])))
    return parts


def machine_text(machine: Mapping[str, Any]) -> str:
    """Two lines about the machine."""
    memory = f"{machine['memory_bytes'] / 2**30:.1f} GiB" if machine["memory_bytes"] else "unknown memory"
    where = " (virtual)" if machine["is_virtual"] else ""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (f"{machine['board'] or machine['cpu']}, {machine['n_cpus']} CPUs, {memory}{where}; {machine['system']}, "
            f"Python {machine['python']}, {packages}")


def task_table(cases: Sequence[Mapping[str, Any]], task: str) -> Table:
    """Everyone who has the task."""
    rows = []
    for case in cases:
        if task not in case["tasks"]:
            continue
        wall, cpu = case["tasks"][task]["wall_ms"], case["tasks"][task]["cpu_ms"]
        relative = case["cpu_to_first"][task]
        rows.append([case["name"], *(number(wall[key]) for key in ("p50", "p95", "p99", "max")), number(cpu["p50"]),
                     f"{1000 / wall['p50']:.0f}", f"{case['hop_s'] * 1000 / wall['p50']:.0f}" if task == "hop" else "",
                     f"{relative['value']:.2f} ({relative['low']:.2f} to {relative['high']:.2f})", str(wall["n"])])
    return Table(columns=["", "p50 ms", "p95 ms", "p99 ms", "max ms", "CPU ms", "per second", "x real time",
                          "CPU, of the first", "n"], rows=rows)


def parts_table(case: Mapping[str, Any]) -> Table:
    """Every task of one case."""
    rows = [[task, *(number(times["wall_ms"][key]) for key in ("p50", "p95", "p99", "max")),
             number(times["cpu_ms"]["p50"]), str(times["wall_ms"]["n"])] for task, times in case["tasks"].items()]
    return Table(columns=["", "p50 ms", "p95 ms", "p99 ms", "max ms", "CPU ms", "n"], rows=rows)


def program_table(cases: Sequence[Mapping[str, Any]]) -> Table:
    """Everyone who is a program."""
    rows = []
    for case in cases:
        for kind in ("program", "paced"):
            if not (seen := case[kind]):
                continue
            memory, latency = seen["memory_bytes"], seen["latency_ms"]
            rows.append([case["name"] + (", at the pace of sound" if kind == "paced" else ""),
                         f"{seen['first_event_s']:.2f}", *(mebibytes(memory.get(key)) for key in
                                                           ("peak", "resident", "private")),
                         "-" if seen["cpu_s_per_s"] is None else f"{seen['cpu_s_per_s']:.4f}",
                         *(number(latency[key] if latency else None) for key in ("p50", "p95", "max"))])
    return Table(columns=["", "first event s", "peak MiB", "steady MiB", "of it private", "CPU s per s",
                          "latency p50 ms", "p95 ms", "max ms"], rows=rows)


def size_table(sizes: Mapping[str, Any]) -> Table:
    """Bytes and multiplications by variant."""
    rows = [[variant, *(f"{each[key] / 1024:.1f}" for key in ("file_bytes", "packed_bytes")),
             *(f"{each[key] / 1e6:.1f}" for key in ("macs", "macs_nonzero", "traffic_bytes"))]
            for variant, each in sizes.items()]
    return Table(columns=["", "files KiB", "packed KiB", "MMAC", "of it non-zero", "MB moved"], rows=rows)


def advice_table(fits: Sequence[Mapping[str, Any]]) -> Table:
    """Hop by hop."""
    rows = [[f"{fit['hop_s']:g}", f"{fit['share']:.2%}", "yes" if fit["fits"] else "no", str(fit["n_members"])]
            for fit in fits]
    return Table(columns=["hop s", "used by this ensemble", "fits", "room for members"], rows=rows)


def energy_table(cases: Sequence[Mapping[str, Any]]) -> Table | None:
    """Estimates and measurements."""
    rows = [[case["name"], f"{energy['j_per_s'] * 1000:.3g}", "estimate" if energy["is_estimate"] else "measured"]
            for case in cases for energy in case.get("energy", ())]
    return Table(columns=["", "mJ per second of audio", ""], rows=rows) if rows else None


def lead(found: Mapping[str, Any]) -> str:
    """What a hurried reader needs."""
    remarks = " ".join(f"Mind: {remark}." for remark in found["remarks"])
    return f"{found['date'][:10]}, {machine_text(found['machine'])}. {remarks}".strip()


def number(value: float | None) -> str:
    """Three figures, or a dash for what is not there."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def mebibytes(value: int | None) -> str:
    """One figure after the point, or a dash."""
    return "-" if value is None else f"{value / 2**20:.1f}"


def _hop_text(found: Mapping[str, Any]) -> str:
    effort = found["effort"]
    return (f"New samples in, new probabilities out. {effort['n_rounds']} rounds in turns, at least "
            f"{effort['budget_s'] * 1000:g} ms and 3 repetitions each, after 10 that do not count (2 in later rounds). "
            "The ratio is that of CPU times within a round, with its 95 % interval.")


def _energy_text(cases: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(dict.fromkeys(energy["how"] for case in cases for energy in case.get("energy", ()))) + "."


def _energy_json(energy: Energy) -> dict[str, Any]:
    return {**vars(energy), "j_per_s": float(f"{energy.j_per_s:.4g}")}
