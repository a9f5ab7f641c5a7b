"""Lets a smaller GGUF model propose the tokens of greedy answers, which a GGUF model verifies in llama.cpp.

    steps = [{ to_gguf = { type = "Q8_0" } }, { gguf_draft = { draft = "half-q4", draft_tokens = 4 } }]

This is speculative decoding, as in `llama-server --model-draft`: the draft writes `draft_tokens` tokens one
by one, and one pass of the model says which of them it would have written itself, and gives the token
after them (slimgate/models/speculative.py). So the answers stay those of the model, and take fewer of its
passes. The metric acceptance_length is the number of tokens per pass.

The artifact holds both files, unchanged, and the runtime llama_cpp executes it. Put the step last. The draft
is a variant with a GGUF file of its own, and the same tokenizer.

The step compares the answers to the calibration rows with those of the model alone. It fails if an answer
changes at a token whose score is clearly below the score of the expected token.
"""

from __future__ import annotations

import filecmp
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from slimgate.errors import BuildError
from slimgate.models.llama_cpp_library import DISTRIBUTION, load_library
from slimgate.models.quantized_files import SERVED
from slimgate.models.saved_files import SPECULATIVE_GGUF
from slimgate.plugins.context import BuildContext
from slimgate.plugins.step import Step
from slimgate.steps.convert import speculative_decoding

if TYPE_CHECKING:
    from slimgate.models.gguf_model import GgufModel, SpeculativeGguf


class Params(speculative_decoding.Params):
    """The options of speculative_decoding. Quantized products round more, so the tolerance is larger."""

    tolerance: float = Field(default=0.05, gt=0)
    """Where an answer to a calibration row first changes, the expected token may score higher by at most
    this, in standard deviations of the scores."""


class GgufDraft(Step[Params]):
    takes = frozenset({SERVED, "gguf"})
    gives = SPECULATIVE_GGUF
    reads = ("calibration",)
    uses_teacher = True
    changes_weights = False
    teacher_option = "draft"
    packages = (DISTRIBUTION, "gguf")
    code_modules = ("slimgate.models.gguf_model", "slimgate.runtimes.llama_cpp")

    def learns_from(self, params: Params) -> str:
        """The draft, which is built first."""
        return params.draft

    def apply(self, model: Any, params: Params, context: BuildContext) -> SpeculativeGguf:
        """The model with its draft. Raises BuildError if the two do not fit, or if answers are drawn."""
        from slimgate.models.gguf_model import SpeculativeGguf
        from slimgate.steps.answer_agreement import check_answers

        load_library("step gguf_draft")
        speculative_decoding.refuse_drawn_answers(context)
        main = _open(model, "the model", context.scratch / "main")
        draft = _open(context.load_teacher(), f'draft "{params.draft}"', context.scratch / "draft")
        _check_draft(main, draft, params.draft)
        combined = SpeculativeGguf(
            main.file,
            main.tokenizer,
            main.config,
            main.stored,
            main.counts,
            draft=draft,
            draft_tokens=params.draft_tokens,
        )
        check_answers(main, combined, params.tolerance, context)
        return combined


step = GgufDraft()


def _open(model: Any, owner: str, scratch: Path) -> GgufModel:
    """The GGUF file of a model, with the model's tokenizer. Raises BuildError if it has none.

    owner: what an error calls the model.
    """
    from slimgate.models.gguf_model import GgufModel, SpeculativeGguf, open_gguf_model
    from slimgate.models.served import Served, find_gguf_file

    if isinstance(model, SpeculativeGguf):
        raise BuildError(f"{owner} already has a draft, expected a single GGUF file")
    file = model.file if isinstance(model, GgufModel) else None
    if isinstance(model, Served):
        file = find_gguf_file(model.folder)
    if file is None:
        raise BuildError(
            f"{owner} has no GGUF file, expected a result of the step to_gguf or a model that is a GGUF file"
        )
    scratch.mkdir(parents=True)
    opened = open_gguf_model(file, scratch)
    opened.tokenizer = model.tokenizer
    return opened


def _check_draft(main: GgufModel, draft: GgufModel, name: str) -> None:
    """Raises BuildError if the draft cannot propose tokens to the model. name: of the draft."""
    for owner, model in (("the model", main), (f'draft "{name}"', draft)):
        if getattr(model.config, "sentence", None) is not None:
            raise BuildError(f"{owner} is a sentence encoder, expected a decoder")
    if main.tokenizer.get_vocab() != draft.tokenizer.get_vocab():
        sizes = [len(model.tokenizer.get_vocab()) for model in (main, draft)]
        raise BuildError(
            f'draft "{name}" has another vocabulary ({sizes[1]:,} tokens) than the model ({sizes[0]:,}); '
            "expected the same tokenizer"
        )
    speculative_decoding.check_positions(vars(main.config), vars(draft.config), name)
    if filecmp.cmp(main.file, draft.file, shallow=False):
        raise BuildError(f'draft "{name}" is the model itself, which saves no time; name a smaller variant')
