"""How many members fit at which hop: from the measured cost of this ensemble on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

HEADROOM = 0.7
"""Share of a hop that may be spent: the rest is for sinks, the system and a hot day. As in `edge-asc doctor`."""
HOPS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a hop is made of, in ms, all of the 95th percentile: plans are not made for the median."""

    front_end_ms_per_s: float
    """Per second of new sound."""
    member_ms: float
    """The most expensive member."""
    ensemble_ms: float
    """All members of the bundle."""
    rest_ms: float
    """Once for each hop, whatever its length."""

    def hop_ms(self, hop_s: float, *, n_members: int | None = None) -> float:
        """One hop with the bundle's members, or with so many like its most expensive one."""
        networks_ms = self.ensemble_ms if n_members is None else n_members * self.member_ms
        return self.rest_ms + self.front_end_ms_per_s * hop_s + networks_ms


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One hop length."""

    hop_s: float
    share: float
    """Of the hop that this ensemble takes."""
    n_members: int
    """Members like the most expensive one that fit with headroom."""

    @property
    def fits(self) -> bool:
        """Whether this ensemble fits with headroom."""
        return self.share <= HEADROOM

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {"hop_s": self.hop_s, "share": round(self.share, 5), "fits": self.fits, "n_members": self.n_members}


def cost(*, hop_ms: float, front_end_ms: float, ensemble_ms: float, member_ms: float, hop_s: float) -> Cost:
    """From the 95th percentiles of the tasks; what the whole hop takes beyond its parts is the rest."""
    return Cost(front_end_ms_per_s=front_end_ms / hop_s, member_ms=member_ms, ensemble_ms=ensemble_ms,
                rest_ms=max(0.0, hop_ms - front_end_ms - ensemble_ms))


def advise(cost: Cost, *, hops_s: Sequence[float] = HOPS_S, headroom: float = HEADROOM) -> list[Fit]:
    """One line for each hop."""
    fits = []
    for hop_s in hops_s:
        room_ms = headroom * hop_s * 1000 - cost.hop_ms(hop_s, n_members=0)
        fits.append(Fit(hop_s=hop_s, share=cost.hop_ms(hop_s) / (hop_s * 1000),
                        n_members=max(0, int(room_ms / cost.member_ms))))
    return fits


def sentence(fits: Sequence[Fit], *, n_members: int) -> str:
    """The advice in words."""
    good = [fit for fit in fits if fit.fits]
    if not good:
        best = max(fits, key=lambda fit: fit.hop_s)
        return (f"Too slow here: {n_members} members do not fit into a hop of {best.hop_s:g} s with headroom; "
                f"{best.n_members} would.")
    shortest = min(good, key=lambda fit: fit.hop_s)
    second = next((fit for fit in fits if fit.hop_s == 1.0), shortest)
    return (f"All {n_members} members fit from a hop of {shortest.hop_s:g} s on ({shortest.share:.1%} of it used); at "
            f"{second.hop_s:g} s there is room for {second.n_members} like the most expensive one, with "
            f"{1 - HEADROOM:.0%} of the time kept free.")
