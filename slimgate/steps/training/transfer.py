"""Rows without labels that a student learns from: the transfer set.

| rows from                     | how                                                                       |
|-------------------------------|---------------------------------------------------------------------------|
| files, the split unlabelled   | as they are                                                               |
| changed copies of texts       | words left out, swapped (Wei & Zou 2019, EDA), masked (Tang et al. 2019)  |
|                               | or replaced by other words of the data, by frequency (Xie et al. 2020)    |
| a user's function             | paraphrases, such as by back-translation                                  |
| the teacher, a language model | text that it draws (Kim & Rush 2016, section 3.2, who search with a beam) |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slimgate.data.parts import collapse_text, collapse_texts
from slimgate.data.row_files import read_all_rows, read_column_names
from slimgate.data.same_texts import BETWEEN_TEXTS
from slimgate.errors import BuildError, DataError
from slimgate.models.generate import continue_prompts
from slimgate.models.special_tokens import find_start_token
from slimgate.plugins.context import BuildContext
from slimgate.plugins.loading import load_object
from slimgate.plugins.rows import UNLABELLED, Rows
from slimgate.steps.training.params import (
    Augment,
    Generate,
    TransferParams,
    choose_text_columns,
    make_row_file,
)
from slimgate.tasks.parts.text_diversity import compute_diversity

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.models.torch_model import TorchModel
    from slimgate.tasks.parts.encoding import EncodedTexts

Words = list[str]
Columns = dict[str, list[str]]


def augment_texts(texts: Sequence[str], options: Augment, *, mask: str, seed: int) -> list[str]:
    """`copies` changed copies of every text, one copy of all texts after another. No text becomes empty.

    mask: the word that replaces a masked word. The same seed gives the same copies.
    """
    words = [text.split() for text in texts]
    pool = np.asarray([word for row in words for word in row], dtype=object)
    generators = [np.random.default_rng([seed, copy]) for copy in range(options.copies)]
    return [
        " ".join(_change_words(list(row), options, pool, mask, generator))
        for generator in generators
        for row in words
    ]


def _change_words(
    words: Words, options: Augment, pool: npt.NDArray[np.object_], mask: str, generator: np.random.Generator
) -> Words:
    for place in np.flatnonzero(generator.random(len(words)) < options.word_replace):
        words[place] = str(pool[generator.integers(len(pool))])
    for place in np.flatnonzero(generator.random(len(words)) < options.word_mask):
        words[place] = mask
    for place in np.flatnonzero(generator.random(len(words)) < options.word_swap):
        other = int(generator.integers(len(words)))
        words[place], words[other] = words[other], words[place]
    keep = generator.random(len(words)) >= options.word_dropout
    if not keep.any():
        keep[generator.integers(len(words))] = True
    return [word for word, keeps in zip(words, keep, strict=True) if keeps]


def translate_texts(texts: Sequence[str], name: str) -> list[str]:
    """The results of the function "package.module:function" for the texts: one for each, in order.

    It is called once with all of them, so that it can batch as its model needs. Raises BuildError if it
    returns anything except one text for each.
    """
    translated = load_object(name)(list(texts))
    if not isinstance(translated, list | tuple):
        raise BuildError(
            f"translator {name} gave {type(translated).__name__} back, expected a list of strings"
        )
    if len(translated) != len(texts):
        raise BuildError(
            f"translator {name} gave {len(translated)} texts for {len(texts)}, expected one for each"
        )
    for place, text in enumerate(translated):
        if not isinstance(text, str):
            actual = f"{type(text).__name__} for text {place}"
            raise BuildError(f"translator {name} gave {actual}, expected str")
    return list(translated)


def generate_texts(teacher: TorchModel, options: Generate, context: BuildContext) -> list[str]:
    """Texts of the teacher, each with its prompt; the same seed gives the same texts.

    context.log gets how varied they are, and how many were cut before their end: with add_eos = true they are
    learnt as if they ended there. Raises BuildError for a teacher that writes no text, and for prompts.
    """
    if context.task.encode_prompts is not None:
        raise BuildError(
            "generate continues the text of rows, and rows of this task are prompts to answer; use the step "
            "sequence_distill"
        )
    prompts = _select_prompts(teacher, options, context)
    continuations = continue_prompts(
        teacher.network,
        teacher.tokenizer,
        prompts,
        options,
        seed=context.seed,
        on_progress=lambda done: context.progress("write", done, len(prompts)),
    )
    ids = [[*prompt, *tokens] for prompt, tokens in zip(prompts, continuations, strict=True)]
    texts = [str(text) for text in teacher.tokenizer.batch_decode(ids, skip_special_tokens=True)]
    context.log["written"] = {
        "rows": len(texts),
        "tokens": sum(map(len, continuations)),
        "unfinished": sum(len(tokens) == options.tokens for tokens in continuations),
        **{name: share and round(share, 4) for name, share in compute_diversity(texts).items()},
    }
    return texts


def _select_prompts(teacher: TorchModel, options: Generate, context: BuildContext) -> list[list[int]]:
    """The first tokens of train rows as the teacher reads them, each row once as long as there are some."""
    names: tuple[str, ...] = context.task.text_columns(context.task_params)
    if len(names) != 1:
        raise BuildError(f"generate: the task has text columns {', '.join(names)}, expected a single one")
    encoded = cast(
        "EncodedTexts",
        context.task.encode_rows(context.task_params, context.rows("train"), teacher.tokenizer),
    )
    rows = encoded.columns["input_ids"]
    if encoded.row_of is not None:
        rows = [rows[place] for place in np.unique(encoded.row_of, return_index=True)[1]]
    generator = np.random.default_rng(context.seed)
    rounds = -(-options.rows // len(rows))
    order = [place for _ in range(rounds) for place in generator.permutation(len(rows))]
    return [_select_first_tokens(rows[place], teacher.tokenizer, options) for place in order[: options.rows]]


def _select_first_tokens(
    ids: Sequence[int], tokenizer: PreTrainedTokenizerBase, options: Generate
) -> list[int]:
    """The first tokens, after the start token if there is one; a shorter row without its end token."""
    starts = int(ids[0] == find_start_token(tokenizer))
    if not starts and not options.prompt_tokens:
        raise BuildError(
            "generate: prompt_tokens = 0, but rows have no start token; set add_bos = true in [task]"
        )
    first = ids[starts : starts + options.prompt_tokens]
    return [*ids[:starts], *(token for token in first if token != tokenizer.eos_token_id)]


def make_transfer_rows(
    params: TransferParams,
    context: BuildContext,
    *,
    tokenizer: PreTrainedTokenizerBase,
    teacher: TorchModel | None = None,
) -> Rows | None:
    """The rows of `transfer`, `unlabelled`, `augment` and `generate`, each text once; None without any.

    Rows whose text occurs in calibration, selection, gate or `train` are dropped, and counted in context.log.
    tokenizer: its mask token replaces a masked word; teacher: the model that writes. Raises DataError if no
    row is left.
    """
    names = context.task.text_columns(context.task_params)
    if params.transfer or params.augment is not None:
        _check_text(context, names)
    sources = dict(_list_sources(params, context, names, tokenizer))
    if params.generate is not None:
        sources["written"] = {names[0]: generate_texts(cast("TorchModel", teacher), params.generate, context)}
    if not sources:
        return None
    log = {origin: len(columns[names[0]]) for origin, columns in sources.items()}
    texts = {name: [text for columns in sources.values() for text in columns[name]] for name in names}
    unseen, counts = _select_unseen(texts, context)
    context.log["transfer"] = {**log, **counts, "rows": len(unseen)}
    if not len(unseen):
        raise DataError(f"the transfer set has no row left: {context.log['transfer']}")
    return unseen


def _check_text(context: BuildContext, names: Sequence[str]) -> None:
    table = context.rows("train").table
    for name in names:
        if not (pa.types.is_string(table[name].type) or pa.types.is_large_string(table[name].type)):
            raise BuildError(
                f"transfer and augment make rows of text, and column {name} is not text; leave them out"
            )


def _list_sources(
    params: TransferParams, context: BuildContext, names: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> Iterator[tuple[str, Columns]]:
    """The sources of rows, by their names in the log, and their texts."""
    if params.transfer:
        yield "from_files", _read_files(params, context, names)
    if params.unlabelled:
        table = context.rows(UNLABELLED).table
        yield "from_unlabelled", {name: table[name].to_pylist() for name in names}
    options = params.augment
    if options is not None and options.changes_words:
        yield "augmented", _make_changed_rows(options, context, names, tokenizer)
    if options is not None and options.translator:
        texts = _select_copied_texts(options, context, names)
        yield "translated", {name: translate_texts(texts[name], options.translator) for name in names}


def _read_files(params: TransferParams, context: BuildContext, names: Sequence[str]) -> Columns:
    columns: Columns = {name: [] for name in names}
    for path in params.transfer:
        file = make_row_file(path)
        file_names = choose_text_columns(read_column_names(file), names, path)
        table = read_all_rows(file, scratch=context.scratch)
        for name in names:
            columns[name] += [str(value or "") for value in table[file_names[name]].to_pylist()]
    return columns


def _select_copied_texts(options: Augment, context: BuildContext, names: Sequence[str]) -> Columns:
    """The texts of train, and of the split unlabelled if its rows are copied too."""
    splits = ("train", UNLABELLED) if options.unlabelled else ("train",)
    tables = [context.rows(split).table for split in splits]
    return {name: [text for table in tables for text in table[name].to_pylist()] for name in names}


def _make_changed_rows(
    options: Augment, context: BuildContext, names: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> Columns:
    if options.word_mask and tokenizer.mask_token is None:
        raise BuildError(
            "augment: word_mask needs a tokenizer with a mask token, this one has none; use word_replace"
        )
    mask, columns = str(tokenizer.mask_token), _select_copied_texts(options, context, names)
    changed_columns: Columns = {}
    for place, name in enumerate(names):
        texts = [collapse_text(text) for text in columns[name]]
        changed_columns[name] = augment_texts(texts, options, mask=mask, seed=context.seed + place)
    return changed_columns


def _select_unseen(columns: Columns, context: BuildContext) -> tuple[Rows, dict[str, int]]:
    """Each text once, without those of other splits; how many were dropped, and why."""
    names = list(columns)
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    texts = collapse_texts(table, names)
    held_out = context.are_held_out(texts)
    known = set(collapse_texts(context.rows("train").table, names))
    counts = {"dropped_empty": 0, "dropped_held_out": 0, "dropped_repeats": 0}
    places = []
    for place, text in enumerate(texts):
        if not all(part for part in text.split(BETWEEN_TEXTS)):
            counts["dropped_empty"] += 1
        elif held_out[place]:
            counts["dropped_held_out"] += 1
        elif text in known:
            counts["dropped_repeats"] += 1
        else:
            known.add(text)
            places.append(place)
    remaining = table.take(pa.array(places, pa.int64()))
    return Rows(remaining.add_column(0, "id", [[f"transfer/{place}" for place in places]])), counts
