"""The line of a comparison of two logs, as a gate prints it."""

from __future__ import annotations

from slimgate.judge.message import message
from slimgate.logs.comparisons import Comparison


def format_comparison(name: str, comparison: Comparison) -> str:
    """The verdict's line, with a comparison to the base's own noise."""
    line = message(name, comparison.judged)
    if comparison.counts.missing:
        line += f" ({comparison.counts.missing:,} samples have no score in one log or both: --missing)"
    noise = comparison.noise
    if noise is None:
        return line
    own_share, other = (f"{100 * share:.1f} %" for share in (noise.psi, comparison.flips_share))
    share = f"the base changes {own_share} of samples by itself, this one {other}"
    change = "drop" if comparison.judged.drop_points >= 0 else "gain"
    within = (
        f"; the {change} is within the base's own noise"
        if noise.covers(comparison.judged.drop_points)
        else ""
    )
    return f"{line} ({share}{within})"
