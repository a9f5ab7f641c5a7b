"""Many releases of one suite, as tables: what each model was in each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from slimgate._system.escape import escaped
from slimgate.record import VariantRecord
from slimgate.record.carried import status_words
from slimgate.record.files import Kept
from slimgate.report.comparison import quality_cell
from slimgate.report.figures import MISSING, fixed, megabytes, with_note
from slimgate.report.standing import budgeted, metrics, workload_words, workloads
from slimgate.report.tables import Column, blocks, table, without_empty

Cell = Callable[[VariantRecord], str]


def history_report(releases: Sequence[Kept], picture_path: str | None = None) -> str:
    """releases: the oldest first. A table of verdicts, then one a gated metric, of sizes and of speed."""
    names = model_names(releases)
    shown = f"![history]({picture_path})" if picture_path else ""
    return blocks(
        "## History",
        _standings(releases),
        shown,
        *(_metric(releases, names, metric) for metric in gated_metrics(releases)),
        _by_model("Size, MB", releases, names, _size),
        *(_speed(releases, names, workload) for workload in workloads(releases[-1].record)),
    )


def model_names(releases: Sequence[Kept]) -> list[str]:
    """Every model that a release has, those of the newest first."""
    return list(dict.fromkeys(model.name for one in reversed(releases) for model in one.record.variants))


def gated_metrics(releases: Sequence[Kept]) -> list[str]:
    """Metrics that have a budget in a release, or else the first that the newest measured."""
    gated = list(dict.fromkeys(name for one in reversed(releases) for name in budgeted(one.record)))
    return gated or metrics(releases[-1].record)[:1]


def _standings(releases: Sequence[Kept]) -> str:
    records = [one.record for one in releases]
    columns = [
        Column("release", [escaped(one.name) for one in releases]),
        Column("ran", [escaped(record.created) for record in records]),
        Column("status", [status_words(record) for record in records]),
        Column(
            "hold / fail / undecided / not shown",
            [
                f"{record.verdict.passed} / {record.verdict.failed} / {record.verdict.inconclusive}"
                f" / {record.verdict.not_shown}"
                for record in records
            ],
            right=True,
        ),
        Column("gate rows", _rows(releases)),
        Column("machine", [escaped(record.machine.cpu, longest=60) for record in records]),
        Column(
            "accepted because",
            [
                escaped(record.accepted.reason) if record.accepted and record.accepted.reason else MISSING
                for record in records
            ],
        ),
    ]
    return table(without_empty(columns))


def _rows(releases: Sequence[Kept]) -> list[str]:
    """How many, and a letter that is the same where the rows are: values of other rows do not compare."""
    letters: dict[str, str] = {}
    shown = []
    for one in releases:
        gate = one.record.task.splits.get("gate")
        if gate is None:
            shown.append(MISSING)
            continue
        letter = letters.setdefault(gate.digest, chr(ord("A") + len(letters) % 26))
        shown.append(f"{gate.n:,} ({letter})")
    return shown


def _metric(releases: Sequence[Kept], names: Sequence[str], metric: str) -> str:
    return _by_model(escaped(metric), releases, names, lambda model: quality_cell(model.quality.get(metric)))


def _size(model: VariantRecord) -> str:
    return megabytes(model.artifact.bytes) if model.artifact else MISSING


def _speed(releases: Sequence[Kept], names: Sequence[str], workload: str) -> str:
    def cell(model: VariantRecord) -> str:
        facts = model.latency.get(workload)
        if facts is None or facts.speedup is None or facts.speedup_interval is None:
            return MISSING
        low, high = facts.speedup_interval
        return with_note(f"{fixed(facts.speedup, 2)}×", f"{fixed(low, 2)} to {fixed(high, 2)}")

    return _by_model(f"Speed-up over its own teacher, {workload_words(workload)}", releases, names, cell)


def _by_model(heading: str, releases: Sequence[Kept], names: Sequence[str], cell: Cell) -> str:
    columns = [
        Column(escaped(name), [_cell(one, name, cell) for one in releases], right=True) for name in names
    ]
    told = without_empty(columns)
    if not told:
        return ""
    return blocks(
        f"### {heading}", table([Column("release", [escaped(one.name) for one in releases]), *told])
    )


def _cell(release: Kept, name: str, cell: Cell) -> str:
    model = next((one for one in release.record.variants if one.name == name), None)
    return MISSING if model is None else cell(model)
