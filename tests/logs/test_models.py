"""A file with answers of several models: one is chosen of each side; prompts are matched by their texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slimgate import assert_within
from slimgate.cli.main import main
from slimgate.errors import DataError
from slimgate.logs.budgets import LogBudgets
from slimgate.logs.find import read_log
from slimgate.logs.models import parse_models
from slimgate.logs.rules import Rules
from slimgate.logs.verdicts import LogVerdicts, judge_logs
from slimgate.plugins.reader import Log

PROMPTS = ("Say {{x}}", "Count {{x}}")


def make_result(
    test: int, prompt: int, column: int, provider: str, passed: bool, **more: Any
) -> dict[str, Any]:
    """A row of promptfoo. column: promptIdx, which counts the pairs of provider and prompt."""
    return {
        "testIdx": test,
        "promptIdx": column,
        "provider": {"id": f"openai:{provider}", "label": provider},
        "prompt": {"raw": f"{PROMPTS[prompt]} of {test}", "label": str(prompt)},
        "vars": {"x": str(test)},
        "success": passed,
        "score": float(passed),
        "failureReason": 0 if passed else 1,
        "response": {"output": f"answer {test}"},
        **more,
    }


def write_promptfoo(path: Path, results: list[dict[str, Any]], columns: int = 4) -> Path:
    prompts = [{"raw": PROMPTS[at % 2], "label": str(at % 2)} for at in range(columns)]
    table = {"version": 3, "prompts": prompts, "results": results}
    path.write_text(json.dumps({"evalId": "eval-1", "results": table, "config": {}}), "utf-8")
    return path


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """Two models on 4 tests under 2 prompts; large passes all, small fails the second prompt of test 3."""
    results = [
        make_result(test, prompt, 2 * number + prompt, model, (model, test, prompt) != ("small", 3, 1))
        for test in range(4)
        for number, model in enumerate(("small", "large"))
        for prompt in range(2)
    ]
    return write_promptfoo(tmp_path / "both.json", results)


def judge(base: Log, target: Log, /, **models: str) -> LogVerdicts:
    return judge_logs(base, target, LogBudgets(), Rules(models=models))


def test_two_models_of_one_file_are_judged(log_file: Path) -> None:
    log = read_log(log_file)
    verdicts = judge(log, read_log(log_file), base="large", target="small")
    figures = {row.metric: (row.counts.judged, row.worse, row.better) for row in verdicts.comparisons}
    assert figures == {"pass": (8, 1, 0), "score": (8, 1, 0)}
    assert (verdicts.base.model, verdicts.target.model) == ("large", "small")
    assert [row.id for row in verdicts.base.tasks[""].rows()][:4] == ["0", "0.1", "1", "1.1"]


def test_one_prompt_of_a_model_is_judged(log_file: Path) -> None:
    log = read_log(log_file)
    for prompt, worse in (("0", 0), ("1", 1)):
        verdicts = judge(log, log, base=f"large, {prompt}", target=f"small, {prompt}")
        assert {(row.counts.judged, row.worse) for row in verdicts.comparisons} == {(4, worse)}
        assert [row.id for row in verdicts.base.tasks[""].rows()] == ["0", "1", "2", "3"]


def write_two_prompts(path: Path) -> Path:
    """One model under two prompts; it fails tests 0 and 1 under the second."""
    rows = [
        make_result(test, prompt, prompt, "m", not (prompt and test < 2))
        for test in range(6)
        for prompt in (0, 1)
    ]
    return write_promptfoo(path, rows, columns=2)


def test_two_prompts_of_one_model_are_judged(tmp_path: Path) -> None:
    log = read_log(write_two_prompts(tmp_path / "prompts.json"))
    rules = Rules(models={"base": "0", "target": "1"}, allow=frozenset({"prompt"}))
    verdicts = judge_logs(log, log, LogBudgets(), rules)
    figures = {row.metric: (row.counts.judged, row.worse, row.better) for row in verdicts.comparisons}
    assert figures == {"pass": (6, 2, 0), "score": (6, 2, 0)}
    with pytest.raises(DataError, match="prompts differ in 6 of 6 samples"):
        judge(log, log, base="0", target="1")


def test_two_files_of_two_prompts_are_judged_whole(tmp_path: Path) -> None:
    log, other = (read_log(write_two_prompts(tmp_path / name)) for name in ("a.json", "b.json"))
    assert {row.counts.judged for row in judge(log, other).comparisons} == {12}
    assert {row.counts.judged for row in judge(log, other, **{"": "1"}).comparisons} == {6}


def test_the_choices_among_prompts_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_two_prompts(tmp_path / "prompts.json")
    assert main(["judge", str(file), str(file)]) == 4
    expected = (
        'prompts.json has answers under 2 prompts (0, 1): choose by --model base="0" --model target="1"'
    )
    assert expected in capsys.readouterr().err
    assert main(["judge", str(file), "--model", "base=0", "--model", "target=2"]) == 4
    assert "--model target=2: no such model" in (error := capsys.readouterr().err)
    assert "it has 0, 1, m" in error


def test_a_prompt_without_a_short_label_has_a_number(tmp_path: Path) -> None:
    rows = [make_result(0, prompt, prompt, "m", True) for prompt in (0, 1)]
    rows[0]["prompt"]["label"] = "Answer the question in one word.\nQuestion: {{x}}"
    rows[1]["prompt"]["label"] = "short"
    log = read_log(write_promptfoo(tmp_path / "prompts.json", rows, columns=2))
    assert list(log.prompts) == ["prompt 1", "short"]


def test_a_file_of_one_model_is_matched_by_its_prompts_texts(log_file: Path, tmp_path: Path) -> None:
    # split by a program: the columns are still those of both models
    rows = json.loads(log_file.read_text("utf-8"))["results"]["results"]
    small = write_promptfoo(tmp_path / "small.json", [row for row in rows if row["promptIdx"] < 2])
    large = write_promptfoo(tmp_path / "large.json", [row for row in rows if row["promptIdx"] >= 2])
    assert read_log(large).model == "large"
    assert {row.counts.judged for row in judge(read_log(large), read_log(small)).comparisons} == {8}
    assert {row.worse for row in judge(read_log(log_file), read_log(small), base="large").comparisons} == {1}


def test_a_model_that_is_not_chosen_is_asked_for(log_file: Path) -> None:
    log = read_log(log_file)
    with pytest.raises(DataError) as error:
        judge(log, log, base="large")
    assert str(error.value) == (
        f"{log_file} has answers of 2 models (large, small), each under 2 prompts (0, 1; "
        '"large, 0" is one prompt of a model): choose by --model target="small"'
    )
    with pytest.raises(DataError, match=r"both\.json: base and target are both large; choose two models by"):
        judge(log, log, **{"": "large"})


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        (
            {"base": "larg", "target": "small"},
            "--model base=larg: no such model in .*large, small.*Did you mean",
        ),
        ({"": "medium"}, "--model medium: no such model in .*; it has large, small$"),
    ],
)
def test_a_choice_that_fits_no_model_is_refused(
    log_file: Path, choices: dict[str, str], expected: str
) -> None:
    with pytest.raises(DataError, match=expected):
        judge(read_log(log_file), read_log(log_file), **choices)


def test_a_choice_of_a_log_of_one_model_must_be_it(log_file: Path, tmp_path: Path) -> None:
    single = write_promptfoo(tmp_path / "one.json", [make_result(0, 0, 0, "small", True)], columns=1)
    with pytest.raises(DataError, match=r"--model target=large: .*one\.json is a log of small"):
        judge(read_log(log_file), read_log(single), base="large", target="large")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["base=x", "base=y"], "--model base=y: base was given twice, expected it once"),
        ([" "], "--model  : expected the name of a model"),
    ],
)
def test_wrong_choices_are_refused(texts: list[str], expected: str) -> None:
    with pytest.raises(DataError) as error:
        parse_models(texts)
    assert str(error.value) == expected


def test_names_of_models_may_have_an_equals_sign() -> None:
    assert parse_models(["m=1", "base=m=2"]) == {"": "m=1", "base": "m=2"}
    assert parse_models(None) == {}


def test_the_command_takes_one_file(log_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model", "base=large", "--model", "target=small", "--metric", "pass"]
    assert main(["judge", str(log_file), *options]) == 0
    assert "small against large, read as logs of promptfoo" in capsys.readouterr().out
    assert main(["judge", str(log_file), str(log_file)]) == 4
    assert capsys.readouterr().err.count("large, small") == 1
    assert main(["judge", str(log_file), str(log_file)]) == 4
    assert 'choose by --model base="large" --model target="small"' in capsys.readouterr().err
    assert (
        main(["judge", str(log_file), str(log_file.parent / ".." / log_file.parent.name / log_file.name)])
        == 4
    )
    assert 'choose by --model base="large" --model target="small"' in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::UserWarning")  # the notes of `slimgate judge`
def test_a_test_takes_the_choice(log_file: Path) -> None:
    with pytest.raises(AssertionError, match=r"pass 0\.875 vs 1\.000"):
        assert_within(log_file, log_file, metric="pass", model={"base": "large", "target": "small"})
    with pytest.raises(DataError, match=r'choose by model = { "base": "large", "target": "small" }'):
        assert_within(log_file, log_file, metric="pass")


def test_a_suite_takes_the_choice(log_file: Path) -> None:
    from slimgate.logs.suite import read_log_suite

    table = {"base": "both.json", "targets": {"small": "both.json"}, "model": {"base": "large"}}
    data = {"logs": table, "budgets": {"pass": {"drop_points": 2.0}}}
    assert read_log_suite(data, log_file.with_name("suite.toml"), "suite.toml").rules.models == {
        "base": "large"
    }


def test_a_file_in_which_every_row_failed_quotes_the_error(tmp_path: Path) -> None:
    def failed(name: str, **more: Any) -> Path:
        rows = [make_result(test, 0, 0, name, False, **more) for test in range(3)]
        return write_promptfoo(tmp_path / f"{name}.json", rows, columns=1)

    limited = failed("a", failureReason=2, error="API error: 429 Too Many\nRequests", response={})
    # an older version: no reason, and the error in the response
    older = failed("b", failureReason=None, response={"error": "404: no model b"})
    with pytest.raises(DataError) as error:
        judge(read_log(limited), read_log(older))
    assert str(error.value) == (
        f"{limited} and {older} are not comparable: all 3 samples of {limited} failed, first error "
        f'"API error: 429 Too Many Requests"; all 3 samples of {older} failed, first error "404: no model b"'
    )


def test_fewer_results_than_promptfoo_counts_are_refused(log_file: Path, tmp_path: Path) -> None:
    written = json.loads(log_file.read_text("utf-8"))
    table = written["results"]
    for at, prompt in enumerate(table["prompts"]):
        counts = {"testPassCount": 3, "testFailCount": 1, "testErrorCount": 0}
        prompt |= {"provider": ("small", "large")[at // 2], "metrics": counts}
    log_file.write_text(json.dumps(written), "utf-8")
    assert judge(read_log(log_file), read_log(log_file), base="large", target="small").notes
    table["results"] = [row for row in table["results"] if row["testIdx"] < 2]
    half = tmp_path / "half.json"
    half.write_text(json.dumps(written), "utf-8")
    with pytest.raises(DataError, match=r"half.json says that 8 samples ran, but has 4"):
        judge(read_log(half), read_log(half), base="large", target="small")


@pytest.mark.parametrize(
    ("kind", "better"), [("contains", True), ("not-contains", True), ("javascript", False)]
)
def test_assertions_that_pass_or_fail_are_better_when_higher(tmp_path: Path, kind: str, better: bool) -> None:
    """Of code, a metric with the name of an error is better when lower, as elsewhere."""
    test_case = {"assert": [{"type": kind, "metric": "error_rate"}]}
    results = [
        make_result(
            test,
            0,
            2 * number,
            model,
            True,
            namedScores={"error_rate": float(model == "large" or test > 20)},
            testCase=test_case,
        )
        for test in range(60)
        for number, model in enumerate(("small", "large"))
    ]
    log = read_log(write_promptfoo(tmp_path / "both.json", results))
    verdicts = judge(log, log, base="large", target="small")
    (errors,) = [row for row in verdicts.comparisons if row.metric == "error_rate"]
    assert (errors.worse if better else errors.better, errors.higher_is_better) == (21, better)


def test_two_providers_with_one_name_are_refused(log_file: Path) -> None:
    written = json.loads(log_file.read_text("utf-8"))
    for prompt in written["results"]["prompts"]:
        prompt["provider"] = "openai:chat"
    log_file.write_text(json.dumps(written), "utf-8")
    with pytest.raises(DataError, match="two providers are called openai:chat; give each a label"):
        read_log(log_file)


def test_the_models_of_one_file_are_named(log_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["judge", str(log_file), "--model", "base=large", "--model", "target=small", "--drop-points", "50"])
    out = capsys.readouterr().out
    assert f"note: base: large of {log_file}; target: small of {log_file}" in out


def test_a_prompt_of_messages_is_compared_as_text(tmp_path: Path) -> None:
    rows = [make_result(test, 0, 0, "small", True) for test in range(2)]
    for row in rows:
        row["prompt"]["raw"] = {"role": "user", "content": "2 + 3"}
    file = write_promptfoo(tmp_path / "both.json", rows, columns=1)
    content = json.loads(file.read_text("utf-8"))
    content["results"]["prompts"] = [{"raw": rows[0]["prompt"]["raw"], "label": ["a"], "provider": "small"}]
    file.write_text(json.dumps(content), "utf-8")
    [row, _] = read_log(file).tasks[""].rows()
    assert row.prompt == row.keys["prompt"] == '{"content": "2 + 3", "role": "user"}'


def test_the_chosen_model_is_the_name_of_the_target(
    log_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not the name of the file, which holds the base too; also in the budgets of one target."""
    budgets = tmp_path / "budgets.toml"
    budgets.write_text(
        "[budgets]\npass = { drop_points = 1.0 }\n[budgets.variants.small]\npass = { floor = 0.9 }\n"
    )
    choice = ("--model", "base=large", "--model", "target=small")
    assert main(["judge", str(log_file), *choice, "--budgets", str(budgets)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("small against large, read as logs of promptfoo")
    assert "small: pass 0.875" in out
