"""`compare` and `accept` name each way in which a gate on judged files demands less than an earlier one."""

from __future__ import annotations

import json
import re
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from support.judge_command import judge_into
from support.kl_logs import write_kl_log
from support.releases import seal

from slimgate.cli.main import main
from slimgate.errors import DataError
from slimgate.record.accept import accept
from slimgate.record.comparing import compare
from slimgate.record.files import StoredRecord, read_record_file, read_run, read_suite_baselines
from slimgate.report.compare import format_release_comparison

N = 800


def write_scores(path: Path, metric: str, scores: list[float]) -> Path:
    lines = (f"{at},{score},{metric}" for at, score in enumerate(scores))
    path.write_text("\n".join(["id,score,metric", *lines]) + "\n", "utf-8")
    return path


def write_predictions(path: Path, wrong: int, names: tuple[str, str] = ("ok", "fraud")) -> Path:
    """Half of the rows have each label. wrong: how many of the first rows are predicted wrongly."""
    labels = [names[at % 2] for at in range(N)]
    swapped = dict(zip(names, names[::-1], strict=True))
    lines = (f"{at},{label},{swapped[label] if at < wrong else label}" for at, label in enumerate(labels))
    path.write_text("\n".join(["id,label,prediction", *lines]) + "\n", "utf-8")
    return path


def write_grouped(path: Path, wrong: int) -> Path:
    """Predictions of rows in documents of 20 and pages of 2."""
    head, *lines = write_predictions(path, wrong).read_text("utf-8").splitlines()
    grouped = [f"{line},{at // 20},{at // 2}" for at, line in enumerate(lines)]
    path.write_text("\n".join([f"{head},document,page", *grouped]) + "\n", "utf-8")
    return path


def write_budgets(path: Path, text: str) -> Path:
    path.write_text(f"[budgets]\n{text}\n", "utf-8")
    return path


