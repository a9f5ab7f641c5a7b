"""Measures how varied texts are by their words.

The texts are those that the teacher and the variant write after the first tokens of gate rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from slimgate.models.generate import can_write, continue_prompts, count_positions
from slimgate.models.saved_files import load_tokenizer
from slimgate.plugins.models import ComparedModel

Words = Sequence[str]
Figures = dict[str, float | None]
PROMPTS = 64
PROMPT_TOKENS = 8
FIGURE_LABELS = {
    "distinct_1": "different words / words",
    "distinct_2": "different word pairs / pairs",
    "distinct_3": "different runs of three words / runs",
    "repetition_4": "runs of four words that came before in their text",
}
# Network -> (prompts, number of tokens) -> figures. All variants are compared with the same loaded teacher.
_figures_of_networks: WeakKeyDictionary[Any, dict[object, Figures]] = WeakKeyDictionary()


def list_ngrams(words: Words, n: int) -> list[tuple[str, ...]]:
    """All runs of n words, in order."""
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]


def compute_distinct_share(texts: Sequence[str], n: int) -> float | None:
    """Different n-grams / n-grams, over all texts together, in [0, 1]; None if there are no n-grams.

    It falls with the amount of text: compare equal amounts. Source: Li et al. 2016 (A Diversity-Promoting
    Objective Function for Neural Conversation Models), section 5.
    """
    grams = [gram for text in texts for gram in list_ngrams(text.split(), n)]
    return len(set(grams)) / len(grams) if grams else None


def compute_repetition(texts: Sequence[str], n: int = 4) -> float | None:
    """The share of n-grams that have occurred before in the same text, mean over texts, in [0, 1].

    Texts of fewer than n words do not count; None if all are such texts. Source: Welleck et al. 2020 (Neural
    Text Generation with Unlikelihood Training), seq-rep-n.
    """
    by_text = [list_ngrams(text.split(), n) for text in texts]
    shares = [1 - len(set(grams)) / len(grams) for grams in by_text if grams]
    return sum(shares) / len(shares) if shares else None


def compute_diversity(texts: Sequence[str]) -> Figures:
    """distinct_1, distinct_2, distinct_3 and repetition_4."""
    return {
        **{f"distinct_{n}": compute_distinct_share(texts, n) for n in (1, 2, 3)},
        "repetition_4": compute_repetition(texts),
    }


@dataclass(frozen=True)
class _PlainSampling:
    """Settings of sampling from the unchanged distribution of a model.

    tokens: the length of every text, because the share of different words falls with the amount of text.
    """

    tokens: int = 32
    temperature: float = 1.0
    top_k: int = 0


def compute_written_figures(teacher: ComparedModel, variant: ComparedModel) -> dict[str, dict[str, Any]]:
    """The figures: name -> what, teacher, variant; None for a model that PyTorch does not run."""
    tokens, rows = _count_tokens(teacher, variant), len(_choose_rows(teacher))
    teacher_figures, variant_figures = (
        _measure_diversity(teacher, tokens),
        _measure_diversity(variant, tokens),
    )
    return {
        name: {
            "what": (f"{label}, of text written behind the first {PROMPT_TOKENS} tokens of {rows} gate rows"),
            "teacher": teacher_figures.get(name),
            "variant": variant_figures.get(name),
        }
        for name, label in FIGURE_LABELS.items()
    }


def _find_network(model: ComparedModel) -> Any:
    return getattr(model.predictor, "network", None)


def _count_tokens(*models: ComparedModel) -> int:
    """The number of tokens that all models write, which is smaller if a model has few positions."""
    networks = [_find_network(model) for model in models]
    limits = [count_positions(network) for network in networks if can_write(network)]
    return min([_PlainSampling.tokens, *(limit - PROMPT_TOKENS for limit in limits if limit is not None)])


def _measure_diversity(model: ComparedModel, tokens: int) -> Figures:
    network = _find_network(model)
    if tokens < 1 or not can_write(network):
        return {}
    encoded: Any = model.encoded
    prompts = tuple(tuple(encoded.columns["input_ids"][row][:PROMPT_TOKENS]) for row in _choose_rows(model))
    figures = _figures_of_networks.setdefault(network, {})
    if (prompts, tokens) not in figures:
        figures[prompts, tokens] = _write_and_measure(model, prompts, tokens)
    return figures[prompts, tokens]


def _choose_rows(model: ComparedModel) -> list[int]:
    """The positions of the first parts of at most PROMPTS rows, which are spread over all rows."""
    encoded: Any = model.encoded
    firsts = np.unique(encoded.row_of, return_index=True)[1]
    spread = np.linspace(0, len(firsts) - 1, min(PROMPTS, len(firsts))).round().astype(int)
    rows: list[int] = firsts[np.unique(spread)].tolist()
    return rows


def _write_and_measure(model: ComparedModel, prompts: Sequence[Sequence[int]], tokens: int) -> Figures:
    tokenizer = load_tokenizer(model.folder)
    texts = continue_prompts(
        _find_network(model), tokenizer, prompts, _PlainSampling(tokens), seed=0, endless=True
    )
    return compute_diversity(tokenizer.batch_decode(texts, skip_special_tokens=True))
