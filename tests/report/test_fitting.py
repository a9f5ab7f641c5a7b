"""A text in so many characters: rows go whole, and what goes is said."""

from __future__ import annotations

import pytest

from slimgate.report.tables import Piece, fit_pieces, make_uncut_piece


def listed(name: str, rows: int) -> Piece:
    return Piece(name, rows, lambda k: "\n".join(f"- line {n}" for n in range(k)))


def test_what_fits_is_left_as_it_is() -> None:
    assert (
        fit_pieces([make_uncut_piece("a", "A"), listed("lines", 2)], 1000, end="E")
        == "A\n\n- line 0\n- line 1\n\nE\n"
    )


@pytest.mark.parametrize("limit", [500, 600, 1000, 3000])
def test_rows_that_do_not_fit_go_whole_and_are_counted(limit: int) -> None:
    text = fit_pieces([listed("lines", 1000)], limit, end="the end")
    assert len(text) <= limit
    shown = [line for line in text.splitlines() if line.startswith("- line ")]
    assert shown == [f"- line {n}" for n in range(len(shown))]
    assert f"… and {1000 - len(shown)} more lines in the report." in text
    assert text.endswith("\n\nthe end\n")
    # one row more would not have fitted
    assert len(text) + 450 > limit


def test_a_piece_with_no_room_is_named_at_the_end() -> None:
    text = fit_pieces(
        [make_uncut_piece("a", "A"), make_uncut_piece("a novel", "x" * 900), make_uncut_piece("b", "B")], 1000
    )
    assert text == "A\n\nB\n\nLeft out for lack of space: a novel. The report has all.\n"


def test_many_pieces_with_no_room_are_counted() -> None:
    text = fit_pieces([make_uncut_piece(f"the novel of the number {n}", "x" * 900) for n in range(50)], 1000)
    assert text == "Left out for lack of space: 50 sections. The report has all.\n"


def test_empty_pieces_leave_no_gap() -> None:
    assert (
        fit_pieces([make_uncut_piece("a", ""), listed("lines", 0), make_uncut_piece("b", "B")], 1000) == "B\n"
    )