@pytest.fixture
def gates(tmp_path: Path) -> dict[str, tuple[list[object], list[object], str]]:
    """By name: the files, the earlier and the later options of `judge`, and what gets weaker."""
    graded = [float(4 + at % 2) for at in range(N)]
    toxic = [float(at % 5 == 0) for at in range(N)]
    spread = [at % 10 / 100 for at in range(N)]
    base = {
        name: write_scores(tmp_path / f"{name}.csv", name, scores)
        for name, scores in (("toxicity", toxic), ("grade", graded), ("wer", spread))
    }
    target = {
        name: write_scores(tmp_path / f"{name}-int8.csv", name, scores)
        for name, scores in (("toxicity", [*toxic[:-1], 1.0]), ("grade", graded), ("wer", spread))
    }
    predictions = [write_predictions(tmp_path / "f.csv", 0), write_predictions(tmp_path / "f-int8.csv", 2)]
    kl_log = write_kl_log(tmp_path / "kl.txt", np.full(200, 0.01))
    budgets = {
        name: write_budgets(tmp_path / f"{name}.toml", text)
        for name, text in (
            ("kl", "kl = { mean_max = 0.2, above_cap_max = 0.05 }"),
            ("more_above", "kl = { mean_max = 0.2, above_cap_max = 0.2 }"),
            ("kl_cap", "kl = { mean_max = 0.2, above_cap_max = 0.05, cap = 3.0 }"),
            ("wer", "wer = { drop_points = 2.0, above_cap_max = 0.1 }"),
            ("wer_cap", "wer = { drop_points = 2.0, above_cap_max = 0.1, cap = 0.2 }"),
        )
    }
    points = ["--drop-points", 10]
    of_fraud = [*predictions, "--metric", "recall", *points, "--positive"]
    grades = [base["grade"], target["grade"], "--higher-is-better", "grade", *points, "--range"]
    toxicity = [base["toxicity"], target["toxicity"], *points]
    toxicity_up = [*toxicity, "--higher-is-better", "toxicity"]
    pages = [write_grouped(tmp_path / "p.csv", 0), write_grouped(tmp_path / "p-int8.csv", 2)]
    second_run = write_scores(tmp_path / "toxicity-2.csv", "toxicity", [0.0, *toxic[1:]])
    runs = [*points, "--higher-is-better", "toxicity", "--target", target["toxicity"], "--base"]
    short_log, easier_log, longer_log = (
        tmp_path / folder / kl_log.name for folder in ("short", "easier", "longer")
    )
    for log, chunks, perplexity in (
        (short_log, 120, 7.188108),
        (easier_log, 200, 3.5),
        (longer_log, 201, 3.5),
    ):
        log.parent.mkdir()
        write_kl_log(log, np.full(chunks, 0.01), base=perplexity)
    return {
        "chunks": (
            [kl_log, "--budgets", budgets["kl"]],
            [short_log, "--budgets", budgets["kl"]],
            "[logs] number of chunks of kl was 200 and is 120",
        ),
        "text of KL": (
            [kl_log, "--budgets", budgets["kl"]],
            [easier_log, "--budgets", budgets["kl"]],
            '[logs] base\'s perplexity in the log of kl was {"chunks": 200, "perplexity": 7.188108} and is',
        ),
        "longer text of KL": (
            [kl_log, "--budgets", budgets["kl"]],
            [longer_log, "--budgets", budgets["kl"]],
            '[logs] base\'s perplexity in the log of kl was {"chunks": 200, "perplexity": 7.188108} and is',
        ),
        "groups": (
            [*pages, *points, "--group", "document"],
            [*pages, *points, "--group", "page"],
            "accuracy was judged in 40 groups of rows and is judged in 400 smaller groups now",
        ),
        "runs": (
            [*runs, base["toxicity"], second_run],
            [*runs, base["toxicity"]],
            "toxicity was judged over 2 runs of the base and is judged on one run now",
        ),
        "direction": (
            [*toxicity, "--lower-is-better", "toxicity"],
            [*toxicity, "--higher-is-better", "toxicity"],
            "[logs] higher_is_better of toxicity was false and is true",
        ),
        "range": (
            [*grades, "grade=0:10"],
            [*grades, "grade=3:5"],
            "[logs] range of grade was [0.0, 10.0] and is [3.0, 5.0]",
        ),
        "analyses": ([*toxicity_up, "--analyses", 4], toxicity_up, "[logs] analyses was 4 and is 1"),
        "positive": ([*of_fraud, "fraud"], [*of_fraud, "ok"], '[logs] positive was "fraud" and is "ok"'),
        "share above the cap": (
            [kl_log, "--budgets", budgets["kl"]],
            [kl_log, "--budgets", budgets["more_above"]],
            '"above_cap_max": 0.05} and is with {"cap": 1.0, "above_cap_max": 0.2}',
        ),
        "cap of KL": (
            [kl_log, "--budgets", budgets["kl"]],
            [kl_log, "--budgets", budgets["kl_cap"]],
            '"above_cap_max": 0.05} and is with {"cap": 3.0, "above_cap_max": 0.05}',
        ),
        "cap of scores": (
            [base["wer"], target["wer"], "--lower-is-better", "wer", "--budgets", budgets["wer"]],
            [base["wer"], target["wer"], "--lower-is-better", "wer", "--budgets", budgets["wer_cap"]],
            'wer: drop_points was with {"cap": 1.0, "above_cap_max": 0.1} and is with {"cap": 0.2,',
        ),
    }


GATES = (
    "chunks",
    "text of KL",
    "longer text of KL",
    "groups",
    "runs",
    "direction",
    "range",
    "analyses",
    "positive",
    "share above the cap",
    "cap of KL",
    "cap of scores",
)


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("has_demands", [True, False], ids=["this", "an earlier slimgate"])
def test_a_weaker_gate_of_judged_files_is_named(
    gates: dict[str, tuple[list[object], list[object], str]], tmp_path: Path, name: str, has_demands: bool
) -> None:
    earlier, later, change = gates[name]
    old = judge_into(tmp_path / "old" / "int8", earlier)
    assert old.record.demands is not None
    if not has_demands:
        facts = json.loads(old.file.read_text("utf-8"))
        old.file.write_text(json.dumps({**facts, "demands": None}), "utf-8")
        old = StoredRecord(old.file, read_run(seal(old.file)))
    baselines = tmp_path / "baselines"
    accept(old, baselines, "v1", reason=None, at="2026-01-01")
    (tmp_path / "old").rename(tmp_path / "moved")
    new = judge_into(tmp_path / "old" / "int8", later)
    old = StoredRecord(tmp_path / "moved" / "int8" / "run.json", old.record)
    [weakening] = compare(old, new).weaker
    assert change in weakening.change
    with pytest.raises(DataError, match="the gate demands less than the baseline v1"):
        accept(new, baselines, "v2", reason=None, at="2026-01-02")
    accept(new, baselines, "v2", reason="the metric is another", at="2026-01-02")
    assert compare(old, old).weaker == []


