"""How answers in logs behave: their length, cut off, empty, refused, and budgets on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slimgate.errors import SuiteError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.facts import make_quality_facts
from slimgate.judge.quality import judge_quality
from slimgate.judge.score_metric import make_score_metric, make_score_outcomes
from slimgate.logs.answer_columns import read_answer_checks
from slimgate.logs.base_log import read_base_log, write_base_log
from slimgate.logs.budgets import LogBudgets, parse_budget_tables
from slimgate.logs.comparisons import Comparison
from slimgate.logs.rules import Rules
from slimgate.logs.verdicts import judge_logs
from slimgate.outcomes import Floats
from slimgate.plugins.reader import Log, Row, TaskLog
from slimgate.record.budgets import judge_under_limit, list_judged_budgets
from slimgate.record.run import VariantRecord
from slimgate.results.base import BudgetFacts, Verdict

RULES = Rules(checks=read_answer_checks())
WORDS = "word " * 20


def make_log(name: str, rows: Sequence[Row], *, most_tokens: int | None = None, written: bool = True) -> Log:
    def read() -> Iterator[Row]:
        yield from rows

    return Log("simulated", name, {"task": TaskLog(read, most_tokens=most_tokens, written=written)})


def make_rows(answers: Sequence[str], **columns: Any) -> list[Row]:
    return [
        Row(str(at), {"acc": 1.0}, answer=answer, **{name: values[at] for name, values in columns.items()})
        for at, answer in enumerate(answers)
    ]


def judge(
    base: Log, target: Log, budgets: dict[str, Any] | None = None, rules: Rules = RULES
) -> dict[str, Comparison]:
    stated = LogBudgets() if budgets is None else parse_budget_tables({"budgets": budgets}, "b.toml")
    verdicts = judge_logs(base, target, stated, rules)
    return {part.metric: part for part in verdicts.comparisons}


def test_completion_tokens_come_before_characters() -> None:
    rows = (
        make_rows([WORDS] * 60, answer_tokens=[10] * 60),
        make_rows([WORDS * 2] * 60, answer_tokens=[12] * 60),
    )
    length = judge(make_log("a", rows[0]), make_log("b", rows[1]))["answer_length"]
    assert (length.judged.teacher, length.judged.value, length.length_in) == (10, 12, "completion tokens")
    assert length.judged.drop_points == pytest.approx(20.0)
    assert length.judged.unit == "percent"


def test_a_log_without_tokens_has_characters_on_both_sides() -> None:
    rows = make_rows([WORDS] * 60, answer_tokens=[10] * 60), make_rows([WORDS * 2] * 60)
    verdicts = judge_logs(make_log("a", rows[0]), make_log("b", rows[1]), LogBudgets(), RULES)
    length = next(part for part in verdicts.comparisons if part.metric == "answer_length")
    assert (length.judged.teacher, length.judged.value, length.length_in) == (100, 200, "characters")
    assert "task: answer_length counts characters" in verdicts.notes


def test_a_tool_that_counts_nothing_writes_0_which_is_no_length() -> None:
    rows = make_rows([WORDS] * 60, answer_tokens=[0] * 60)
    assert judge(make_log("a", rows), make_log("b", rows))["answer_length"].length_in == "characters"


def test_a_tokenizer_counts_what_the_log_does_not(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers comes with the extra models")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"word": 0, "?": 1}, unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    rules = Rules(checks=read_answer_checks(tmp_path))
    rows = make_rows([WORDS] * 60)
    length = judge(make_log("a", rows), make_log("b", rows), rules=rules)["answer_length"]
    assert (length.judged.teacher, length.length_in) == (20, f"tokens of {tmp_path.as_posix()}")
    for wrong, message in ((tmp_path / "none", "no such file"), (tmp_path / "bad.json", "bad.json")):
        (tmp_path / "bad.json").write_text("{}")
        with pytest.raises(SuiteError, match=message):
            read_answer_checks(wrong)


def test_cut_off_empty_and_refused_are_shares_judged_as_metrics() -> None:
    answers = (
        ["fine"] * 90
        + [" \n", "", "\u200b", "\ufeff\n", "\u00ad", "\x00"]
        + ["I\u2019m sorry, but I can\u2019t help with that."] * 4
    )
    cut = [False] * 80 + [True] * 20
    base = make_log("a", make_rows(["fine"] * 100, truncated=[False] * 100))
    judged = judge(base, make_log("b", make_rows(answers, truncated=cut)), {"refused": {"drop_points": 20.0}})
    shares = {name: part.judged.value for name, part in judged.items()}
    assert shares["empty"] == 0.06
    assert shares["refused"] == 0.04
    assert shares["truncated"] == 0.2
    assert judged["refused"].judged.verdict is Verdict.PASS
    assert not judged["empty"].budgets


def test_a_pattern_for_all_metrics_skips_what_slimgate_counts() -> None:
    rows = make_rows([WORDS] * 60)
    judged = judge(make_log("a", rows), make_log("b", rows), {"*": {"drop_points": 6.0}})
    assert [name for name, part in judged.items() if part.budgets] == ["acc"]


@pytest.mark.parametrize(
    ("metric", "rows", "message"),
    [
        ("truncated", make_rows(["x"] * 60), "the logs do not say why answers ended"),
        ("answer_length", [Row(str(at), {"acc": 1.0}) for at in range(60)], "contain neither the answers"),
    ],
)
def test_a_budget_on_what_logs_do_not_say_is_an_error(metric: str, rows: list[Row], message: str) -> None:
    kind = "length_ratio_max" if metric == "answer_length" else "drop_points"
    with pytest.raises(SuiteError, match=message):
        judge(make_log("a", rows), make_log("b", rows), {metric: {kind: 1.5}}, Rules())


def test_choices_have_no_length() -> None:
    rows = make_rows(["A"] * 60)
    assert set(judge(make_log("a", rows, written=False), make_log("b", rows, written=False))) == {"acc"}


def draw_lengths(ratio: float, n: int = 400, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    base = np.round(np.clip(150 * np.exp(rng.normal(0, 0.6, n)), 1, 1000))
    return base, np.round(np.clip(base * ratio * np.exp(rng.normal(0, 0.2, n)), 1, 1000))


def make_token_logs(base: Floats, target: Floats, most_tokens: int | None) -> tuple[Log, Log]:
    before, after = (
        make_log(name, make_rows(["x"] * len(values), answer_tokens=values.tolist()), most_tokens=most_tokens)
        for name, values in (("a", base), ("b", target))
    )
    return before, after


@pytest.mark.parametrize(
    ("ratio", "kind", "limit", "verdict"),
    [
        (1.0, "length_ratio_max", 1.2, "PASS"),
        (1.5, "length_ratio_max", 1.2, "FAIL"),
        (1.2, "length_ratio_max", 1.22, "INCONCLUSIVE"),
        (1.0, "length_ratio_min", 0.8, "PASS"),
        (0.6, "length_ratio_min", 0.8, "FAIL"),
        (0.8, "length_ratio_min", 0.8, "INCONCLUSIVE"),
    ],
)
def test_a_limit_of_the_ratio_has_three_verdicts(ratio: float, kind: str, limit: float, verdict: str) -> None:
    base, target = draw_lengths(ratio)
    judged = judge(*make_token_logs(base, target, 1000), {"answer_length": {kind: limit}}, Rules())
    budget = judged["answer_length"].judged.budgets[0]
    assert budget.verdict == verdict
    assert budget.value == pytest.approx(target.mean() / base.mean())


@pytest.mark.parametrize(
    ("kind", "passing"), [("length_ratio_max", 1), ("length_ratio_min", 0)], ids=["longer", "shorter"]
)
def test_a_ratio_is_undecided_exactly_inside_its_interval(kind: str, passing: int) -> None:
    base, target = draw_lengths(1.2, n=1000)
    logs = make_token_logs(base, target, 1000)

    def judge_limit(limit: float) -> BudgetFacts:
        return judge(*logs, {"answer_length": {kind: limit}}, Rules())["answer_length"].judged.budgets[0]

    interval = judge_limit(1.2).interval
    assert interval is not None
    assert interval[0] < target.mean() / base.mean() < interval[1]
    for end, outward in enumerate((-1, 1)):
        decided = Verdict.PASS if end == passing else Verdict.FAIL
        assert judge_limit(interval[end] - 0.001 * outward).verdict is Verdict.INCONCLUSIVE
        assert judge_limit(interval[end] + 0.001 * outward).verdict is decided


def test_without_a_limit_of_tokens_nothing_passes_before_a_cap() -> None:
    base, target = draw_lengths(1.0, n=1000)
    for table, expected in (
        ({"length_ratio_max": 1.5}, Verdict.INCONCLUSIVE),
        ({"length_ratio_max": 1.5, "cap": 400.0}, Verdict.PASS),
    ):
        judged = judge(*make_token_logs(base, target, None), {"answer_length": table}, Rules())[
            "answer_length"
        ].judged
        assert judged.verdict is expected
    # a log that has a longer answer than its limit is of an unknown limit
    longer = target.copy()
    longer[0] = 2000
    judged = judge(
        *make_token_logs(base, longer, 1000), {"answer_length": {"length_ratio_max": 1.5}}, Rules()
    )
    assert judged["answer_length"].judged.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("ratio", [0.9, 1.0, 1.06])
def test_the_ratios_interval_is_near_scipys_and_no_narrower(ratio: float) -> None:
    from scipy.stats import bootstrap

    base, target = draw_lengths(ratio, n=2000, seed=3)
    judged = judge(*make_token_logs(base, target, 1000))["answer_length"].judged
    assert judged.interval is not None
    independent = bootstrap(
        (base, target),
        lambda before, after, axis: after.mean(axis=axis) / before.mean(axis=axis),
        paired=True,
        vectorized=True,
        confidence_level=0.9,
        n_resamples=4999,
        method="BCa",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    low, high = (1 + end / 100 for end in judged.interval)
    width = independent.high - independent.low
    # Gaffke's bound also covers answers at the limit that the sample does not have
    assert independent.low - 0.6 * width <= low <= independent.low + 0.02 * width
    assert independent.high - 0.02 * width <= high <= independent.high + 0.6 * width


@pytest.mark.parametrize("kind", ["length_ratio_max", "length_ratio_min"])
@pytest.mark.parametrize("ratio", [0.8, 1.0, 1.3])
def test_another_limit_is_read_off_the_interval_of_the_ratio(kind: str, ratio: float) -> None:
    logs = make_token_logs(*draw_lengths(ratio, n=2000, seed=3), 1000)
    for limit in (0.7, 0.8, 1.0, 1.1, 1.3, 1.5):
        table = {"answer_length": {kind: limit}}
        judged = judge(*logs, table, Rules())["answer_length"].judged
        facts = make_quality_facts(judged, "line", measured="now")
        variant = VariantRecord(name="int8", parent="teacher", quality={"answer_length": facts})
        (recorded,) = list_judged_budgets(variant)
        table = {"answer_length": {kind: 1.001 * limit}}
        near = judge(*logs, table, Rules())["answer_length"].judged
        assert judge_under_limit(kind, limit, recorded) is judged.verdict
        if near.verdict is judged.verdict:
            assert judge_under_limit(kind, 1.001 * limit, recorded) is near.verdict


def test_rare_answers_at_the_limit_do_not_pass_by_chance() -> None:
    """0.5 % of 200 answers may run into a limit of 4,000 tokens without one in the sample: + 13 %."""
    metric = make_score_metric(
        "answer_length", higher_is_better=False, zero_one=False, score_range=(0.0, 4000.0)
    )
    base, _ = draw_lengths(1.0, n=200)
    ids = np.arange(200).astype(np.str_)
    sides = [make_score_outcomes(ids, base, None, right=False)] * 2
    assert (
        judge_quality(metric, *sides, [QualityBudget("length_ratio_max", 1.1)]).verdict
        is Verdict.INCONCLUSIVE
    )
    assert judge_quality(metric, *sides, [QualityBudget("length_ratio_max", 1.6)]).verdict is Verdict.PASS


def test_a_base_of_empty_answers_is_an_error_in_one_line() -> None:
    from slimgate.errors import SlimgateError

    rows = make_rows([""] * 60), make_rows(["x"] * 60)
    with pytest.raises(SlimgateError, match="all answers of the teacher are empty"):
        judge(make_log("a", rows[0]), make_log("b", rows[1]), {"answer_length": {"length_ratio_max": 2.0}})


def test_a_kept_base_has_the_lengths_of_whole_answers(tmp_path: Path) -> None:
    base, target = make_log("a", make_rows([WORDS * 9] * 60)), make_log("b", make_rows([WORDS * 9] * 60))
    write_base_log(base, tmp_path / "base.parquet")
    comparisons = judge(read_base_log(tmp_path / "base.parquet", "kept"), target)
    assert comparisons["answer_length"].judged.teacher == 900
    assert comparisons["answer_length"].judged.drop_points == 0


def rate_politeness(answer: str, _reference: str | None) -> float:
    return float("please" in answer)


rate_politeness.higher_is_better = False  # type: ignore[attr-defined]


def test_refusals_are_by_patterns_of_a_file_or_a_users_function(tmp_path: Path) -> None:
    file = tmp_path / "refusals.txt"
    file.write_text("\ufeffno comment\n  # ours: please\n", "utf-8")
    rows = make_rows(["No comment."] * 30 + ["please ask"] * 30)
    for refusals, share in ((str(file), 0.5), (f"{__name__}:rate_politeness", 0.5), (None, 0.0)):
        rules = Rules(checks=read_answer_checks(refusals=refusals))
        assert judge(make_log("a", rows), make_log("b", rows), rules=rules)["refused"].judged.value == share
    file.write_text("(\n")
    with pytest.raises(SuiteError, match="is not a regular expression"):
        read_answer_checks(refusals=str(file))
    with pytest.raises(SuiteError, match="expected a file with a regular expression"):
        read_answer_checks(refusals=str(tmp_path / "none.txt"))


def test_the_length_of_a_slice_has_a_budget_too() -> None:
    base, target = draw_lengths(1.0, n=2000)
    longer = np.where(np.arange(2000) % 2, target, np.minimum(target * 2, 1000))
    sides = [
        make_log(
            name,
            [
                Row(str(at), {"acc": 1.0}, answer_tokens=tokens, fields={"half": f"h{at % 2}"})
                for at, tokens in enumerate(values.tolist())
            ],
            most_tokens=1000,
        )
        for name, values in (("a", base), ("b", longer))
    ]
    budgets = parse_budget_tables(
        {"budgets": {"slices": {"half": {"*": {"answer_length": {"length_ratio_max": 1.3}}}}}}, "b.toml"
    )
    verdicts = judge_logs(*sides, budgets, Rules())
    assert {part.name: part.judged.verdict for part in verdicts.slices if part.budgets} == {
        "task/answer_length[half=h0]": Verdict.FAIL,
        "task/answer_length[half=h1]": Verdict.PASS,
    }
    assert all(
        part.score_range == (0.0, 1000.0) for part in verdicts.slices if part.metric == "answer_length"
    )
    assert inf not in (end for part in verdicts.slices for end in part.score_range or ())
