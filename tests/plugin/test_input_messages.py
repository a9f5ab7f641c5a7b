"""Mistakes in files of rows and in budgets, each answered by what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.tiny_suite import make_tiny_run

from slimgate.data.row_files import RowFile, read_all_rows, read_column_names, require_file
from slimgate.errors import DataError, SuiteError
from slimgate.suite.budget_units import find_doubtful_budgets


@pytest.mark.parametrize(("sign", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_a_csv_with_another_separator_is_reported_so(tmp_path: Path, sign: str, name: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(f"text{sign}label\na film, good{sign}pos\n")
    with pytest.raises(DataError, match=f"the header is one column, .* looks separated by {name}; save the"):
        read_column_names(RowFile(file, "csv"))


@pytest.mark.parametrize("text", ['{"text": "a film", "label": "pos"}\n', '[{"text": "a film"}]'])
def test_json_in_a_csv_file_names_the_extension(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(text)
    with pytest.raises(
        DataError, match=r"as JSON does; expected names of columns; rename the file to \.jsonl"
    ):
        read_column_names(RowFile(file, "csv"))


def test_quotes_inside_of_texts_name_the_option(tmp_path: Path) -> None:
    file = tmp_path / "rows.tsv"
    file.write_text('text\tlabel\na film\tpos\n"a" b" film\tneg\nbad "plot"\tx\tneg\n')
    with pytest.raises(DataError, match=r"add quotes = false to the source \(slimgate init: --no-quotes\)"):
        read_all_rows(RowFile(file, "tsv"), scratch=tmp_path)


def test_a_file_one_folder_up_is_named_if_of_the_same_kind(tmp_path: Path) -> None:
    bench = tmp_path / "bench"
    bench.mkdir()
    (bench / "docs.toml").touch()
    with pytest.raises(SuiteError, match=r"docs\.csv: no such file$"):
        require_file(bench / "docs.csv")
    (tmp_path / "docs.csv").touch()
    expected = f"no such file. Did you mean ../docs.csv? There is {tmp_path / 'docs.csv'}"
    with pytest.raises(SuiteError, match=re.escape(expected)):
        require_file(bench / "docs.csv")


def test_latin_1_names_the_option_of_the_suite_and_of_init(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes("text,label\ncafé,pos\n".encode("latin-1"))
    with pytest.raises(DataError, match=r'encoding = "latin-1" to the source \(slimgate init: --enc'):
        read_all_rows(RowFile(file, "csv"), scratch=tmp_path)


def questions(folder: Path, budgets: str) -> list[str]:
    return find_doubtful_budgets(
        make_tiny_run(folder, **{"[measure]": f"[budgets]\n{budgets}\n\n[measure]"}).suite
    )


def test_a_budget_that_looks_like_a_fraction_is_asked_about(tmp_path: Path) -> None:
    assert questions(tmp_path, "accuracy = { drop_points = 2.0 }") == []
    assert questions(tmp_path, "accuracy = { drop_points = 0.02 }") == [
        "budget accuracy drop_points 0.02 (shorter, pruned): points are percentage points, so 0.02 is "
        "0.02 %. Did you mean drop_points = 2?"
    ]
    assert questions(tmp_path, "slices.accuracy = { drop_points = 0.05 }") == [
        "budget slices.accuracy drop_points 0.05 (shorter, pruned): points are percentage points, so 0.05 is "
        "0.05 %. Did you mean drop_points = 5?"
    ]


@pytest.mark.parametrize(
    ("budget", "question"),
    [
        (
            "log_loss = { increase_relative = 0.0003 }",
            "log_loss increase_relative 0.0003 (shorter, pruned): it is a share, so 0.0003 is 0.03 %. "
            "Did you mean increase_relative = 0.03?",
        ),
        (
            "accuracy = { error_increase_relative = 3 }",
            "accuracy error_increase_relative 3 (shorter, pruned): it is a share, so 3 allows 4 times the "
            "teacher's errors. Did you mean error_increase_relative = 0.03?",
        ),
        (
            "size = { compression_min = 0.5 }",
            "size compression_min 0.5 (shorter, pruned): it is teacher bytes / variant bytes, so the variant "
            "may be larger than the teacher. Did you mean compression_min = 2?",
        ),
        (
            "memory = { memory_ratio_max = 80 }",
            "memory memory_ratio_max 80 (shorter, pruned): it is variant / teacher, so 80 allows 80 times "
            "the teacher's value. Did you mean memory_ratio_max = 0.8?",
        ),
        (
            "flops = { ratio_max = 50 }",
            "flops ratio_max 50 (shorter, pruned): it is variant / teacher, so 50 allows 50 times the "
            "teacher's value. Did you mean ratio_max = 0.5?",
        ),
        (
            "measurements.load_time = { value_ratio_max = 110 }",
            "measurements.load_time value_ratio_max 110 (shorter, pruned): it is variant / teacher, so 110 "
            "allows 110 times the teacher's value. Did you mean value_ratio_max = 1.1?",
        ),
        (
            "baseline.accuracy = { error_increase_relative = 50 }",
            "baseline accuracy error_increase_relative 50 (shorter, pruned): it is a share, so 50 allows 51 "
            "times the baseline's errors. Did you mean error_increase_relative = 0.5?",
        ),
        (
            "teacher.baseline.accuracy = { error_increase_relative = 50 }",
            "baseline accuracy error_increase_relative 50 (teacher): it is a share, so 50 allows 51 times "
            "the baseline's errors. Did you mean error_increase_relative = 0.5?",
        ),
    ],
    ids=[
        "a share of a share",
        "percent",
        "a share of the size",
        "memory",
        "operations",
        "a measurement",
        "since the baseline",
        "of the teacher",
    ],
)
def test_so_is_one_in_another_unit_unless_it_says_why(tmp_path: Path, budget: str, question: str) -> None:
    assert questions(tmp_path, budget) == [f"budget {question}"]
    assert questions(tmp_path, budget.replace(" }", ', reason = "it is so" }')) == []


def test_usual_budgets_are_not_asked_about(tmp_path: Path) -> None:
    usual = "log_loss = { increase_relative = 0.02 }\nsize = { compression_min = 1.5 }"
    assert questions(tmp_path, f"accuracy = {{ error_increase_relative = 0.5 }}\n{usual}") == []
