"""Scores of answers: known answers, options, and what is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import slimgate.judge.scores
from slimgate.errors import MeasureError, MissingExtra, SuiteError
from slimgate.judge.metrics import load_metric
from slimgate.judge.scores import list_score_names, load_score

CITY = {"type": "string"}
SCHEMA = {"type": "object", "required": ("city",), "properties": {"city": {"type": "string"}}}
CONSENT: dict[str, Any] = {"run_model_code": True}


def rate(name: str, answer: str, reference: str | None, **options: Any) -> float:
    return load_score(name, options).rate(answer, reference)


@pytest.mark.parametrize(
    ("name", "answer", "reference", "expected"),
    [
        ("exact_match", " Paris\n", "Paris", 1),
        ("exact_match", "paris", "Paris", 0),
        ("exact_match", "", "Paris", 0),
        ("normalized_match", "The  Eiffel-Tower!", "eiffeltower", 1),
        ("normalized_match", "an apple", "apple", 1),
        ("normalized_match", "theatre", "atre", 0),
        ("normalized_match", "", "A", 0),  # a letter of a choice is no article
        ("normalized_match", "The", "A", 0),
        ("normalized_match", "a.", "A", 1),
        ("normalized_match", "-", "+", 0),
        ("normalized_match", " + ", "+", 1),
        ("normalized_match", "The .", "", 1),
        ("numeric", "so it is 1,234.0 in all", "#### 1234", 1),
        ("numeric", "3 + 4 = 7", "7", 1),
        ("numeric", "5-3", "3", 1),  # a minus between numbers is no sign
        ("numeric", "it is -3.", "-3", 1),
        ("numeric", "it is \N{MINUS SIGN}3.", "3", 0),
        ("numeric", "it is \N{MINUS SIGN}3.", "-3", 1),
        ("numeric", "5\N{MINUS SIGN}3", "3", 1),
        ("numeric", "a loss of -$1,200", "1200", 0),
        ("numeric", "a loss of -$1,200", "-1200", 1),
        ("numeric", "$.50", "0.5", 1),
        ("numeric", "2e3", "2000", 1),
        ("numeric", "x3", "3", 0),  # a name
        ("numeric", "none", "7", 0),
        ("choice_letter", "B", "B", 1),
        ("choice_letter", "(b) Paris", "B", 1),
        ("choice_letter", "A good question. The answer is **C**.", "C", 1),
        ("choice_letter", "I think that D", "D", 1),
        ("choice_letter", "Answer: **(C)**. Option B is wrong.", "C", 1),
        ("choice_letter", "Option B is wrong. The answer is C.", "C", 1),
        ("choice_letter", "Compare B and D. **Answer:** C", "C", 1),
        ("choice_letter", "I choose option **(D)**", "D", 1),
        ("choice_letter", "I choose option B because the answer A is wrong", "B", 1),
        ("choice_letter", "Choice: D. The answer (E) is wrong", "D", 1),
        ("choice_letter", "Paris", "P", 0),
        ("json_valid", '{"city": "Paris"}', None, 1),
        ("json_valid", '```json\n{"city": "Paris"}\n```', None, 0),
        ("json_valid", "[" * 100_000, None, 0),
        ("json_valid", '{"price": NaN}', None, 0),  # json.loads accepts it
        ("json_valid", "[-Infinity]", None, 0),
        ("maths", r"$\frac{1}{2}$", "$0.5$", 1),
        ("maths", "the result is $x+1$", "$1+x$", 1),
        ("maths", "no formula", "$0.5$", 0),
        ("maths", "So it is $6-5i$.", "6 - 5i", 1),  # without marks, math-verify reads 5
        ("maths", "5", "6 - 5i", 0),
        ("maths", r"\boxed{3\sqrt{13}}", r"3\sqrt{13}", 1),
        ("maths", "$3$", r"3\sqrt{13}", 0),
        ("maths", r"$(3, \pi/2)$", r"\left( 3, \frac{\pi}{2} \right)", 1),
        ("maths", r"\boxed{\text{Evelyn}}", r"\text{Evelyn}", 1),
        ("maths", r"$\$18.90$", r"\$18.90", 1),
        ("maths", r"\boxed{-2, 1}", "-2,1", 1),
        ("maths", "$-2.1$", "-2,1", 0),
        ("maths", "1,000", "$1000$", 1),
    ],
)
def test_known_answers(name: str, answer: str, reference: str | None, expected: int) -> None:
    assert rate(name, answer, reference) == expected


def test_numeric_has_a_tolerance() -> None:
    assert rate("numeric", "3.14", "3.14159", tolerance=0.01) == 1
    assert rate("numeric", "3.14", "3.14159", tolerance=0.001) == 0


def test_regex_compares_the_last_match_or_its_group() -> None:
    assert rate("regex", "x=1, then x=22", "22", pattern=r"x=(\d+)") == 1
    assert rate("regex", "x=1, then x=22", "x=22", pattern=r"x=\d+") == 1
    assert rate("regex", "nothing", "22", pattern=r"x=(\d+)") == 0
    assert rate("regex", "x=1", None, pattern=r"x=\d") == 1


def test_json_must_fit_its_schema() -> None:
    assert rate("json_valid", '{"city": "Paris"}', None, json_schema=SCHEMA) == 1
    assert rate("json_valid", '{"town": "Paris"}', None, json_schema=SCHEMA) == 0


# a row as HumanEval has them
PROMPT = 'def double(x: int) -> int:\n    """Twice x."""\n'
CHECK = "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(0) == 0\ncheck(double)\n"


@pytest.mark.parametrize(
    ("answer", "tests", "expected"),
    [
        ("    return 2 * x", PROMPT + "{answer}\n" + CHECK, 1),
        ("    return x", PROMPT + "{answer}\n" + CHECK, 0),
        ("    return x + x\n\nprint({'a': 1})", PROMPT + "{answer}\n" + CHECK, 1),
        ("Here it is:\n```python\ndef double(x):\n    return 2 * x\n```\nIt doubles.", CHECK, 1),
        ("```\ndef double(x):\n    return 2 * x", CHECK, 1),  # cut before the end of the block
        ("def double(x): return 2 * x", CHECK, 1),
        ("def triple(x): return 3 * x", CHECK, 0),
        ("import sys; sys.exit(0)", CHECK, 0),
        ("It doubles.", CHECK, 0),
    ],
)
def test_code_passes_the_tests_of_its_row(answer: str, tests: str, expected: int) -> None:
    assert rate("passes_tests", answer, tests, **CONSENT) == expected


def test_code_runs_only_where_the_suite_says_so() -> None:
    with pytest.raises(ValueError, match=r"write \{ passes_tests = \{ run_model_code = true \} \}"):
        load_score("passes_tests", {})


def test_overlaps_are_those_of_the_packages_that_define_them() -> None:
    # by hand: 3 of 3 words found, of 4 words of the reference: F = 2 * 1 * 0.75 / 1.75
    assert rate("rouge", "the cat sat", "the cat sat down") == pytest.approx(6 / 7)
    assert rate("rouge", "the cat sat", "the cat sat down", variant="rouge2") == pytest.approx(0.8)
    import sacrebleu

    answer, reference = "the cat sat on the mat", "the cat sat on a mat"
    assert rate("chrf", answer, reference) == sacrebleu.sentence_chrf(answer, [reference]).score / 100
    assert rate("bleu", answer, reference) == pytest.approx(
        sacrebleu.sentence_bleu(answer, [reference]).score / 100
    )
    for name in ("rouge", "chrf", "bleu"):
        assert rate(name, answer, answer) == pytest.approx(1)
        assert rate(name, "", answer) == 0


def test_a_formula_that_would_take_for_ever_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimgate.judge.scores.maths._SECONDS", 0.5)
    assert rate("maths", "$9^{9^{9^9}}$", "$3$") == 0


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("maths", "$6 - 5i$"),
        ("maths", r"$\frac12$"),
        ("maths", r"It is \boxed{\text{Evelyn}}."),
        ("maths", "1,000"),
        ("maths", "-3/4"),
        ("maths", ".5"),
        ("maths", "12 %"),
        ("maths", "9 * 2 = 18\n#### 18"),
        ("maths", "It takes 2/2=<<2/2=1>>1 bolt of white fiber\nSo in total it takes 2+1 bolts\n#### 3"),
        ("maths", "-2,1"),
        ("maths", r"\angle BAC"),
        ("maths", "x^2+xyz"),
        ("maths", r"10 \text{ or } 12"),
        ("maths", "sqrt(2)"),
        ("maths", r"x \in [-2,7]"),
        ("maths", r"\begin{pmatrix} -18 \\ 96 \end{pmatrix}"),
        ("numeric", "9 * 2 = 18\n#### 18"),
        ("choice_letter", "(B) Paris"),
    ],
)
def test_a_reference_that_its_score_can_read(name: str, reference: str) -> None:
    """Then it is a right answer itself; a formula of an answer needs its marks."""
    score = load_score(name, {})
    score.check_reference(reference)
    answers = {reference, f"${reference}$"} if name == "maths" else {reference}
    assert max(score.rate(answer, reference) for answer in answers) == 1
    assert score.rate("(C) 987", reference) == 0


FUNCTION = "def f(x):\n    return x + 1"
METHOD = (
    "class Tests(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(1 + 1, 2)\n"
    "    runTest = test_sum"
)


@pytest.mark.parametrize(
    ("reference", "right"),
    [
        ("assert f(1) == 2", FUNCTION),
        ("def check(f):\n    assert f(1) == 2\n\ncheck(f)", FUNCTION),
        ('def f(x):\n    """Adds 1."""\n{answer}\n\nassert f(1) == 2', "    return x + 1"),
        ("import unittest\n\n{answer}\n\nTests().test_sum()", METHOD),
        ("METADATA = dict(author='a')\ndef check(f): assert f(1) == 2\ncheck(f)", FUNCTION),
        ("for value in (1, 2):\n    assert f(value) == value + 1", FUNCTION),
        ("x = ({answer})\nassert x == 2", "1 + 1"),
    ],
    ids=["assertion", "call", "end of a function", "unittest", "metadata", "loop", "expression"],
)
def test_tests_that_the_score_can_run(reference: str, right: str) -> None:
    score = load_score("passes_tests", CONSENT)
    score.check_reference(reference)
    assert score.rate(right, reference) == 1
    assert score.rate(right.replace("1", "3"), reference) == 0


@pytest.mark.parametrize(
    ("name", "reference", "expected"),
    [
        ("maths", "2 1/2", "expected a number or a formula in LaTeX"),
        ("maths", "Monday", "expected a number or a formula in LaTeX"),
        ("maths", "the answer is 5", "expected a number or a formula in LaTeX"),
        ("maths", "$$", "expected a number or a formula in LaTeX"),
        ("maths", "?", "expected a number or a formula in LaTeX"),
        ("numeric", "Paris", "expected a text with a number"),
        ("choice_letter", "2", "expected the letter of a choice"),
        ("choice_letter", "Paris", "expected the letter of a choice"),
        ("passes_tests", "def check(f):\n    assert f(1) == 2", "expected a program that raises"),
        (
            "passes_tests",
            "AUTHOR = 'a'\nclass Tests:\n    def test(self): f()",
            "expected a program that raises",
        ),
        ("passes_tests", "{answer}", "expected a program that raises"),
        ("passes_tests", "", "expected a program that raises"),
    ],
)
def test_a_reference_that_no_answer_can_equal_is_refused(name: str, reference: str, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(repr(reference))} was given, {expected}"):
        load_score(name, CONSENT if name == "passes_tests" else {}).check_reference(reference)


@pytest.mark.parametrize(
    "end",
    [
        "unittest.main()",
        "unittest.main(exit=False)",
        "unittest.TextTestRunner().run(suite)",
        "doctest.testmod()",
        'if __name__ == "__main__":\n    Tests().test_sum()',
        "METADATA = dict(author='a')",
        "random.seed(0)",
        "try:\n    import numpy\nexcept ImportError:\n    pass",
    ],
)
def test_a_program_that_tests_nothing_is_refused(end: str) -> None:
    """Every answer that is Python would pass it, or none: a failed test is printed, or ends the process."""
    program = f"class Tests(unittest.TestCase):\n    def test_sum(self):\n        assert f() == 1\n\n{end}"
    score = load_score("passes_tests", CONSENT)
    with pytest.raises(ValueError, match='it runs no test, so add a call such as "check'):
        score.check_reference(program)
    score.check_reference(f"{program}\nTests().test_sum()")


def test_a_reference_is_the_part_that_the_pattern_matches() -> None:
    """The pattern finds 18 in the answer, which never equals a whole worked solution."""
    score = load_score("regex", {"pattern": r"#### (-?\d+)"})
    score.check_reference("18")
    with pytest.raises(ValueError, match="of which the pattern matches '18'; expected only this part"):
        score.check_reference("9 * 2 = 18\n#### 18")
    load_score("regex", {"pattern": "answer is (.+)"}).check_reference("New York")


def test_the_import_of_math_verify_is_not_part_of_the_limit() -> None:
    program = (
        "from slimgate.judge.scores import load_score, maths\n"
        "maths._SECONDS = 1.0\n"
        "print(load_score('maths', {}).rate('$x+1$', '$1+x$'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1.0"]


def test_the_best_reference_counts() -> None:
    score = load_score("exact_match", {})
    assert score.rate_best("Paris", ["Rome", "Paris"]) == 1
    assert score.rate_best("Paris", ["Rome"]) == 0
    errors = load_score(f"{__name__}:is_other", {})
    assert (errors.rate_best("Paris", ["Rome", "Paris"]), errors.rate_best("Paris", ["Rome"])) == (0, 1)


@pytest.mark.parametrize("name", list_score_names())
def test_every_score_is_a_metric_from_0_to_1(name: str) -> None:
    needed = {"regex": {"pattern": "x"}, "passes_tests": CONSENT}
    score = load_score(name, needed.get(name, {}))
    for answer in ("", "x", "42", "\x00", "{}"):
        for reference in ("", "x", "42"):
            assert 0 <= score.rate(answer, reference) <= 1
    metric = load_metric(name)
    is_better_higher = name != "refused"
    assert (metric.needs, metric.value_range) == (name, (0.0, 1.0))
    assert metric.higher_is_better is is_better_higher


def shout(answer: str, _reference: str | None) -> float:
    return float(answer.isupper())


def twice(_answer: str, _reference: str | None) -> float:
    return 2.0


def is_other(answer: str, reference: str | None) -> float:
    return float(answer != reference)


for score in (shout, twice, is_other):
    score.higher_is_better = score is not is_other  # type: ignore[attr-defined]


def test_a_users_function_is_a_score_and_its_metric_in_one_line() -> None:
    name = f"{__name__}:shout"
    assert (rate(name, "YES", None), rate(name, "no", None)) == (1, 0)
    assert load_metric(name).needs == name
    with pytest.raises(MeasureError, match=r"twice gave 2.0, expected a number from 0 to 1"):
        rate(f"{__name__}:twice", "x", None)


def test_the_worst_score_follows_the_direction() -> None:
    names = ("exact_match", "refused", f"{__name__}:shout", f"{__name__}:is_other")
    assert [load_score(name, {}).worst for name in names] == [0, 1, 0, 1]


def test_unknown_names_and_options_are_refused_with_the_nearest() -> None:
    with pytest.raises(SuiteError, match=r"no such score.* Did you mean numeric\?"):
        load_score("numerics", {})
    with pytest.raises(SuiteError, match="of type dict, expected a function"):
        load_score(f"{__name__}:SCHEMA", {})
    with pytest.raises(ValidationError, match=r"unknown key tolerence. Did you mean tolerance\?"):
        load_score("numeric", {"tolerence": 1.0})
    with pytest.raises(ValidationError, match="is not a regular expression"):
        load_score("regex", {"pattern": "("})
    with pytest.raises(ValueError, match="is not a JSON Schema"):
        load_score("json_valid", {"json_schema": {"type": "objekt"}})


@pytest.mark.parametrize(
    ("schema", "reference"),
    [
        ({"$ref": "http://127.0.0.1:9/city.json"}, "http://127.0.0.1:9/city.json"),
        ({"properties": {"city": {"$ref": "city.json#/name"}}}, "city.json#/name"),
        ({"items": {"anyOf": [{"$ref": "#/$defs/city"}]}}, "#/$defs/city"),
    ],
)
def test_a_schema_that_refers_elsewhere_is_refused(schema: dict[str, object], reference: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f'$ref = "{reference}" is not in the schema')):
        load_score("json_valid", {"json_schema": schema})


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"$ref": "#"}, "it refers to itself without an end"),
        ({"allOf": [{"$ref": "#"}]}, "it refers to itself without an end"),
        ({"$schema": 5}, "jsonschema cannot use it"),
        ({"$ref": "#/allOf/foo", "allOf": [{}]}, "jsonschema cannot use it"),
        ({"title": "abc", "$ref": "#/title/0"}, "jsonschema cannot use it"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: dict[str, object], problem: str) -> None:
    """No answer fits a schema that refers to itself, of the teacher and of any variant: no drop, a PASS."""
    with pytest.raises(ValueError, match=f"json_schema is not a JSON Schema: {problem}"):
        load_score("json_valid", {"json_schema": schema})


def test_the_schema_of_json_schema_itself_is_there() -> None:
    score = load_score(
        "json_valid", {"json_schema": {"$ref": "https://json-schema.org/draft/2020-12/schema"}}
    )
    assert score.rate('{"type": "string"}', None) == 1
    assert score.rate('{"type": "strin"}', None) == 0


@pytest.mark.parametrize(
    "schema",
    [
        {
            "$id": "http://x.org/root.json",
            "$defs": {"city": CITY},
            "properties": {"a": {"$ref": "/root.json#/$defs/city"}},
        },
        {"$defs": {"city": {"$id": "city.json", **CITY}}, "properties": {"a": {"$ref": "city.json"}}},
        {"definitions": {"city": CITY}, "properties": {"a": {"$ref": "#/definitions/city"}}},
        {"properties": {"a": CITY}, "const": {"a": "Paris", "$ref": "http://x.org/none.json"}},
    ],
    ids=["identifier", "subschema", "definitions", "no reference"],
)
def test_references_inside_a_schema_are_followed(schema: dict[str, object]) -> None:
    score = load_score("json_valid", {"json_schema": schema})
    assert score.rate('{"a": "Paris", "$ref": "http://x.org/none.json"}', None) == 1
    assert score.rate('{"a": 1}', None) == 0


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("rouge", "rouge_score.rouge_scorer"),
        ("chrf", "sacrebleu"),
        ("bleu", "sacrebleu"),
        ("maths", "math_verify"),
    ],
)
def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        MissingExtra, match=rf'score {name} needs an extra: pip install "slimgate\[answers\]"'
    ):
        load_score(name, {})


def test_each_file_of_the_folder_is_a_score() -> None:
    files = {path.stem for path in Path(slimgate.judge.scores.__file__).parent.glob("*.py")}
    assert files - {"__init__", "base", "_json_schema"} == set(list_score_names())
