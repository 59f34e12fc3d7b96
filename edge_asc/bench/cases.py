"""Which cases a bundle is measured in: engines, variants, threads, members and hops that this machine offers."""

from __future__ import annotations

import os
from collections.abc import Sequence

from edge_asc.bench.contestants import Contestant, Engine, contestant, find_engines
from edge_asc.bundle import Bundle
from edge_asc.errors import InputError
from edge_asc.runtime import NATIVE

OTHER_HOPS_S = (0.25, 5.0)
WHOLE = ("hop", "ensemble")
"""What is timed of cases that differ from the first ones in a single respect."""


def choose(bundle: Bundle, *, engines: Sequence[str] = (), variants: Sequence[str] = (), threads: Sequence[int] = (),
           hop_s: float = 1.0, quick: bool = False,
           tflite_python: str | None = None) -> tuple[list[Contestant], dict[str, str]]:
    """The cases, the reference first, and why engines are not among them.

    Args:
        engines: Names, with or without ", no delegate"; all that work here if empty.
        variants: All of the bundle if empty (with `quick`, its default), the default first.
        threads: Powers of two up to the number of CPUs if empty (with `quick`, one).
        hop_s: Of all cases; other hops are added if it is 1 s.
        quick: Only engines on the first variant.
        tflite_python: As for `find_engines`.

    Raises:
        InputError: No such engine works here, or the bundle has no such variant.
    """
    found, absent = find_engines(tflite_python=tflite_python)
    usable = [engine for engine in found if not engines or engine.name in engines]
    unknown = set(engines) - {engine.name for engine in found}
    if unknown or not usable:
        raise InputError(f"no such engine here: {', '.join(sorted(unknown)) or 'none at all'}",
                         found="; ".join(f"{name}: {reason}" for name, reason in absent.items()) or None,
                         wanted=f"one of {', '.join(engine.name for engine in found)}")
    default = bundle.default_variant
    wanted = list(variants) or [default, *(v for v in bundle.variants if v != default and not quick)]
    for variant in wanted:
        if variant not in bundle.variants:
            raise InputError(f"{bundle.path} has no variant {variant!r}", wanted=f"one of {', '.join(bundle.variants)}")
    # The native engine computes the same from any int8 variant.
    int8 = next((variant for variant in variants or bundle.variants if variant.startswith("int8-")), None)
    cases = [contestant(engine, bundle, variant=variant, hop_s=hop_s, tasks=None if variant == wanted[0] else WHOLE)
             for variant in wanted for engine in usable if engine.engine != NATIVE]
    native = [engine for engine in usable if engine.engine == NATIVE]
    if int8:
        cases += [contestant(engine, bundle, variant=int8, hop_s=hop_s) for engine in native]
    elif native:
        absent[NATIVE] = f"computes int8 only, and not {', '.join(wanted)}"
    if not cases:
        raise InputError("the native engine computes int8 only", found=", ".join(variants or bundle.variants),
                         wanted="an int8 variant")
    first = str(cases[0].about["variant"])
    cases += [contestant(usable[0], bundle, variant=first, n_threads=n, hop_s=hop_s, tasks=WHOLE)
              for n in _threads(threads, quick) if n > 1]
    if not quick:
        cases += _scaled(usable[0], bundle, first, hop_s)
    return cases, absent


def _threads(asked: Sequence[int], quick: bool) -> list[int]:
    if asked or quick:
        return sorted(set(asked))
    n_cpus = len(os.sched_getaffinity(0))
    return [n for n in (2, 4, 8) if n <= n_cpus]


def _scaled(engine: Engine, bundle: Bundle, variant: str, hop_s: float) -> list[Contestant]:
    """Fewer members; other hops."""
    cases = [contestant(engine, bundle, variant=variant, n_members=n, hop_s=hop_s, tasks=WHOLE)
             for n in range(1, len(bundle.members))]
    if hop_s == 1.0:
        cases += [contestant(engine, bundle, variant=variant, hop_s=other, tasks=WHOLE) for other in OTHER_HOPS_S]
    return cases
