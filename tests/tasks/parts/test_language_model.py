"""slimgate.tasks.parts.language_model: documents cut so that each token is counted once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from slimgate.tasks.parts.language_model import Windows, list_window_spans, split_into_windows
from slimgate.tasks.parts.objectives import NO_ANSWER


def make_windows(*documents: list[int], max_tokens: int = 4, stride: int = 2) -> Windows:
    return split_into_windows(documents, max_tokens=max_tokens, stride=stride, padding=99)


def test_a_short_document_counts_all_tokens_but_the_first() -> None:
    assert list_window_spans(3, max_tokens=4, stride=2) == [(0, 3, 1)]
    assert list_window_spans(4, max_tokens=4, stride=2) == [(0, 4, 1)]


def test_windows_overlap_and_count_only_new_tokens() -> None:
    assert list_window_spans(7, max_tokens=4, stride=2) == [(0, 4, 1), (2, 6, 2), (4, 7, 2)]


def test_a_stride_of_a_window_loses_each_first_token() -> None:
    assert list_window_spans(6, max_tokens=3, stride=3) == [(0, 3, 1), (3, 6, 1)]


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("length", [2, 7, 8, 20, 23])
def test_every_token_but_the_first_is_counted_exactly_once(length: int, stride: int) -> None:
    placed = list_window_spans(length, max_tokens=7, stride=stride)
    counted = [place for start, end, context in placed for place in range(start + context, end)]
    assert counted == list(range(1, length))
    assert all(end - start <= 7 for start, end, _ in placed)
    assert all(later[0] - earlier[0] == stride for earlier, later in pairwise(placed))


def test_what_counts_is_beside_the_inputs_padded_as_they_are() -> None:
    encoded = make_windows([1, 2, 3, 4, 5], [6, 7])
    assert encoded.row_of is not None
    assert encoded.row_of.tolist() == [0, 0, 1]
    assert encoded.batch([1, 2])["input_ids"].tolist() == [[3, 4, 5], [6, 7, 99]]
    assert encoded.batch([1, 2])["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert encoded.extra_arrays([1, 2])["counted"].tolist() == [[False, False, True], [False, True, False]]


def test_labels_are_the_tokens_that_count() -> None:
    assert make_windows([1, 2, 3, 4, 5]).list_labels() == [[NO_ANSWER, 2, 3, 4], [NO_ANSWER, NO_ANSWER, 5]]


def test_joined_windows_keep_their_documents_apart() -> None:
    joined = make_windows([1, 2, 3, 4, 5]).join(make_windows([6, 7]))
    assert isinstance(joined, Windows)
    assert joined.row_of is not None
    assert joined.row_of.tolist() == [0, 0, 1]
    assert joined.context.tolist() == [1, 2, 1]
    assert np.array_equal(joined.extra_arrays([2])["counted"], [[False, True]])


def test_windows_that_are_taken_keep_what_they_count() -> None:
    some = make_windows([1, 2, 3, 4, 5, 6], [7, 8]).take([1, 2])
    assert some.list_labels() == [[NO_ANSWER, NO_ANSWER, 5, 6], [NO_ANSWER, 8]]
    assert some.extra_arrays([0, 1])["counted"].tolist() == [
        [False, False, True, True],
        [False, True, False, False],
    ]
