"""Mistakes in files of rows and in budgets, each answered by what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.tiny_suite import tiny_run

from slimgate.data.row_files import RowFile, columns_of, require, rows_of
from slimgate.errors import DataError, SuiteError
from slimgate.suite.small_budgets import small_budgets


@pytest.mark.parametrize(("sign", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_a_csv_with_another_separator_is_told_so(tmp_path: Path, sign: str, name: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(f"text{sign}label\na film, good{sign}pos\n")
    with pytest.raises(DataError, match=f"the header is one column, .* looks separated by {name}; save the"):
        columns_of(RowFile(file, "csv"))


def test_quotes_inside_of_texts_name_the_option(tmp_path: Path) -> None:
    file = tmp_path / "rows.tsv"
    file.write_text('text\tlabel\na film\tpos\n"a" b" film\tneg\nbad "plot"\tx\tneg\n')
    with pytest.raises(DataError, match=r"add quotes = false to the source \(slimgate init: --no-quotes\)"):
        rows_of(RowFile(file, "tsv"), scratch=tmp_path)


def test_a_file_one_folder_up_is_named_and_no_file_of_another_kind(tmp_path: Path) -> None:
    bench = tmp_path / "bench"
    bench.mkdir()
    (bench / "docs.toml").touch()
    with pytest.raises(SuiteError, match=r"docs\.csv: no such file$"):
        require(bench / "docs.csv")
    (tmp_path / "docs.csv").touch()
    expected = f"no such file. Did you mean ../docs.csv? There is {tmp_path / 'docs.csv'}"
    with pytest.raises(SuiteError, match=re.escape(expected)):
        require(bench / "docs.csv")


def test_latin_1_names_the_option_of_the_suite_and_of_init(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes("text,label\ncafé,pos\n".encode("latin-1"))
    with pytest.raises(DataError, match=r'encoding = "latin-1" to the source \(slimgate init: --enc'):
        rows_of(RowFile(file, "csv"), scratch=tmp_path)


def test_a_budget_that_looks_like_a_fraction_is_asked_about(tmp_path: Path) -> None:
    def lines(limit: str) -> list[str]:
        budgets = f"[budgets]\naccuracy = {{ drop_points = {limit} }}\n\n[measure]"
        return small_budgets(tiny_run(tmp_path, **{"[measure]": budgets}).suite)

    assert lines("2.0") == []
    assert lines("0.02") == [
        "budget accuracy drop_points 0.02 (shorter, pruned): points are percentage points, so 0.02 is "
        "0.02 %. Did you mean drop_points = 2?"
    ]
