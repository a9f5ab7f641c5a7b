"""Lets a smaller draft model propose the tokens of greedy answers, which the model verifies.

    { speculative_decoding = { draft = "half", draft_tokens = 4 } }

The draft writes `draft_tokens` tokens one by one. One pass of the model then says which of them it would have
written itself, and gives the token after them (slimgate/models/speculative.py). So the answers stay those of
the model, and take fewer of its passes. The metric acceptance_length is the number of tokens per pass.

The artifact holds both models, unchanged. Put the step last: steps that change one of the two models come
before it, or belong to the draft's variant. The draft has the same tokenizer and vocabulary.

The step compares the answers to the calibration rows with those of the model alone. It fails if an answer
changes at a token whose score is clearly below the score of the expected token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from slimgate.errors import BuildError, SuiteError
from slimgate.judge.metrics.answers import MOST_DRAFT_TOKENS
from slimgate.models.saved_files import SPECULATIVE
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import VARIANT_NAME, Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from torch import nn

    from slimgate.models.speculative import SpeculativeModel
    from slimgate.models.torch_model import TorchModel


class Params(Table):
    draft: str = Field(pattern=VARIANT_NAME)
    """The variant that proposes tokens."""
    draft_tokens: int = Field(default=4, ge=1, le=MOST_DRAFT_TOKENS)
    """Number of tokens that the draft proposes for each pass of the model."""
    tolerance: float = Field(default=0.01, gt=0)
    """Largest allowed change, in standard deviations of the scores: how much higher the expected token may
    score at the first token that changes in an answer to a calibration row."""

    @model_validator(mode="after")
    def _check_other_model(self) -> Self:
        if self.draft in ("teacher", "self"):
            raise ValueError(
                f'draft = "{self.draft}" was given, expected a variant that is smaller than the model'
            )
        return self


class SpeculativeDecoding(Step[Params]):
    takes = frozenset({"torch", "torch_quantized"})
    gives = SPECULATIVE
    reads = ("calibration",)
    uses_teacher = True
    changes_weights = False
    teacher_option = "draft"
    code_modules = ("slimgate.models.speculative",)

    def learns_from(self, params: Params) -> str:
        """The draft, which is built first."""
        return params.draft

    def check(self, params: Params, config: Json) -> Json:
        """Returns the configuration. Raises SuiteError for a model that is no decoder."""
        names = config.get("architectures") or ()
        unsuited = [name for name in names if "For" in name and not name.endswith("ForCausalLM")]
        if unsuited or config.get("is_encoder_decoder"):
            name = next(iter(unsuited or names), "model of type " + str(config.get("model_type")))
            raise SuiteError(f"the model is a {name}, expected a decoder (…ForCausalLM)")
        return config

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> SpeculativeModel:
        """The model with its draft. Raises BuildError if the two do not fit, or if answers are drawn."""
        from slimgate.models.speculative import add_draft
        from slimgate.steps.answer_agreement import check_answers

        self.check(params, model.config.to_dict())
        refuse_drawn_answers(context)
        draft: Any = context.load_teacher()
        _check_draft(model, draft, params.draft)
        combined = add_draft(model, draft, params.draft_tokens)
        check_answers(model, combined, params.tolerance, context)
        return combined


step = SpeculativeDecoding()


def refuse_drawn_answers(context: BuildContext) -> None:
    """Raises BuildError if the task draws its answers, because a draft proposes the most likely tokens."""
    if temperature := getattr(context.task_params, "temperature", 0):
        raise BuildError(
            f"[task] temperature = {temperature:g} was given, but a draft proposes the most likely tokens; "
            "set temperature = 0, or leave the step out"
        )


def check_positions(config: Json, draft_config: Json, name: str) -> None:
    """Raises BuildError if the draft reads shorter texts than the model. name: of the draft."""
    from slimgate.models.config import read_max_positions

    longest, draft_longest = read_max_positions(config), read_max_positions(draft_config)
    if draft_longest is not None and (longest is None or draft_longest < longest):
        raise BuildError(
            f'draft "{name}" has positions for {draft_longest:,} tokens, the model for '
            f"{longest or 'any number'}; expected at least as many"
        )


def _check_draft(model: TorchModel, draft: object, name: str) -> None:
    """Raises BuildError if the draft cannot propose tokens to the model. name: of the draft."""
    from slimgate.models.torch_model import TorchModel

    if type(draft) is not TorchModel:
        raise BuildError(f'draft "{name}" is a {type(draft).__name__}, expected a network of PyTorch alone')
    for owner, network in (("the model", model.network), (f'draft "{name}"', draft.network)):
        if not _has_token_cache(network):
            raise BuildError(
                f"{owner} is a {type(network).__name__}, expected a decoder with a key-value cache from "
                "which tokens can be removed"
            )
    sizes = [side.config.vocab_size for side in (model, draft)]
    if sizes[0] != sizes[1] or model.tokenizer.get_vocab() != draft.tokenizer.get_vocab():
        raise BuildError(
            f'draft "{name}" has another vocabulary ({sizes[1]:,} tokens) than the model ({sizes[0]:,}); '
            "expected the same tokenizer and the same number of tokens"
        )
    check_positions(model.config.to_dict(), draft.config.to_dict(), name)
    if _has_equal_weights(model.network, draft.network):
        raise BuildError(f'draft "{name}" is the model itself, which saves no time; name a smaller variant')


def _has_token_cache(network: nn.Module) -> bool:
    """Whether it is a decoder that is not recurrent: tokens cannot be removed from a recurrent state."""
    from slimgate.models.generate import can_write
    from slimgate.models.write_answers import is_encoder_decoder

    recurrent = bool(getattr(network, "_is_stateful", False))
    return can_write(network) and not is_encoder_decoder(network) and not recurrent


def _has_equal_weights(network: nn.Module, other: nn.Module) -> bool:
    import torch

    weights, other_weights = network.state_dict(), other.state_dict()
    return weights.keys() == other_weights.keys() and all(
        tensor.dtype == other_weights[name].dtype and torch.equal(tensor, other_weights[name])
        for name, tensor in weights.items()
    )
