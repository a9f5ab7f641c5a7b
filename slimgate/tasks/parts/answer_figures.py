"""Figures that compare the answers of two models, such as their similarity, and faults in prompts.

The teacher's tokenizer counts the tokens of both answers, so that a variant may have another vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from slimgate._system import quiet
from slimgate._system.number_text import format_percent
from slimgate.errors import MeasureError
from slimgate.judge.metrics.answers import ACCEPTANCE_LENGTH, METRICS
from slimgate.judge.metrics.base import compute_value
from slimgate.models.divergence import count_common_prefix
from slimgate.models.model_ref import parse_model_ref
from slimgate.models.saved_files import load_tokenizer
from slimgate.models.write_answers import SamplingParams
from slimgate.outcomes import FAILED, PASSES, SAME_ANSWERS, Floats, Outcomes
from slimgate.plugins.base import iter_batches
from slimgate.plugins.models import ComparedModel
from slimgate.plugins.task import AnswerPlan
from slimgate.tasks.parts.prompts import Prompts, write_to_prompts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.models.sentence_encoder import SentenceEncoder

_BATCH, _MAX_TOKENS = 32, 512
# The number of prompts that are answered one by one, to see whether the batch matters.
ALONE = 16
# Rounding changes few of a model's answers; a model that reads the padding changes most of them.
_MAX_CHANGED_SHARE = 0.5
_SHOWN_CHARACTERS = 60


def compute_similarities(folder: Path, answers: Sequence[str], references: Sequence[str]) -> Floats:
    """(answers,) the cosine of each answer and its reference: 1 for equal texts; negative cosines become 0.

    folder: of an encoder. Raises MeasureError if it lacks weights.
    """
    pairs = list(zip(answers, references, strict=True))
    texts = sorted({text for pair in pairs if pair[0] != pair[1] for text in pair}, key=len)
    vectors = dict(zip(texts, _embed_texts(folder, texts), strict=True))
    values = [
        1.0 if answer == reference else float(vectors[answer] @ vectors[reference])
        for answer, reference in pairs
    ]
    return np.clip(np.asarray(values, dtype=np.float64), 0.0, 1.0)


def _embed_texts(folder: Path, texts: Sequence[str]) -> list[Floats]:
    """A vector of unit length for each text.

    The encoder reads a long text in parts. The text's vector is the mean of theirs, weighted by tokens.
    """
    import torch

    from slimgate.models.config import read_max_positions

    if not texts:
        return []
    tokenizer, network = _load_encoder(folder)
    max_tokens = min(_MAX_TOKENS, read_max_positions(network.config.to_dict()) or _MAX_TOKENS)
    embedded: list[Floats] = []
    for batch_texts in iter_batches(texts, _BATCH):
        parts = tokenizer(
            list(batch_texts),
            padding=True,
            truncation=True,
            max_length=max_tokens,
            return_overflowing_tokens=True,
            return_tensors="pt",
        )
        if not tokenizer.is_fast:  # cuts a long text without returning the rest
            if parts["input_ids"].shape[1] >= max_tokens:
                raise MeasureError(
                    f"encoder {folder}: an answer has {max_tokens} tokens or more, and "
                    f"{type(tokenizer).__name__} does not return those after them; use an encoder with a "
                    "fast tokenizer"
                )
            parts["overflow_to_sample_mapping"] = torch.arange(len(batch_texts))
        ids, masks = parts["input_ids"].split(_BATCH), parts["attention_mask"].split(_BATCH)
        with torch.inference_mode():
            vectors = torch.cat([network(*batch).logits.double() for batch in zip(ids, masks, strict=True)])
            vectors *= parts["attention_mask"].sum(-1, keepdim=True)
            sums = torch.zeros(len(batch_texts), vectors.shape[-1], dtype=vectors.dtype)
            sums.index_add_(0, parts["overflow_to_sample_mapping"], vectors)
        embedded += list(torch.nn.functional.normalize(sums, dim=-1).numpy())
    return embedded


@lru_cache(maxsize=1)
def _load_encoder(folder: Path) -> tuple[PreTrainedTokenizerBase, SentenceEncoder]:
    """The tokenizer and the encoder of a folder, with the folder's pooling, else the mean."""
    from slimgate.models.pretrained import load_config
    from slimgate.models.seeding import isolated_seed
    from slimgate.tasks.parts.sentence_models import load_encoder

    ref = parse_model_ref(str(folder))
    with quiet.silent(), isolated_seed(0):
        config = load_config(ref)
        weights, network = load_encoder(ref, config, {})
        tokenizer = load_tokenizer(folder)
    if weights.missing:
        raise MeasureError(
            f"encoder {folder}: no weights of {weights.missing[0]}; expected a trained encoder"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, network.eval()


def make_answer_figures(teacher: ComparedModel, variant: ComparedModel) -> dict[str, dict[str, Any]]:
    """The figures: name -> what, teacher, variant."""
    assert teacher.outcomes is not None
    assert variant.outcomes is not None
    changed = [100 * float(1 - side.outcomes.column(SAME_ANSWERS).mean()) for side in (teacher, variant)]  # type: ignore[union-attr]
    tokens = [float(side.outcomes.column("answer_tokens").mean()) for side in (teacher, variant)]  # type: ignore[union-attr]
    figures: dict[str, dict[str, Any]] = {
        "changed_answers": {
            "what": "% of answers that change: of the teacher by another batch size and thread count (the "
            "noise floor), of the variant from the teacher's",
            "teacher": changed[0],
            "variant": changed[1],
        },
    }
    # If both are endpoints, there is no tokenizer.
    local = [side.encoded.tokenizer for side in (teacher, variant) if isinstance(side.encoded, Prompts)]
    if local:
        prefix, first = _compare_prefixes(teacher, variant, local[0])
        figures["common_prefix"] = {
            "what": "mean % of the teacher's tokens that both answers begin with",
            "teacher": 100.0,
            "variant": prefix,
        }
        figures["first_divergent_token"] = {
            "what": "median place of the first other token, of answers that change",
            "teacher": None,
            "variant": first,
        }
    label = "mean tokens of an answer"
    figures["answer_tokens"] = {"what": label, "teacher": tokens[0], "variant": tokens[1]}
    if PASSES in variant.outcomes.values:
        figures["tokens_per_pass"] = {
            "what": "mean tokens for each pass that verifies those of a draft, as acceptance_length",
            "teacher": None,
            "variant": compute_value(METRICS[ACCEPTANCE_LENGTH], variant.outcomes),
        }
    return figures


def _compare_prefixes(
    teacher: ComparedModel, variant: ComparedModel, tokenizer: PreTrainedTokenizerBase
) -> tuple[float, float | None]:
    """Mean percentage of the teacher's tokens in common, and the median position of the first difference."""
    before, after = (_tokenize_answers(tokenizer, side.outcomes) for side in (teacher, variant))
    lengths = [count_common_prefix(first, other) for first, other in zip(before, after, strict=True)]
    shares = [
        length / max(len(first), 1) if first else float(not other)
        for length, first, other in zip(lengths, before, after, strict=True)
    ]
    differences = [
        length + 1 for length, first, other in zip(lengths, before, after, strict=True) if first != other
    ]
    return 100 * float(np.mean(shares)), float(np.median(differences)) if differences else None


def _tokenize_answers(tokenizer: PreTrainedTokenizerBase, outcomes: Outcomes | None) -> list[list[int]]:
    assert outcomes is not None
    assert outcomes.answers is not None
    texts = outcomes.answers.tolist()
    return list(tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"])


def find_faults(teacher: ComparedModel, variant: ComparedModel, sampling: SamplingParams) -> list[str]:
    """Sentences about errors in how a variant reads its prompts; of a server, about requests that failed."""
    if not isinstance(variant.encoded, Prompts):
        return _list_failed_requests(teacher, variant)
    if not isinstance(teacher.encoded, Prompts):
        fault = _describe_padding_effect(variant, sampling)
        return [*([fault] if fault else []), *_list_failed_requests(teacher, variant)]
    faults = (
        _describe_other_prompts(teacher.encoded, variant.encoded),
        _describe_other_side(teacher.encoded, variant.encoded),
        _describe_padding_effect(variant, sampling),
    )
    return [fault for fault in faults if fault is not None]


def _list_failed_requests(teacher: ComparedModel, variant: ComparedModel) -> list[str]:
    """A failed answer is neither empty nor long nor a loop, so budgets on these hold without answers.

    Those of the teacher count as wrong, so that a drop looks smaller.
    """
    assert teacher.outcomes is not None
    assert variant.outcomes is not None
    shares = [float(side.outcomes.column(FAILED).mean()) for side in (variant, teacher)]  # type: ignore[union-attr]
    consequences = (
        "its requests failed, so these rows have no answer",
        "the teacher's requests failed and count as wrong, so drops look smaller",
    )
    return [
        f"{format_percent(share)} of {text}"
        for share, text in zip(shares, consequences, strict=True)
        if share
    ]


def _describe_other_prompts(teacher: Prompts, variant: Prompts) -> str | None:
    differing = [
        place
        for place, (first, other) in enumerate(zip(teacher.texts, variant.texts, strict=True))
        if first != other
    ]
    if not differing:
        return None
    first_prompt, other = teacher.texts[differing[0]], variant.texts[differing[0]]
    start = max(0, count_common_prefix(first_prompt, other) - _SHOWN_CHARACTERS // 3)
    parts = (repr(text[start : start + _SHOWN_CHARACTERS]) for text in (first_prompt, other))
    return (
        f"its chat template makes other prompts than the teacher's, of {len(differing)} of "
        f"{len(teacher)} rows "
        f"(teacher {next(parts)}, variant {next(parts)})"
    )


def _describe_other_side(teacher: Prompts, variant: Prompts) -> str | None:
    sides = [cast("PreTrainedTokenizerBase", side.tokenizer).padding_side for side in (teacher, variant)]
    if sides[0] == sides[1] or sides[1] == variant.side:
        return None
    return (
        f"its tokenizer pads on the {sides[1]}, the teacher's on the {sides[0]}: a batch that it pads "
        f"gets other answers (slimgate itself always pads on the {variant.side})"
    )


def _describe_padding_effect(variant: ComparedModel, sampling: SamplingParams) -> str | None:
    """Answers some prompts one by one, the shortest first, because these have the most padding."""
    prompts, outcomes = variant.encoded, variant.outcomes
    assert isinstance(prompts, Prompts)
    assert outcomes is not None
    assert outcomes.answers is not None
    if sampling.temperature:
        return None
    chosen = np.argsort(prompts.lengths, kind="stable")[:ALONE]
    alone = write_to_prompts(
        variant.predictor, prompts.take(chosen.tolist()), sampling, AnswerPlan(1), repeats=1
    )
    changed = sum(
        text_alone.text != text for (text_alone,), text in zip(alone, outcomes.answers[chosen], strict=True)
    )
    if changed <= _MAX_CHANGED_SHARE * len(chosen):
        return None
    return (
        f"{changed} of {len(chosen)} answers change when a prompt is alone in its batch: the model reads the "
        "padding (its attention mask or its positions are wrong)"
    )
