"""The summary at a terminal: it fits, it names the worst first, and data does not command the terminal."""

from __future__ import annotations

import pytest
from support.sample_record import make_latency, make_quality, make_record_of, make_sample_record, make_variant

from slimgate.record.run import RunRecord
from slimgate.record.run_verdict import judge_record, judge_this_run
from slimgate.record.verdicts import CarriedResult
from slimgate.report.terminal.summary import (
    MOST,
    join_line,
    list_summary_lines,
    make_summary_table,
    make_terminal_table,
)
from slimgate.results.base import BudgetFacts, Verdict

WHERE = "reports/latest/x/report.md"


def texts(record: RunRecord, width: int | None) -> list[str]:
    return [join_line(line) for line in list_summary_lines(record, WHERE, width=width)]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_summary_fits_the_terminal(width: int) -> None:
    lines = texts(make_sample_record(), width)
    assert max(map(len, lines[:-1])) <= width  # the last names the report, which is copied whole
    assert any("distilled-int8" in line for line in lines)


def test_a_narrow_terminal_has_a_block_of_figures_a_variant() -> None:
    [name] = [v.name for v in make_sample_record().variants if v.name == "distilled"]
    lines = texts(make_sample_record(), 60)
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{name}: "))
    assert lines[at + 1].startswith("  MB ")
    assert any(line.startswith("  accuracy drop ") for line in lines[at + 1 : at + 5])


def test_a_pipe_gets_the_whole_table() -> None:
    assert texts(make_sample_record(), None)[0].startswith("variant ")


def test_every_variant_has_its_own_figures_in_the_table() -> None:
    record = make_sample_record()
    rows = {line.split()[0]: line for line in map(join_line, make_summary_table(record, WHERE))}
    drops = {v.name: v.quality["accuracy"].drop_points for v in record.variants if "accuracy" in v.quality}
    figures = {name: f" {drop:z.1f} [" for name, drop in drops.items() if drop is not None}
    assert len(set(figures.values())) > 2
    for name, text in figures.items():
        rest = set(figures.values()) - {text}
        cells = rows[name].partition("×")[2] or rows[name]
        assert text in cells
        assert not any(f"{other}" in cells.partition(text)[0] for other in rest), name


def test_a_speed_up_is_in_the_place_of_its_workload() -> None:
    """The second variant was timed on the second workload only."""
    first = make_latency(5.0, speedup=2.0, speedup_interval=(1.9, 2.1))
    second = make_latency(20.0, speedup=3.0, speedup_interval=(2.9, 3.1))
    models = [
        make_sample_record().variants[0].model_copy(update={"latency": {}}),
        make_variant("int8", latency={"b1": first, "b32": second}),
        make_variant("pruned", latency={"b32": second}),
    ]
    lines = map(join_line, make_summary_table(make_sample_record(variants=models), WHERE))
    rows = {line.split()[0]: line for line in lines}
    assert "2.00× [1.90, 2.10] / 3.00× [2.90, 3.10]" in rows["int8"]
    assert "– / 3.00× [2.90, 3.10]" in rows["pruned"]


CARRIED = [CarriedResult(kind="quality", name="accuracy", measured="2026-11-20T14:02:03+00:00")]


def carrying(record: RunRecord, *names: str) -> RunRecord:
    """The record as a run leaves it that took over the accuracy of these variants from an earlier one."""
    models = [
        model.model_copy(update={"carried": CARRIED if model.name in names else []})
        for model in record.variants
    ]
    changed = record.model_copy(update={"variants": models})
    record_verdict = judge_record(models, record.self_test, record.verdict.missing)
    run = judge_this_run(models, record.self_test, record.verdict.missing)
    return changed.model_copy(update={"verdict": record_verdict, "this_run": run})


def test_the_first_line_is_of_the_run_the_second_of_the_record() -> None:
    record = carrying(make_sample_record(), "distilled", "int8")
    first, second = texts(record, None)[-2:]
    assert record.this_run is not None
    assert record.this_run.passed == record.verdict.passed - 2
    assert first.startswith(f"{record.suite.path}: FAIL ({record.this_run.passed} PASS")
    assert second.startswith(f"  whole record: FAIL ({record.verdict.passed} PASS")
    assert "2 results from 2026-11-20 14:02 UTC" in second
    assert second.endswith(WHERE)


def test_a_verdict_of_an_earlier_run_is_dated_in_the_table() -> None:
    record = carrying(make_sample_record(), "distilled")
    dated = [line for line in texts(record, None) if "measured 2026-11-20 14:02 UTC" in line]
    assert [line.split()[0] for line in dated] == ["distilled"]


def test_errors_are_counted() -> None:
    record = carrying(make_sample_record(), "int8")
    broken = sum(model.error is not None for model in record.variants)
    assert broken
    assert f", {broken} error" in texts(record, None)[-2]


def test_verdicts_are_coloured_by_kind_and_nothing_else_is() -> None:
    styles = {
        text.partition(" ")[0].rstrip(","): style
        for line in make_summary_table(make_sample_record(), WHERE)
        for text, style in line
        if style
    }
    assert (
        styles.items() <= {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow", "error": "red"}.items()
    )
    assert "green" in styles.values()


def test_of_200_variants_the_failing_lead_and_others_are_counted() -> None:
    record = make_sample_record()
    good = next(v for v in record.variants if v.name == "distilled")
    models = [record.variants[0], *(good.model_copy(update={"name": f"v{i}"}) for i in range(200))]
    facts = good.quality["accuracy"].model_copy(update={"verdict": Verdict.FAIL})
    models[150] = models[150].model_copy(update={"quality": {**good.quality, "accuracy": facts}})
    lines = [
        join_line(line) for line in make_summary_table(record.model_copy(update={"variants": models}), WHERE)
    ]
    assert lines[3].startswith("v149 ")
    assert "FAIL" in lines[3]
    assert len(lines) == 2 + 1 + MOST + 1
    assert lines[-1].startswith("… and 180 more (180 PASS")
    assert lines[-1].endswith(WHERE)


def test_control_characters_of_a_suite_never_reach_the_terminal() -> None:
    record = make_sample_record()
    record = record.model_copy(
        update={
            "variants": [*record.variants, make_variant("x\x1b[2J", error="\x9b31m\x1b]0;owned\x07")],
            "verdict": record.verdict.model_copy(update={"messages": ["x\x1b[2J: FAIL"]}),
        }
    )
    for width in (60, None):
        assert all(line.isprintable() for line in texts(record, width))


def test_a_table_that_fits_stays_a_table() -> None:
    rows = [{"model": "a", "state": "PASS"}]
    assert make_terminal_table(rows, ["green"], width=20)[-1] == [("a        ", ""), ("PASS", "green")]
    assert make_terminal_table(rows, ["green"], width=10) == [[("a: ", ""), ("PASS", "green")]]


def test_no_figure_of_the_table_is_rounded_to_its_budget() -> None:
    accuracy = make_quality("x", "accuracy", 1.2, (0.5, 2.04), Verdict.INCONCLUSIVE)
    budget = BudgetFacts(kind="speedup_min", limit=1.5, verdict=Verdict.INCONCLUSIVE)
    times = make_latency(5.0, speedup=1.62, speedup_interval=(1.497, 1.75), budgets=[budget])
    model = make_variant("x", quality={"accuracy": accuracy}, latency={"b1": times})
    record = make_record_of(model)
    row = join_line(make_summary_table(record, WHERE)[-1])
    assert "1.20 [0.50, 2.04]" in row
    assert "1.62× [1.497, 1.75]" in row
