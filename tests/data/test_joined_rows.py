"""Double quotes in the texts of a csv or tsv whose writer did not quote them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from support.small_predictions import NAMES

from slimgate.data.joined_rows import refuse_joined_rows
from slimgate.data.row_files import RowFile, read_all_rows
from slimgate.errors import DataError
from slimgate.logs.find import read_log
from slimgate.logs.predictions.files import read_predictions

HEADER = ("id", "label", "prediction", "text")


def write_rows(path: Path, texts: dict[int, str], *, separator: str = ",", rows: int = 40) -> Path:
    """Rows whose texts are `good`, or what `texts` has for a row, as a program without a csv library."""
    lines = [[f"q{i}", "pos" if i % 2 else "neg", "pos", texts.get(i, "good")] for i in range(rows)]
    path.write_text("".join(separator.join(line) + "\n" for line in [HEADER, *lines]))
    return path


def read_table(path: Path) -> object:
    return [*read_log(path, "table").tasks[""].rows()]


READ: dict[str, Callable[[Path], object]] = {
    "predictions": lambda path: read_predictions(path, NAMES),
    "table": read_table,
    "source": lambda path: read_all_rows(RowFile(path, path.suffix[1:]), scratch=path.parent),
}


@pytest.mark.parametrize("read", READ.values(), ids=READ)
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_quote_that_joins_rows_is_refused(
    tmp_path: Path, suffix: str, read: Callable[[Path], object]
) -> None:
    separator = "," if suffix == "csv" else "\t"
    path = write_rows(tmp_path / f"rows.{suffix}", {10: '"so good', 30: 'or bad"'}, separator=separator)
    with pytest.raises(DataError, match=r"line 13 is a row, .* begins with a double quote in line 12"):
        read(path)


def test_a_quote_without_an_end_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", {10: '"so good'})
    for read in READ.values():
        with pytest.raises(DataError, match="line 13 is a row"):
            read(path)


def test_numbers_show_that_a_line_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    texts = {3: '"so good', 6: 'or bad"'}
    path.write_text("id,score,text\n" + "".join(f"q{i},{i / 8},{texts.get(i, 'x')}\n" for i in range(9)))
    with pytest.raises(DataError, match="line 6 is a row"):
        read_table(path)


PROSE = {
    "choices": '"Which is right?\nA,B,C,D"',
    "numbers": '"Years:\n1, 2, 3, 4"',
    "table": '"Read it.\nname,age,town,job\nAnn,31,Rome,cook"',
    "quote-in-the-line": 'he said "so" and "good"',
    "one-line": '"so ""good"", he said"',
}


@pytest.mark.parametrize("text", PROSE.values(), ids=PROSE)
def test_texts_of_several_lines_are_read(tmp_path: Path, text: str) -> None:
    path = write_rows(tmp_path / "rows.csv", dict.fromkeys(range(0, 40, 3), text))
    assert len(read_predictions(path, NAMES)) == 40


@pytest.mark.parametrize(
    "header", [("text", "label"), ("id", "text", "label"), ("label", "text")], ids=", ".join
)
@pytest.mark.parametrize("text", ["the first line\nthe end", 'a, b and "c",\nd', "\n\n"], ids=repr)
def test_the_last_line_of_a_text_is_no_row(tmp_path: Path, header: tuple[str, ...], text: str) -> None:
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, header, extrasaction="ignore")
        writer.writeheader()
        for i in range(40):
            writer.writerow({"id": i, "text": "good" if i % 3 else text, "label": "pos" if i % 2 else "neg"})
    table = read_all_rows(RowFile(path, "csv"), scratch=tmp_path)
    assert len(table) == 40


def test_a_value_that_is_too_long_is_named(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", {10: f'"{"x" * 200}'})
    with pytest.raises(DataError, match="cannot be read as csv: field larger than field limit"):
        refuse_joined_rows(path, ",", longest=100)
