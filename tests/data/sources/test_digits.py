from __future__ import annotations

from collections import Counter
from pathlib import Path

from fixtures.sources import digits


def test_the_digits_are_scikit_learns_with_captions(tmp_path: Path) -> None:
    rows = digits.source.read(digits.Params(), scratch=tmp_path)["all"]
    assert rows.column_names == list(digits.source.columns(digits.Params()))
    assert rows.num_rows == 1797
    assert Counter(rows["label"].to_pylist())["three"] == 183  # scikit-learn's own description
    assert all(
        label in text
        for label, text in zip(*(rows[n].to_pylist() for n in ("label", "caption")), strict=True)
    )
    first = rows["image"][0].as_py()
    assert (len(first), len(first[0])) == (8, 8)
    assert first[0][:4] == [0, 0, 80, 207]  # 0, 0, 5, 13 of 16 points


def test_captions_use_all_templates_and_are_reproducible() -> None:
    drawn = Counter(digits.make_caption(row, "X") for row in range(1797))
    assert len(drawn) == len(digits.TEMPLATES)
    assert max(drawn.values()) < 1.3 * min(drawn.values())
    assert digits.make_caption(0, "X") == digits.make_caption(0, "X")
