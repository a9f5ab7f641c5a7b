"""Rows for a student to learn from that its teacher has written.

Source: Kim & Rush 2016 (Sequence-Level Knowledge Distillation), section 3.2, by sampling in place of a beam.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from slimgate.compress.training.generation_params import Generate
from slimgate.errors import BuildError
from slimgate.models.writing import continued
from slimgate.protocols import BuildContext
from slimgate.tasks.parts.diversity import diversity


def written_texts(teacher: Any, options: Generate, context: BuildContext) -> list[str]:
    """Texts of the teacher, each with its prompt; the same seed gives the same texts.

    context.log gets how varied they are, and how many were cut before their end: with add_eos = true they are
    learnt as if they ended there. Raises BuildError for a teacher that writes no text.
    """
    prompts = _prompts(teacher, options, context)
    new = continued(
        teacher.network,
        teacher.tokenizer,
        prompts,
        options,
        seed=context.seed,
        seen=lambda done: context.progress("write", done, len(prompts)),
    )
    ids = [[*prompt, *more] for prompt, more in zip(prompts, new, strict=True)]
    texts = [str(text) for text in teacher.tokenizer.batch_decode(ids, skip_special_tokens=True)]
    shares = {name: share and round(share, 4) for name, share in diversity(texts).items()}
    cut = sum(len(more) == options.tokens for more in new)
    context.log["written"] = {"rows": len(texts), "tokens": sum(map(len, new)), "unfinished": cut, **shares}
    return texts


def _prompts(teacher: Any, options: Generate, context: BuildContext) -> list[list[int]]:
    """The first tokens of train rows as the teacher reads them, each row once as long as there are some."""
    names: tuple[str, ...] = context.task.text_columns(context.task_params)
    if len(names) != 1:
        raise BuildError(f"generate: the task has text columns {', '.join(names)}, expected a single one")
    encoded = context.task.encode_rows(context.task_params, context.rows("train"), teacher.tokenizer)
    rows = encoded.columns["input_ids"]
    if encoded.row_of is not None:
        rows = [rows[place] for place in np.unique(encoded.row_of, return_index=True)[1]]
    generator = np.random.default_rng(context.seed)
    rounds = -(-options.rows // len(rows))
    order = [place for _ in range(rounds) for place in generator.permutation(len(rows))]
    return [_first(rows[place], teacher.tokenizer, options) for place in order[: options.rows]]


def _first(ids: Sequence[int], tokenizer: Any, options: Generate) -> list[int]:
    """So many tokens, and the start token before them where there is one; a shorter row without its end."""
    starts = int(ids[0] == tokenizer.bos_token_id)
    if not starts and not options.prompt_tokens:
        raise BuildError(
            "generate: prompt_tokens = 0, but rows have no start token; set add_bos = true in [task]"
        )
    first = ids[starts : starts + options.prompt_tokens]
    return [*ids[:starts], *(token for token in first if token != tokenizer.eos_token_id)]
