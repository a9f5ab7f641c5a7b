"""What `slimgate judge` found in logs: a table sorted by what lost most, totals, flipped samples; or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from slimgate._system.escape import visible
from slimgate.data.log_files.verdicts import Comparison, LogVerdicts, QuotedSample, quoted_samples
from slimgate.judge.budget_kinds import OnInconclusive, is_two_sided
from slimgate.judge.verdict import Verdict
from slimgate.record import RunVerdict
from slimgate.record.run_verdict import format_verdict
from slimgate.record.words import format_count
from slimgate.report.figures import count, format_drop, format_limits, to_fixed
from slimgate.run.log_record import comparison_line, facts_of, verdict_of

_MOST_ROWS = 40
_MOST_QUOTED = 5
_LONGEST = 160


def as_json(judged: Mapping[str, LogVerdicts], wish: OnInconclusive) -> str:
    """By target: `quality` as run.json has it, `samples`, `notes` and `verdict`."""
    found = {name: _json_of(name, one, wish) for name, one in judged.items()}
    return json.dumps(found, indent=1, ensure_ascii=False)


def _json_of(name: str, verdicts: LogVerdicts, wish: OnInconclusive) -> dict[str, Any]:
    return {
        "quality": facts_of(name, verdicts, wish),
        "samples": {one.name: _samples(one) for one in verdicts.everything},
        "notes": list(verdicts.notes),
        "verdict": verdict_of(name, verdicts, wish).model_dump(mode="json", exclude={"missing"}),
    }


def _samples(one: Comparison) -> dict[str, Any]:
    found: dict[str, Any] = {
        **vars(one.counts),
        "worse": one.worse,
        "better": one.better,
        "changed": one.changed,
    }
    if one.noise is not None:
        found |= {
            "base_changes_share": one.noise.psi,
            "within_noise": one.noise.covers(one.judged.drop_points),
        }
    return found


def as_text(judged: Mapping[str, LogVerdicts], wish: OnInconclusive) -> str:
    """For each target its table, totals, flipped samples, notes and verdict."""
    return "\n\n".join(block for name, one in judged.items() for block in _blocks(name, one, wish) if block)


def _blocks(name: str, verdicts: LogVerdicts, wish: OnInconclusive) -> Iterator[str]:
    target, base = (log.model or log.shown.removeprefix("./") for log in (verdicts.target, verdicts.base))
    which = target if target == name else f"{name}: {target}"
    yield visible(f"{which} against {base}, read as logs of {verdicts.base.tool}")
    yield _table(verdicts)
    yield "\n".join(_lines(name, verdicts))
    yield visible(_totals(verdicts))
    yield quotes_text(quoted_samples(verdicts, _MOST_QUOTED))
    yield quotes_text(quoted_samples(verdicts, _MOST_QUOTED, better=True), "samples that got better:")
    yield "\n".join(f"note: {visible(note)}" for note in verdicts.notes)
    yield visible(_summary(verdict_of(name, verdicts, wish), verdicts))


def _table(verdicts: LogVerdicts) -> str:
    shown = verdicts.everything[:_MOST_ROWS]
    noisy = any(one.noise is not None for one in shown)
    rows = [
        {
            "task/metric": visible(one.name),
            "n": count(one.counts.judged),
            "base": to_fixed(one.judged.teacher, 3),
            "target": to_fixed(one.judged.value, 3),
            "drop, points [90 %]": format_drop(
                one.judged.drop_points, one.judged.interval, one.judged.budgets
            ),
            "worse / better": f"{count(one.worse)} / {count(one.better)}",
            **(_changes(one) if noisy else {}),
            "budget": format_limits(one.judged.budgets),
            "verdict": one.judged.verdict.value if one.judged.verdict else "not gated",
        }
        for one in shown
    ]
    text = tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True)
    more = len(verdicts.everything) - len(shown)
    verb = "differ" if any(is_two_sided(comparison.budgets) for comparison in verdicts.everything) else "lost"
    return text + (f"\n{count(more)} more that {verb} less" if more else "")


def _changes(one: Comparison) -> dict[str, str]:
    """The share of samples whose score changed: in the target, and in the base run again."""
    shares = (
        ("–", "–") if one.noise is None else (f"{100 * s:.1f} %" for s in (one.flips_share, one.noise.psi))
    )
    return dict(zip(("changed", "in base again"), shares, strict=True))


def _lines(name: str, verdicts: LogVerdicts) -> list[str]:
    """A line for each comparison that does not hold; of a log with one comparison, its line."""
    wrong = [one for one in verdicts.everything if one.judged.verdict not in (None, Verdict.PASS)]
    shown = wrong or (verdicts.everything if len(verdicts.everything) == 1 else ())
    lines = [visible(comparison_line(name, one)) for one in shown[:_MOST_ROWS]]
    return lines + ([f"{count(len(shown) - _MOST_ROWS)} more"] if len(shown) > _MOST_ROWS else [])


def _totals(verdicts: LogVerdicts) -> str:
    """`3 tasks, 4 comparisons, 1,200 scores: 80 worse, 12 better; 2 samples without a score`."""
    found = verdicts.comparisons
    scores = sum(one.counts.judged for one in found)
    line = (
        f"{format_count(len({one.task for one in found}), 'task', 'tasks')}, "
        f"{format_count(len(found), 'comparison', 'comparisons')}, {count(scores)} scores: "
        f"{count(sum(one.worse for one in found))} worse, {count(sum(one.better for one in found))} better"
    )
    missing = sum(one.counts.missing for one in found)
    by_filter = {(one.task, one.filter): one.counts for one in found}
    cut = [sum(getattr(one, f"truncated_{who}") for one in by_filter.values()) for who in ("base", "target")]
    if missing:
        line += f"; {count(missing)} scores missing in one log or both"
    if other := sum(one.counts.not_of_metric for one in found):
        line += f"; a metric is not of {count(other)} samples"
    if waiting := sum(one.counts.not_run for one in found):
        line += f"; {count(waiting)} not run yet by the target"
    if any(cut):
        line += f"; answers cut off: {count(cut[0])} of the base, {count(cut[1])} of the target"
    return line


def quotes_text(found: Sequence[QuotedSample], heading: str = "samples that got worse:") -> str:
    """Samples that turned, with prompt and both answers."""
    if not any(text for one in found for text in (one.base.prompt, one.base.answer, one.target.answer)):
        return f"{heading} {', '.join(visible(one.id) for one in found)}" if found else ""
    blocks = [heading]
    for one in found:
        blocks.append(
            f"  {visible(one.comparison)} {visible(one.id)}\n"
            f"    prompt {_cut(one.base.prompt, from_end=True)}\n"
            f"    base   {_cut(one.base.answer)}\n"
            f"    target {_cut(one.target.answer)}"
            + (f"\n    right  {_cut(one.base.target)}" if one.base.target is not None else "")
        )
    return "\n".join(blocks)


def _cut(text: str | None, *, from_end: bool = False) -> str:
    """A text in one line, quoted, at most 160 characters; of a prompt its end says most."""
    if text is None:
        return "(not in the log)"
    line = " ".join(text.split())
    if len(line) > _LONGEST:
        line = f"…{line[-_LONGEST:]}" if from_end else f"{line[:_LONGEST]}…"
    return visible(f'"{line}"')


def _summary(found: RunVerdict, verdicts: LogVerdicts) -> str:
    line = format_verdict(found)
    if verdicts.tests > 1 and found.status != "PASS":  # a PASS needs no correction
        line += f"; one FAIL fails all, so each is corrected for {verdicts.tests} budgets (Holm)"
    return line
