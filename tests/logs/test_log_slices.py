"""Slices of judged logs: by any field of a sample, with budgets of their own, or one clear error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slimgate.errors import DataError, SuiteError
from slimgate.judge.evidence import make_tango_evidence
from slimgate.judge.slices import adjust_by_holm
from slimgate.logs.base_log import read_base_log, write_base_log
from slimgate.logs.budgets import LogBudgets, parse_budget_tables
from slimgate.logs.rules import Rules
from slimgate.logs.verdicts import LogVerdicts, judge_logs
from slimgate.plugins.reader import Log, Row, TaskLog
from slimgate.results.base import Verdict

Fields = Callable[[int], dict[str, Any] | None]
KINDS = ("law", "maths", "medical", "code")


def make_kind(at: int) -> dict[str, Any]:
    return {"category": KINDS[at % 4]}


def make_log(name: str, scores: list[float], fields: Fields = make_kind, task: str = "task") -> Log:
    def rows() -> Iterator[Row]:
        for at, score in enumerate(scores):
            yield Row(str(at), {"acc": score}, prompt="?" * (at + 1), fields=fields(at))

    return Log("simulated", name, {task: TaskLog(rows)})


def judge(
    base: list[float],
    target: list[float],
    *slices: str,
    budgets: dict[str, Any] | None = None,
    fields: Fields = make_kind,
) -> LogVerdicts:
    stated = LogBudgets() if budgets is None else parse_budget_tables({"budgets": budgets}, "b.toml")
    logs = make_log("base", base, fields), make_log("target", target, fields)
    return judge_logs(*logs, stated, Rules(slices=slices))


def list_verdicts(verdicts: LogVerdicts) -> dict[str, Verdict | None]:
    return {part.name: part.judged.verdict for part in verdicts.slices}


RIGHT = [1.0] * 800
# every medical answer of the first 400 samples is lost: 100 of 200
LOST = [0.0 if at % 4 == 2 and at < 400 else 1.0 for at in range(800)]


def test_a_slice_is_judged_on_its_own_samples() -> None:
    medical = judge(RIGHT, LOST, "category").slices[0]
    assert (medical.name, medical.counts.judged) == ("task/acc[category=medical]", 200)
    assert (medical.judged.teacher, medical.judged.value, medical.worse) == (1.0, 0.5, 100)
    # the same as Tango's test on these samples alone
    alone = make_tango_evidence(np.ones(200), np.repeat([0.0, 1.0], 100), higher_is_better=True)
    assert alone.interval is not None
    assert medical.judged.interval == pytest.approx([100 * end for end in alone.interval])
    assert {part.counts.judged for part in judge(RIGHT, LOST, "category").slices} == {200}


def test_long_numbers_next_to_a_text_stay_distinct() -> None:
    def customer(at: int) -> dict[str, Any]:
        return {"customer": 1234561 + at % 4 if at % 4 else "unknown"}

    slices = judge(RIGHT, LOST, "customer", fields=customer).slices
    assert {part.name: part.judged.value for part in slices} == {
        "task/acc[customer=1234562]": 1.0,
        "task/acc[customer=1234563]": 0.5,
        "task/acc[customer=1234564]": 1.0,
        "task/acc[customer=unknown]": 1.0,
    }


def test_texts_of_the_same_number_stay_distinct() -> None:
    def section(at: int) -> dict[str, Any]:
        return {"section": ("1.1", "2", "1.10", "3")[at % 4]}

    slices = judge(RIGHT, LOST, "section", fields=section).slices
    assert {part.name: part.judged.value for part in slices} == {
        "task/acc[section=1.1]": 1.0,
        "task/acc[section=1.10]": 0.5,
        "task/acc[section=2]": 1.0,
        "task/acc[section=3]": 1.0,
    }


def test_a_whole_number_may_be_written_with_a_decimal_point() -> None:
    def level(at: int) -> dict[str, Any]:
        return {"level": ("1", "2", "1.0", "3")[at % 4]}

    slices = judge(RIGHT, LOST, "level", fields=level).slices
    assert {part.name: part.judged.n for part in slices} == {
        "task/acc[level=1]": len(RIGHT) / 2,
        "task/acc[level=2]": len(RIGHT) / 4,
        "task/acc[level=3]": len(RIGHT) / 4,
    }


def test_a_named_slice_has_its_budget_in_place_of_every_slices() -> None:
    budgets = {
        "slices": {"acc": {"drop_points": 5.0}, "category": {"medical": {"acc": {"drop_points": 70.0}}}}
    }
    verdicts = judge(RIGHT, LOST, "category", budgets=budgets)
    assert set(list_verdicts(verdicts).values()) == {Verdict.PASS}
    strict = {"slices": {"acc": {"drop_points": 5.0}}}
    failed = [
        name
        for name, verdict in list_verdicts(judge(RIGHT, LOST, "category", budgets=strict)).items()
        if verdict is Verdict.FAIL
    ]
    assert failed == ["task/acc[category=medical]"]


def test_a_budgets_field_slices_and_its_value_may_be_a_pattern() -> None:
    budgets = {"slices": {"category": {"m*": {"*": {"drop_points": 5.0}}}}}
    verdicts = list_verdicts(judge(RIGHT, LOST, budgets=budgets))
    assert verdicts == {
        "task/acc[category=medical]": Verdict.FAIL,
        "task/acc[category=maths]": Verdict.PASS,
        "task/acc[category=code]": None,
        "task/acc[category=law]": None,
    }


def test_few_rows_are_inconclusive_and_no_pass() -> None:
    budgets = {"slices": {"acc": {"drop_points": 5.0}}}
    verdicts = judge(RIGHT[:40], RIGHT[:40], "category", budgets=budgets)
    assert set(list_verdicts(verdicts).values()) == {Verdict.INCONCLUSIVE}
    assert all(part.judged.n_needed for part in verdicts.slices)


def test_one_slice_of_many_fails_only_by_holms_correction() -> None:
    kinds = 40
    scores = [1.0] * (60 * kinds)
    lost = [0.0 if at % kinds == 0 and at < 9 * kinds else 1.0 for at in range(len(scores))]
    p_alone = make_tango_evidence(
        np.ones(60), np.repeat([0.0, 1.0], [9, 51]), higher_is_better=True
    ).p_at_most(0.05)
    assert p_alone <= 0.05 < adjust_by_holm(np.array([p_alone, *[1.0] * (kinds - 1)]))[0]

    def make_fields(at: int) -> dict[str, Any]:
        return {"kind": f"k{at % kinds}"}

    def worst(*names: str) -> Verdict | None:
        table = {"kind": {name: {"acc": {"drop_points": 5.0}} for name in names}}
        budgets = {"slices": table if names else {"acc": {"drop_points": 5.0}}}
        return list_verdicts(judge(scores, lost, "kind", budgets=budgets, fields=make_fields))[
            "task/acc[kind=k0]"
        ]

    assert worst() is Verdict.INCONCLUSIVE
    # of one named slice nothing is corrected
    assert worst("k0") is Verdict.FAIL


def test_samples_without_the_field_are_counted_and_in_no_slice() -> None:
    verdicts = judge(
        RIGHT, RIGHT, "category", fields=lambda at: make_kind(at) if at >= 10 else {"category": ""}
    )
    assert sum(part.counts.judged for part in verdicts.slices) == 790
    assert (
        "task, slices by category: 10 of 800 samples do not have it, so they are in no slice"
        in verdicts.notes
    )


def test_a_sample_with_a_list_is_in_several_slices() -> None:
    verdicts = judge(RIGHT[:100], RIGHT[:100], "tags", fields=lambda at: {"tags": ["all", f"t{at % 2}"]})
    assert {part.name: part.counts.judged for part in verdicts.slices} == {
        "task/acc[tags=all]": 100,
        "task/acc[tags=t0]": 50,
        "task/acc[tags=t1]": 50,
    }


def test_numbers_are_cut_into_quarters_and_few_numbers_are_not() -> None:
    verdicts = judge(RIGHT[:100], RIGHT[:100], "prompt_length", "grade", fields=lambda at: {"grade": at % 3})
    assert {part.name: part.counts.judged for part in verdicts.slices} == {
        **{f"task/acc[prompt_length={quarter}]": 25 for quarter in ("q1", "q2", "q3", "q4")},
        "task/acc[grade=0]": 34,
        "task/acc[grade=1]": 33,
        "task/acc[grade=2]": 33,
    }
    assert "task, slices by prompt_length: q1 up to 25, q2 up to 50, q3 up to 75, q4 above" in verdicts.notes


def test_a_field_in_a_table_is_named_with_or_without_the_table() -> None:
    def nested(at: int) -> dict[str, Any]:
        return {"metadata": {"language": ("de", "fr")[at % 2]}}

    for name in ("metadata.language", "language"):
        parts = judge(RIGHT[:20], RIGHT[:20], name, fields=nested).slices
        assert {part.name for part in parts} == {f"task/acc[{name}=de]", f"task/acc[{name}=fr]"}
    with pytest.raises(
        DataError, match=r"metadata: the field is a table in sample 0; name one of its keys \(metadata.lang"
    ):
        judge(RIGHT[:20], RIGHT[:20], "metadata", fields=nested)


def test_another_value_in_the_targets_log_is_said_and_not_used() -> None:
    base = make_log("base", RIGHT[:20])
    target = make_log("target", RIGHT[:20], lambda at: {"category": "law" if at < 4 else KINDS[at % 4]})
    verdicts = judge_logs(base, target, LogBudgets(), Rules(slices=("category",)))
    assert {part.counts.judged for part in verdicts.slices} == {5}
    assert any("3 samples have another value in the target's log" in note for note in verdicts.notes)


def test_a_base_without_the_field_takes_the_targets() -> None:
    base, target = make_log("base", RIGHT[:20], lambda _at: None), make_log("target", RIGHT[:20])
    verdicts = judge_logs(base, target, LogBudgets(), Rules(slices=("category",)))
    assert len(verdicts.slices) == 4


@pytest.mark.parametrize(
    ("slices", "budgets", "message"),
    [
        (
            ("categry",),
            None,
            r"--slice categry: no sample has this field; the samples have .*\. Did you mean category\?",
        ),
        (("zzz",), None, "--slice zzz: no sample has this field; the samples have category"),
        (
            (),
            {"acc": {"drop_points": 5.0}},
            "no field to slice by; name it with --slice .*the samples have category",
        ),
        (
            (),
            {"category": {"medcal": {"acc": {"drop_points": 5.0}}}},
            r'category."medcal"\]: no sample has this value; the values .* law.*\. Did you mean medical\?',
        ),
        (("category",), {"f1": {"drop_points": 5.0}}, r'\[budgets.slices\] no comparison matches "f1"'),
        (("category",), {"category": {"law": 3}}, "unknown key law"),
        (
            ("category",),
            {"category": {"law": {"drop_points": 3}}},
            r'name a metric, as in \[budgets.slices.category."law"\] accuracy = \{ drop_points = 3 \}',
        ),
        (("category",), {}, "expected a table"),
        (("category",), {"acc": {"drop_pints": 3}}, "drop_pints"),
    ],
)
def test_what_is_not_there_is_one_clear_error(
    slices: tuple[str, ...], budgets: dict[str, Any] | None, message: str
) -> None:
    with pytest.raises(SuiteError, match=message) as error:
        judge(RIGHT[:40], RIGHT[:40], *slices, budgets=None if budgets is None else {"slices": budgets})
    assert "\n" not in str(error.value)


def test_a_field_with_a_value_for_each_sample_is_refused() -> None:
    with pytest.raises(DataError, match=r"400 values, such as .*choose a field that many samples share"):
        judge(RIGHT[:400], RIGHT[:400], "name", fields=lambda at: {"name": f"sample {at}"})


def test_analyses_and_slices_do_not_go_together() -> None:
    logs = make_log("base", RIGHT), make_log("target", RIGHT)
    with pytest.raises(SuiteError, match="--slice cannot be used with --analyses"):
        judge_logs(*logs, LogBudgets(), Rules(slices=("category",), analyses=4))


def test_a_kept_base_has_its_fields(tmp_path: Path) -> None:
    base, target = make_log("base", RIGHT), make_log("target", LOST)
    write_base_log(base, tmp_path / "base.parquet")
    stored = read_base_log(tmp_path / "base.parquet", "kept")
    rules = Rules(slices=("category", "prompt_length"))
    of_log, of_kept = (judge_logs(side, target, LogBudgets(), rules).slices for side in (base, stored))
    assert [(part.name, part.judged) for part in of_log] == [(part.name, part.judged) for part in of_kept]


@pytest.mark.slow
def test_the_command_and_a_suite_have_slices_in_all_they_write(tmp_path: Path, capsys: Any) -> None:
    from slimgate.cli.main import main
    from slimgate.logs.suite import load_log_suite
    from slimgate.logs.suite_run import judge_log_suite

    for name, scores in (("base", RIGHT), ("target", LOST)):
        rows = [
            {"id": at, "score": score, "higher_is_better": True, **make_kind(at)}
            for at, score in enumerate(scores)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    paths = [str(tmp_path / f"{name}.jsonl") for name in ("base", "target")]
    report = tmp_path / "report"
    options = ["--slice", "category", "--slice-points", "5", "--json", "--report", str(report)]
    assert main(["judge", *paths, *options]) == 1
    judged = json.loads(capsys.readouterr().out)["target"]
    name = "score[category=medical]"
    assert judged["quality"][name]["verdict"] == "FAIL"
    assert judged["samples"][name]["slice"] == {"of": "score", "category": "medical"}
    record = json.loads((report / "run.json").read_text())
    part = record["task"]["params"]["slices"][name]
    assert len(part.pop("samples")) == 32
    assert part == {"of": "score", "field": "category", "value": "medical"}
    assert "category=medical" in (report / "report.md").read_text()
    suite = tmp_path / "bench.toml"
    suite.write_text(
        '[logs]\nbase = "base.jsonl"\ntargets = { int4 = "target.jsonl" }\nslices = ["category"]\n'
        "[budgets.slices]\nscore = { drop_points = 5.0 }\n"
        "[budgets.slices.category.medical]\nscore = { drop_points = 70.0 }\n"
    )
    results = judge_log_suite(load_log_suite(suite, "bench.toml")).targets["int4"].quality
    assert {facts.verdict for key, facts in results.items() if "[" in key} == {"PASS"}
