"""What the doctor says."""

from __future__ import annotations

from dataclasses import dataclass

GOOD, NOTE, BAD = "good", "note", "bad"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one look found."""

    about: str
    verdict: str
    """`good`; `note`, listening works but; `bad`, it does not."""
    found: str
    fix: str = ""
