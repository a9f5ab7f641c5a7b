"""Which variants differ, instead of a ranking by their figures."""

from __future__ import annotations

from slimgate._system.escape import escape
from slimgate._system.number_text import MISSING, format_count, format_fixed, format_int
from slimgate.record.comparing.separation import compares_first_builds
from slimgate.record.run import RunRecord
from slimgate.report.figures import format_metric_value
from slimgate.report.tables import Column, blocks, fold, format_bullets, make_pipe_table
from slimgate.results.quality import PairFacts, SeparationFacts

HEADING = "## Which variants can be told apart"
_FIRST_BUILDS = """\
This compares the builds of the first seed, not the methods: other seeds may give another order ("Builds by \
seed")."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def format_separation_section(record: RunRecord, *, folded: bool = True) -> str:
    """The section of a record; empty if no two gated variants have a budget on a metric.

    folded: whether the list of all pairs is behind a line.
    """
    return format_separation(
        record.separation, HEADING, folded=folded, first_builds=compares_first_builds(record)
    )


def format_separation(
    facts: SeparationFacts | None, heading: str, *, folded: bool = True, first_builds: bool = False
) -> str:
    """A line a variant with its groups, and how far it is from the best; then the pairs.

    first_builds: whether the variants have several builds, of which the first is compared.
    """
    if facts is None:
        return ""
    metric = escape(facts.metric)
    if facts.note is not None:
        return blocks(heading, f"Not compared by {metric}: {escape(facts.note)}")
    names = list(facts.values)
    builds = _FIRST_BUILDS if first_builds else ""
    if len(facts.groups) == 1:
        return blocks(heading, _summarize_separation(facts), builds, _describe_not_compared(facts))
    columns = [
        Column("variant", [escape(name) for name in names]),
        Column(metric, [format_metric_value(facts.values[name]) for name in names], right=True),
        *([Column("group", [_join_letters(facts, name) for name in names])] if facts.groups else []),
        Column(f"against {escape(names[0])}", [_format_against_best(facts, name) for name in names]),
    ]
    pairs = format_bullets(_describe_pair(facts, pair) for pair in facts.pairs)
    all_pairs = format_count(len(facts.pairs), "pair", "pairs")
    rest = fold("", f"All {all_pairs}", pairs) if folded else pairs
    shown = rest if facts.groups and len(names) > 2 else ""
    return blocks(
        heading,
        _summarize_separation(facts),
        make_pipe_table(columns),
        _explain(facts),
        builds,
        _describe_not_compared(facts),
        shown,
    )


def _summarize_separation(facts: SeparationFacts) -> str:
    """The answer in one sentence."""
    names, best, metric = list(facts.values), escape(next(iter(facts.values))), escape(facts.metric)
    if len(facts.groups) == 1:
        every = [escape(name) for name in names]
        if len(every) == 2:
            return f"{' and '.join(every)} cannot be told apart by {metric}."
        return f"No two of {', '.join(every)} can be told apart by {metric}."
    inseparable = [
        escape(pair.worse) for pair in facts.pairs if pair.better == names[0] and not pair.separable
    ]
    if not inseparable:
        return f"**{best} is better than all others** by {metric}."
    return f"**{best} cannot be told apart from {', '.join(inseparable)}** by {metric}."


def _explain(facts: SeparationFacts) -> str:
    if facts.groups:
        explanation = "Variants with a letter in common are not separable."
    else:
        explanation = f"Each is compared with {escape(next(iter(facts.values)))} only, not with the others."
    return (
        f"{explanation} Tests are paired on {format_int(facts.n)} gate rows, with Holm's correction over all "
        'pairs: any wrong "better" has a chance of at most 5 %. Brackets hold the 90 % interval of one pair '
        "alone."
    )


def _describe_not_compared(facts: SeparationFacts) -> str:
    """The gated variants that are not in the table, and why."""
    why = {f"more than {len(facts.values) + len(facts.other_answers)} variants": facts.left_out}
    why["no answers of this run"] = facts.other_answers
    named = [f"{', '.join(map(escape, names))} ({reason})" for reason, names in why.items() if names]
    return f"Not compared: {'; '.join(named)}." if named else ""


def _join_letters(facts: SeparationFacts, name: str) -> str:
    """`a`, or `ab` for a variant in two groups."""
    group_numbers = [at for at, group in enumerate(facts.groups) if name in group]
    letters = [_LETTERS[at] if at < len(_LETTERS) else f" {at + 1}" for at in group_numbers]
    return "".join(letters)


def _format_against_best(facts: SeparationFacts, name: str) -> str:
    best = next(iter(facts.values))
    pair = next((pair for pair in facts.pairs if (pair.better, pair.worse) == (best, name)), None)
    if pair is None:
        return MISSING
    amount = _format_amount(facts, pair)
    return f"worse by {amount}" if pair.separable else f"not separable, {amount}"


def _describe_pair(facts: SeparationFacts, pair: PairFacts) -> str:
    """`a is better than b by 0.8 points [0.2, 1.4]`; `a and b: not separable, 0.2 points [-0.3, 0.7]`."""
    better, worse = escape(pair.better), escape(pair.worse)
    if pair.separable:
        return f"{better} is better than {worse} by {_format_amount(facts, pair)}"
    return f"{better} and {worse}: not separable, {_format_amount(facts, pair)}"


def _format_amount(facts: SeparationFacts, pair: PairFacts) -> str:
    unit = "%" if facts.unit == "percent" else "points"
    low, high = (format_fixed(end, 1) for end in pair.interval)
    return f"{format_fixed(pair.by_points, 1)} {unit} [{low}, {high}]"
