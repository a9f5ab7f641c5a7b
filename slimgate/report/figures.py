"""Speed-ups, sizes, drops and limits in the words of the report."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Protocol

from slimgate._system.number_text import (
    MISSING,
    format_apart,
    format_fixed,
    format_int,
    format_significant,
    format_significant_apart,
)
from slimgate.judge.budget_kinds import Limited, format_kind

if TYPE_CHECKING:
    from slimgate.results.figures import SizeFacts
    from slimgate.results.latency import SpeedupFacts

_GIGA = 10**9


def format_compression(compression: float | None, limits: Sequence[float] = ()) -> str | None:
    """teacher / variant in words, None if it is not known: one decimal, and more next to a budget."""
    if compression is None or not isfinite(compression) or compression <= 0:
        return None
    if 0.99 < compression < 1.01:
        return "same size"
    if compression > 1:
        return f"{_format_ratio(compression, limits)}× smaller"
    return f"{_format_ratio(1 / compression)}× larger"


def describe_compression(size: SizeFacts | None) -> str | None:
    """How much smaller a variant is, apart from its budget; None if it is not known."""
    if size is None:
        return None
    from slimgate.judge.budget_tables import SizeBudget  # needs pydantic, which `judge` of two logs does not

    limits = [budget.limit for budget in size.budgets if budget.kind == SizeBudget.kind]
    return format_compression(size.compression, limits)


def describe_speedup(
    speedup: float | None, interval: tuple[float, float] | None = None, limits: Sequence[float] = ()
) -> str | None:
    """teacher / variant in words, None if it is not known."""
    shown = format_speedup(speedup, interval, limits)
    return None if shown == MISSING else f"{shown} as fast"


def describe_duel(facts: SpeedupFacts) -> str | None:
    """The speed-up of a duel in words, apart from its budget; None if it is not known."""
    return describe_speedup(facts.speedup, facts.speedup_interval, [budget.limit for budget in facts.budgets])


def format_duel_speedup(facts: SpeedupFacts) -> str:
    """The speed-up of a duel, apart from its budget: `1.93× [1.56, 2.57]`."""
    return format_speedup(facts.speedup, facts.speedup_interval, [budget.limit for budget in facts.budgets])


def format_speedup(
    speedup: float | None, interval: tuple[float, float] | None = None, limits: Sequence[float] = ()
) -> str:
    """`1.93× [1.56, 2.57]`: three digits, and more for a number that would be rounded to its budget."""
    if speedup is None or not isfinite(speedup):
        return MISSING
    ends = ", ".join(_format_speed_digits(end, limits) for end in interval or ())
    return f"{_format_speed_digits(speedup, limits)}×{f' [{ends}]' if ends else ''}"


def _format_speed_digits(value: float, limits: Sequence[float]) -> str:
    """1.93, 26.2, 131: a duel does not measure more than three digits."""
    fewest = 2 if value < 10 else 1 if value < 100 else 0
    return format_apart([value], limits, fewest=fewest)[0]


class Counted(Protocol):
    """Operations of one row. ratio: variant / teacher."""

    @property
    def flops(self) -> int | None: ...
    @property
    def tokens(self) -> int | None: ...
    @property
    def ratio(self) -> float | None: ...


def format_flops(counted: Counted | None) -> str | None:
    """`1.23 GFLOPs (25 tokens; 0.5 of the teacher's)`, None if they are not known."""
    if counted is None or counted.flops is None:
        return None
    tokens = None if counted.tokens is None else f"{format_int(counted.tokens)} tokens"
    ratio = None if counted.ratio is None else f"{format_significant(counted.ratio)} of the teacher's"
    return add_note(f"{format_significant(counted.flops / _GIGA)} GFLOPs", tokens, ratio)


def format_with_bounds(
    value: float | None,
    interval: tuple[float, float] | None,
    unit: str = "",
    limits: Sequence[float] = (),
) -> str:
    """`0.808 [0.79, 0.83]`, or the value alone; no figure is rounded to a limit.

    unit: what follows the value, such as " ms".
    """
    shown, *ends = format_significant_apart([value, *(interval or ())], limits)
    bounds = f" [{', '.join(ends)}]" if ends else ""
    return f"{shown}{unit}{bounds}"


def format_drop_words(
    points: float | None,
    interval: tuple[float, float] | None,
    limits: Sequence[float] = (),
    *,
    unit: str = "points",
) -> str | None:
    """`drop 0.3 [-0.2, 0.8]`: one decimal, and more if one decimal would round a bound to its budget.

    If the unit is percent of the teacher's value: `grown 2.1 % [1.8, 2.4]`.
    """
    if points is None or not isfinite(points):
        return None
    bounds = () if interval is None or not all(map(isfinite, interval)) else interval
    value, *ends = format_apart((points, *bounds), limits)
    shown = f"grown {value} %" if unit == "percent" else f"drop {value}"
    return f"{shown} [{', '.join(ends)}]" if ends else shown


def format_drop(
    points: float | None,
    interval: tuple[float, float] | None,
    limits: Sequence[float] = (),
    *,
    unit: str = "points",
) -> str:
    """`0.3 [-0.2, 0.8]` for a column that names the unit; `grown 2.1 %` if the unit differs."""
    words = format_drop_words(points, interval, limits, unit=unit)
    return MISSING if words is None else words.removeprefix("drop ")


def format_metric_value(value: float | None) -> str:
    """0.826; two decimals for values that are not shares, such as 23.41."""
    return format_fixed(value, 3 if value is None or abs(value) < 10 else 2)


def format_turned_rows(right_to_wrong: int | None, wrong_to_right: int | None) -> str:
    """`12 / 3`: the rows from right to wrong, and those from wrong to right."""
    if right_to_wrong is None:
        return MISSING
    return f"{format_int(right_to_wrong)} / {format_int(wrong_to_right)}"


def format_limits(budgets: Sequence[Limited]) -> str:
    """`2, floor 0.8`, `±1` for a limit on both sides; a dash without a budget."""
    return ", ".join(f"{format_kind(budget.kind)}{budget.limit:g}" for budget in budgets) or MISSING


def format_bounded_drop(
    points: float | None, bound: float, limits: Sequence[float], *, unit: str
) -> str | None:
    """`drop 0.3, at most 1.1`: one decimal, and more for a number that would be rounded to its budget."""
    if points is None or not isfinite(points):
        return None
    [drop], [highest] = format_apart([points], limits), format_apart([bound], limits)
    shown = f"grown {drop} %" if unit == "percent" else f"drop {drop}"
    return f"{shown}, at most {highest}"


def add_note(value: str, *notes: str | None) -> str:
    """`value (note; note)`, without the notes that are None."""
    known = [note for note in notes if note is not None]
    return f"{value} ({'; '.join(known)})" if known else value


def _format_ratio(ratio: float, limits: Sequence[float] = ()) -> str:
    """One decimal, or two if one decimal would give 1.0."""
    return format_apart([ratio], limits, fewest=1 if ratio >= 1.05 else 2)[0]
