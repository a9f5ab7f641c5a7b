"""fixtures/sources/wikitext.py: articles of one long file as rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.sources.wikitext import split_articles, write_rows

DATA = Path(__file__).parents[3] / "shared/data/wikitext2"
TEXT = """
 = First =

 One sentence .

 = = Heading = =

 A formula :
 = 1 / s and k =
 goes on .

 = Second ( film ) =

 Another .
"""


def test_an_article_runs_to_the_next_title_and_no_formula_is_one() -> None:
    first, second = split_articles(TEXT)
    assert first["title"] == "First"
    assert first["text"].startswith("One sentence .")
    assert "= 1 / s and k =" in first["text"]
    assert first["text"].endswith("goes on .")
    assert second == {"title": "Second ( film )", "text": "Another ."}


def test_the_real_files_hold_sixty_articles_each(tmp_path: Path) -> None:
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is missing: WikiText-2 lies beside the project, not in it")
    assert write_rows(DATA, tmp_path) == {"train": 60, "gate": 60}
    rows = [json.loads(line) for line in (tmp_path / "gate.jsonl").read_text("utf-8").splitlines()]
    words = sum(len(row["text"].split()) for row in rows)
    assert words == pytest.approx(241_211, rel=0.01)  # what the data's README counts, with titles