@pytest.mark.parametrize("name", ["chunks", "groups", "runs"])
def test_more_chunks_runs_or_rows_a_group_are_not_weaker(
    gates: dict[str, tuple[list[object], list[object], str]], tmp_path: Path, name: str
) -> None:
    more, fewer, _ = gates[name]
    old, new = judge_into(tmp_path / "old" / "int8", fewer), judge_into(tmp_path / "new" / "int8", more)
    assert compare(old, new).weaker == []


def test_other_patterns_of_refusals_weaken_a_gate_on_refusals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function that finds no refusal lets any model pass a budget on refusals."""
    code = "def rate(answer, reference):\n    return 0.0\n\n\nrate.higher_is_better = False\n"
    (tmp_path / "own_refusals.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "patterns.txt").write_text("^sorry\n", "utf-8")
    files = []
    for name in ("base", "int8"):
        rows = [{"id": k, "score": float(k > 0), "answer": f"answer {k} of {name}"} for k in range(400)]
        files.append(tmp_path / f"{name}.jsonl")
        files[-1].write_text("\n".join(map(json.dumps, rows)), "utf-8")
    common = [*files, "--higher-is-better", "score", "--answers", "--budgets"]
    on_refusals = write_budgets(tmp_path / "refused.toml", "refused = { drop_points = 5.0 }")
    on_scores = write_budgets(tmp_path / "score.toml", "score = { drop_points = 5.0 }")
    choices = {
        "own": ["--refusals", "own_refusals:rate"],
        "file": ["--refusals", tmp_path / "patterns.txt"],
        "none": [],
    }
    records = {
        (name, budgets): judge_into(tmp_path / name / budgets.stem / "int8", [*common, budgets, *options])
        for name, options in choices.items()
        for budgets in (on_refusals, on_scores)
    }
    for old, new in permutations(choices, 2):
        [weakening] = compare(records[old, on_refusals], records[new, on_refusals]).weaker
        assert weakening.change == (
            "the patterns or the function that say which answers are refusals have changed"
        )
        assert compare(records[old, on_scores], records[new, on_scores]).weaker == []


def test_a_kl_log_without_its_base_weakens_the_gate(tmp_path: Path) -> None:
    budgets = write_budgets(tmp_path / "kl.toml", "kl = { mean_max = 0.2, above_cap_max = 0.05 }")
    log = write_kl_log(tmp_path / "kl.txt", np.full(200, 0.01))
    stated = judge_into(tmp_path / "stated" / "int8", [log, "--budgets", budgets])
    lines = [line for line in log.read_text("utf-8").splitlines() if "PPL(base)  " not in line]
    log.write_text("\n".join(lines), "utf-8")
    silent = judge_into(tmp_path / "silent" / "int8", [log, "--budgets", budgets])
    [weakening] = compare(stated, silent).weaker
    assert "base's perplexity in the log of kl was" in weakening.change
    assert weakening.change.endswith('and is {"chunks": 200, "perplexity": null}')
    assert compare(silent, stated).weaker == compare(silent, silent).weaker == []


@pytest.mark.parametrize("perplexity", [7.1881, 7.1945], ids=["rounding", "another build"])
def test_the_base_of_a_kl_log_may_differ_a_little(tmp_path: Path, perplexity: float) -> None:
    budgets = write_budgets(tmp_path / "kl.toml", "kl = { mean_max = 0.2, above_cap_max = 0.05 }")
    records = []
    for name, base in (("old", 7.188108), ("new", perplexity)):
        (tmp_path / name).mkdir()
        log = write_kl_log(tmp_path / name / "kl.txt", np.full(200, 0.01), base=base)
        records.append(judge_into(tmp_path / name / "int8", [log, "--budgets", budgets]))
    assert compare(*records).weaker == []


def test_a_positive_label_by_convention_counts_as_stated(tmp_path: Path) -> None:
    files = [
        write_predictions(tmp_path / f"{name}.csv", wrong, ("no", "yes"))
        for name, wrong in (("f", 0), ("g", 2))
    ]
    recall = [*files, "--metric", "recall", "--drop-points", 10]
    no, yes, unstated = (
        judge_into(tmp_path / name / "int8", [*recall, *more])
        for name, more in (("no", ["--positive", "no"]), ("yes", ["--positive", "yes"]), ("unstated", []))
    )
    for old, new in ((no, unstated), (unstated, no), (no, yes)):
        [weakening] = compare(old, new).weaker
        assert "[logs] positive was" in weakening.change
    assert compare(unstated, yes).weaker == compare(yes, unstated).weaker == []


def test_predictions_that_are_no_label_do_not_change_the_rows(tmp_path: Path) -> None:
    base = write_predictions(tmp_path / "base.csv", 0)
    records = []
    for stray, count in (("unsure", 1), ("unknown", 4)):
        target = write_predictions(tmp_path / "int8.csv", 0)
        lines = target.read_text("utf-8").splitlines()
        changed = [",".join([*line.split(",")[:2], stray]) for line in lines[1 : count + 1]]
        target.write_text("\n".join([lines[0], *changed, *lines[count + 1 :]]) + "\n", "utf-8")
        records.append(judge_into(tmp_path / stray / "int8", [base, target, "--drop-points", 5]))
    comparison = compare(*records)
    assert comparison.same_rows
    assert (comparison.weaker, comparison.notes) == ([], [])
    (accuracy,) = comparison.variants[0].metrics
    assert (accuracy.right_to_wrong, accuracy.wrong_to_right) == (3, 0)
    assert accuracy.interval is not None


def test_a_lower_share_above_the_cap_is_stricter(
    gates: dict[str, tuple[list[object], list[object], str]], tmp_path: Path
) -> None:
    stricter, looser, _ = gates["share above the cap"]
    old, new = judge_into(tmp_path / "old" / "int8", looser), judge_into(tmp_path / "new" / "int8", stricter)
    comparison = compare(old, new)
    assert comparison.weaker == []
    assert [change.looser for change in comparison.budgets] == [False]


def test_a_base_that_fell_weakens_the_gate_and_needs_a_reason(tmp_path: Path) -> None:
    right = [float(at % 5 > 0) for at in range(N)]
    ruined = [float(at % 5 > 1) for at in range(N)]
    records = []
    for number, scores in enumerate((right, ruined)):
        files = tmp_path / f"logs{number}"
        files.mkdir()
        sides = [write_scores(files / f"{side}.csv", "acc", scores) for side in ("base", "int8")]
        records.append(judge_into(tmp_path / str(number) / "int8", [*sides, "--drop-points", 5]))
    note = "The base has changed: its acc was 0.8 and is 0.6."
    assert note in compare(*records).notes
    assert [weakening.change for weakening in compare(*records).unaccepted] == [
        "the base has changed: its acc was 0.8 and is 0.6"
    ]
    assert compare(*reversed(records)).weaker == []
    baselines = tmp_path / "baselines"
    first, second = (
        StoredRecord(record.file, record.record.model_copy(update={"suite": records[0].record.suite}))
        for record in records
    )
    accept(first, baselines, "v1", reason=None, at="2026-01-01")
    with pytest.raises(DataError, match=r"the base has changed: its acc was 0\.8 and is 0\.6"):
        accept(second, baselines, "v2", reason=None, at="2026-01-02")
    accept(second, baselines, "v2", reason="a new base", at="2026-01-02")
    [accepted] = [
        entry for entry in read_suite_baselines(baselines, first.record.suite.path) if entry.name == "v2"
    ]
    assert not compare(first, accepted).unaccepted
    better = StoredRecord(records[0].file, first.record)
    accept(better, baselines, "v3", reason=None, at="2026-01-03")


def test_only_a_worse_base_weakens_the_gate_of_a_slice(tmp_path: Path) -> None:
    records = []
    for number, share in enumerate((5, 3)):
        lines = ["id,metric,score,lang"]
        lines += [f"{at},acc,{int(at % share > 0)},{'en' if at % 4 < 2 else 'de'}" for at in range(N)]
        files = tmp_path / f"logs{number}"
        files.mkdir()
        for side in ("base", "int8"):
            (files / f"{side}.csv").write_text("\n".join(lines))
        options = ["--drop-points", 20, "--slice", "lang", "--slice-points", 20, "--pooled-points", 20]
        sides = [files / "base.csv", files / "int8.csv"]
        records.append(judge_into(tmp_path / str(number) / "int8", [*sides, *options]))
    worse = {weakening.change.split(" was ")[0] for weakening in compare(*records).weaker}
    names = ("acc", "acc[lang=de]", "acc[lang=en]", "pooled")
    assert worse == {f"the base has changed: its {name}" for name in names}
    assert compare(*reversed(records)).weaker == []


def test_a_comparison_without_a_budget_demands_nothing(tmp_path: Path) -> None:
    scores = [float(at % 5 > 0) for at in range(N)]
    sides = [write_scores(tmp_path / f"{side}.csv", "acc", scores) for side in ("base", "int8")]
    options = [*sides, "--higher-is-better", "acc"]
    demands = judge_into(tmp_path / "report" / "int8", options).record.demands
    assert demands is not None
    assert not [key for key in demands.settings if key.endswith(" acc")]


def test_a_comparison_without_a_budget_hides_no_other(tmp_path: Path) -> None:
    """`acc` comes first and has no budget; the range of `grade` gets narrower."""
    lines = ["id,score,metric", *(f"{at},{at % 2},acc" for at in range(N))]
    lines += [f"{at},{4 + at % 2},grade" for at in range(N)]
    sides = [tmp_path / f"{side}.csv" for side in ("base", "int8")]
    for path in sides:
        path.write_text("\n".join(lines), "utf-8")
    budgets = write_budgets(tmp_path / "budgets.toml", "grade = { drop_points = 10.0 }")
    directions = [part for name in ("acc", "grade") for part in ("--higher-is-better", name)]
    options = [*sides, *directions, "--budgets", budgets, "--range"]
    old, new = (
        judge_into(tmp_path / name / "int8", [*options, f"grade={ends}"])
        for name, ends in (("old", "0:10"), ("new", "3:5"))
    )
    [weakening] = compare(old, new).weaker
    assert weakening.change == "[logs] range of grade was [0.0, 10.0] and is [3.0, 5.0]"


def test_another_unit_of_answer_lengths_weakens_the_gate(tmp_path: Path) -> None:
    rows = [{"id": f"{at}", "metric": "acc", "score": 1.0, "answer": "word " * 20} for at in range(N)]
    sides = [tmp_path / f"{side}.jsonl" for side in ("base", "int8")]
    for path in sides:
        path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    budgets = write_budgets(tmp_path / "budgets.toml", "answer_length = { length_ratio_max = 1.5, cap = 9 }")
    old = judge_into(tmp_path / "report" / "int8", [*sides, "--budgets", budgets])
    assert old.record.task.params is not None
    comparisons = [
        {**comparison, "length_in": "completion tokens"} if "length_in" in comparison else comparison
        for comparison in old.record.task.params["comparisons"]
    ]
    params = {**old.record.task.params, "comparisons": comparisons}
    task = old.record.task.model_copy(update={"params": params})
    new = old._replace(record=old.record.model_copy(update={"task": task, "demands": None}))
    [weakening] = compare(old, new).weaker
    assert weakening.change == ('[logs] unit of answer_length was "characters" and is "completion tokens"')


@pytest.mark.parametrize(("lost", "fell"), [(2, []), (60, ["qa/acc[cat=a]"])], ids=["noise", "a loss"])
def test_a_slice_of_logs_is_worse_by_its_intervals_alone(tmp_path: Path, lost: int, fell: list[str]) -> None:
    """A slice has few samples, and the record has no answers of its own for it."""
    lines = [{"id": str(k), "task": "qa", "metric": "acc", "cat": "ab"[k % 2]} for k in range(400)]
    records = []
    for name, wrong in (("old", range(0)), ("new", range(0, 2 * lost, 2))):
        for side, missed in (("base", range(0)), ("target", wrong)):
            rows = [{**line, "score": float(k not in missed)} for k, line in enumerate(lines)]
            (tmp_path / f"{side}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        report = tmp_path / name
        files = [str(tmp_path / "base.jsonl"), str(tmp_path / "target.jsonl")]
        assert main(["judge", *files, "--drop-points", "20", "--slice", "cat", "--report", str(report)]) == 0
        records.append(read_record_file(report))
    comparison = compare(*records)
    slices = {change.metric: change for change in comparison.variants[0].metrics if change.of_log_slice}
    assert slices["qa/acc[cat=a]"].drop_points == pytest.approx(lost / 2)
    assert [metric.metric for _, metric in comparison.fell if metric.of_log_slice] == fell
    words = r"\*\*worse\*\*" if fell else "no change shown"
    assert re.search(rf"qa/acc\\\[cat=a\\\] .* {words}", format_release_comparison(comparison))
