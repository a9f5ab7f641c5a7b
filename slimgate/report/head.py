"""The first screen: the verdict, why, what to ship, and what to know before trusting it."""

from __future__ import annotations

from slimgate._system.escape import escaped
from slimgate.record import RunRecord
from slimgate.record.budgets import only_warns
from slimgate.record.carried import describe_carried, describe_counts, messages
from slimgate.record.words import moment, numbered
from slimgate.report.alarms import alarms
from slimgate.report.best import best
from slimgate.report.broken import broken
from slimgate.report.cautions import warnings
from slimgate.report.figures import count
from slimgate.report.tables import blocks, bullets, titled


def head(record: RunRecord) -> str:
    """Title, verdict line, reasons, best variants, warnings."""
    return blocks(
        f"# {escaped(record.suite.title)}",
        verdict_line(record),
        this_run_line(record),
        bullets(alarms(record)),
        titled(f"{reasons_title(record)}:", bullets(map(escaped, messages(record)))),
        titled("What was not built or measured:", bullets(broken(record))),
        titled("What could ship:", bullets(best(record))),
        titled("Before you trust this:", bullets(warnings(record))),
        origin(record),
    )


def verdict_line(record: RunRecord) -> str:
    """`**FAIL** · 9 budgets hold, 1 does not, 1 is undecided, 1 is not shown · 4 results not gated`."""
    found = record.verdict
    judged = [numbered(found.passed, "budget holds", "budgets hold")]
    if found.failed:
        judged.append(numbered(found.failed, "does not", "do not"))
    if found.inconclusive:
        judged.append(numbered(found.inconclusive, *_undecided(record)))
    if found.not_shown:
        judged.append(numbered(found.not_shown, "is not shown", "are not shown"))
    words = "no budget was judged" if found.status == "measured" else ", ".join(judged)
    parts = [f"**{found.status}**", words]
    if broken := sum(model.error is not None for model in record.variants):
        parts.append(
            numbered(
                broken, "variant could not be built or measured", "variants could not be built or measured"
            )
        )
    if found.not_gated:
        parts.append(numbered(found.not_gated, "result not gated", "results not gated"))
    if carried := describe_carried(record):
        parts.append(f"partial: {carried}")
    if found.missing:
        parts.append(numbered(found.missing, "check not run yet", "checks not run yet"))
    return " · ".join(parts)


def this_run_line(record: RunRecord) -> str:
    """What the last run judged, as its exit code has it; empty without results of earlier runs."""
    run = record.this_run
    if run is None or not record.carried:
        return ""
    unmade = f", and did not run {numbered(run.missing, 'check', 'checks')}" if run.missing else ""
    return f"The last run alone: **{run.status}** ({describe_counts(record, run)}){unmade}."


def _undecided(record: RunRecord) -> tuple[str, str]:
    """Of one and of several: a reader shall know why a run that is not PASS ended with exit code 0."""
    if only_warns(record):
        return "is undecided, which only warns", "are undecided, which only warns"
    return "is undecided", "are undecided"


def reasons_title(record: RunRecord) -> str:
    """What stands above the verdict's messages: where nothing fails they are of what it could not tell."""
    broken = any(model.error is not None for model in record.variants)
    fails = record.verdict.status == "FAIL" or record.verdict.failed or broken
    return "What does not hold" if fails else "What could not be decided"


def origin(record: RunRecord) -> str:
    """Suite, rows, time."""
    gate = record.task.splits.get("gate")
    rows = [] if gate is None else [f"{count(gate.n)} gate rows"]
    return " · ".join([f"Suite {escaped(record.suite.path)}", *rows, moment(record.created)])
