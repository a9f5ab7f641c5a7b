"""Pooling, the order of texts, and the forms that embeddings take."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig

from slimgate.models.embedding_forms import BinaryForm, Int8Form, LeadingDimensions
from slimgate.models.sentence_encoder import SentenceEncoder, pool

# two texts of three tokens, of which the second has two
TOKENS = torch.tensor([[[1.0, 4.0], [2.0, 0.0], [3.0, 2.0]], [[1.0, 1.0], [5.0, -3.0], [9.0, 9.0]]])
RIGHT = torch.tensor([[1, 1, 1], [1, 1, 0]])
LEFT = torch.tensor([[1, 1, 1], [0, 1, 1]])


def encoder(**sentence: object) -> SentenceEncoder:
    config = BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
    )
    config.sentence = sentence
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SentenceEncoder(config).eval()


@pytest.mark.parametrize(
    ("how", "mask", "expected"),
    [
        ("mean", RIGHT, [[2, 2], [3, -1]]),
        ("max", RIGHT, [[3, 4], [5, 1]]),
        ("cls", RIGHT, [[1, 4], [1, 1]]),
        ("last", RIGHT, [[3, 2], [5, -3]]),
        ("cls", LEFT, [[1, 4], [5, -3]]),
        ("last", LEFT, [[3, 2], [9, 9]]),
    ],
)
def test_pooling_leaves_padding_out(how: str, mask: torch.Tensor, expected: list[list[float]]) -> None:
    assert pool(TOKENS, mask, how).tolist() == expected


def test_embeddings_have_length_one_by_default() -> None:
    ids, mask = torch.tensor([[3, 4, 5]]), torch.ones(1, 3, dtype=torch.int64)
    plain, unit = encoder(normalize=False), encoder()
    with torch.no_grad():
        lengths = [float(network(ids, mask).logits.norm()) for network in (plain, unit)]
    assert lengths[1] == pytest.approx(1)
    assert lengths[0] != pytest.approx(1)


def test_the_texts_of_a_row_come_as_one_answer() -> None:
    ids = torch.tensor([[3, 4], [5, 6], [7, 8], [9, 10]])
    mask = torch.ones_like(ids)
    with torch.no_grad():
        apart, together = encoder()(ids, mask).logits, encoder(texts=2)(ids, mask).logits
    assert together.shape == (2, 2, 8)
    torch.testing.assert_close(together[:, 0], apart[:2])
    torch.testing.assert_close(together[:, 1], apart[2:])


def test_signs_have_the_cosines_of_their_hamming_distance() -> None:
    vectors = torch.tensor([[0.3, -0.1, 0.2, 0.5], [0.3, 0.1, -0.2, 0.5]])
    signs = BinaryForm(4)(vectors)
    torch.testing.assert_close(signs, torch.tensor([[0.5, -0.5, 0.5, 0.5], [0.5, 0.5, -0.5, 0.5]]))
    assert float(signs[0] @ signs[1]) == pytest.approx(1 - 2 * 2 / 4)


def test_levels_lie_between_the_extremes_of_each_dimension() -> None:
    seen = torch.tensor([[0.0, -1.0], [2.55, 1.55]])
    form = Int8Form.spanning(seen, query="same")
    torch.testing.assert_close(form(seen), seen)
    torch.testing.assert_close(
        form(torch.tensor([[0.014, 0.0], [9.0, -9.0]])), torch.tensor([[0.01, 0.0], [2.55, -1.0]])
    )


def test_a_dimension_that_never_changes_is_kept() -> None:
    seen = torch.tensor([[0.5, 1.0], [0.5, 2.0]])
    torch.testing.assert_close(Int8Form.spanning(seen, query="same")(seen), seen)


def test_float_queries_are_beside_stored_documents() -> None:
    vectors = torch.tensor([[0.3, -0.1], [0.2, 0.4]])
    forms = BinaryForm(2, "float")(vectors)
    assert forms.shape == (2, 2, 2)
    torch.testing.assert_close(forms[:, 0], vectors)
    torch.testing.assert_close(forms[:, 1], BinaryForm(2)(vectors))
    pairs = vectors.unsqueeze(0)
    torch.testing.assert_close(BinaryForm(2, "float")(pairs)[0, 0], vectors[0])
    torch.testing.assert_close(BinaryForm(2, "float")(pairs)[0, 1], BinaryForm(2)(vectors)[1])


def test_leading_dimensions_are_the_first() -> None:
    assert LeadingDimensions(2)(torch.tensor([[1.0, 2.0, 3.0]])).tolist() == [[1, 2]]
