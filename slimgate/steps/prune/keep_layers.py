"""Keeps some of the transformer's blocks and drops the others.

    { keep_layers = [0, 2, 5] }                               # blocks by number from 0, in running order
    { keep_layers = { encoder = [0, 2, 5], decoder = [0] } }  # of an encoder-decoder; default: all

A decoder runs once for each token that is written, its encoder once for the text: a shallow decoder saves the
most time (Kasai et al. 2021, Deep Encoder, Shallow Decoder).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Discriminator, RootModel, Tag, model_validator

from slimgate.errors import BuildError
from slimgate.models.config import (
    BlockNumbers,
    check_numbers,
    count_blocks,
    count_decoder_blocks,
    replace_block_counts,
)
from slimgate.plugins.base import Json
from slimgate.plugins.context import BuildContext
from slimgate.plugins.params import Table
from slimgate.plugins.step import Step

if TYPE_CHECKING:
    from slimgate.models.torch_model import TorchModel


class Lists(Table):
    """The numbers of the blocks that stay, for an encoder-decoder."""

    encoder: BlockNumbers | None = None
    """Indices (from 0) of the encoder's blocks to keep; default: all blocks."""
    decoder: BlockNumbers | None = None
    """Indices (from 0) of the decoder's blocks to keep; default: all blocks."""

    @model_validator(mode="after")
    def _check_stated(self) -> Self:
        stated = [numbers for numbers in (self.encoder, self.decoder) if numbers is not None]
        if not stated:
            raise ValueError("expected encoder, decoder or both, such as { decoder = [0, 5] }")
        for numbers in stated:
            _check_distinct(numbers)
        return self


def _find_form_tag(value: object) -> str:
    """The tag of the form of a value. The tags are in brackets, so that errors leave them out."""
    return "[table]" if isinstance(value, dict | Lists) else "[list]"


class Params(
    RootModel[
        Annotated[
            Annotated[BlockNumbers, Tag("[list]")] | Annotated[Lists, Tag("[table]")],
            Discriminator(_find_form_tag),
        ]
    ]
):
    """The numbers of the blocks that stay."""

    @model_validator(mode="after")
    def _check_blocks(self) -> Self:
        if not isinstance(self.root, Lists):
            _check_distinct(self.root)
        return self


class KeepLayers(Step[Params]):
    claims = ("smaller", "fewer_parameters", "faster")
    changes: tuple[str, ...] = ("blocks",)

    def resolve(self, params: Params) -> Step[Any]:
        """The step for encoder-decoders if `params` names both lists."""
        return KeepInBoth() if isinstance(params.root, Lists) else self

    def check(self, params: Params, config: Json) -> Json:
        """The configuration after the step. Raises SuiteError for a block that the model does not have."""
        assert not isinstance(params.root, Lists)
        check_numbers(params.root, count_blocks(config))
        return {**config, "num_hidden_layers": len(params.root)}

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with only these blocks; its configuration says how many there are."""
        from slimgate.models.block_choice import keep_blocks_
        from slimgate.models.blocks import find_only_block_list

        assert not isinstance(params.root, Lists)
        before = len(find_only_block_list(model.network))
        check_numbers(params.root, before)
        keep_blocks_(model, params.root)
        context.log.update(blocks_before=before, blocks_after=len(params.root))
        return model


class KeepInBoth(KeepLayers):
    """Keeps blocks of an encoder and of a decoder."""

    changes = ()

    def check(self, params: Params, config: Json) -> Json:
        """The configuration after the step. Raises SuiteError for an unknown block in either list."""
        lists = _read_lists(params)
        for option, numbers, blocks in (
            ("encoder", lists.encoder, count_blocks(config)),
            ("decoder", lists.decoder, count_decoder_blocks(config)),
        ):
            check_numbers(numbers or (), blocks, option)
        return replace_block_counts(config, _count_numbers(lists.encoder), _count_numbers(lists.decoder))

    def apply(self, model: TorchModel, params: Params, context: BuildContext) -> TorchModel:
        """The model with only these blocks. Raises BuildError for a model of one list."""
        from slimgate.models.block_choice import keep_stack_blocks_
        from slimgate.models.blocks import find_block_lists

        blocks_of_model, lists = find_block_lists(model.network), _read_lists(params)
        if len(blocks_of_model) != 2:
            raise BuildError(
                f"{type(model.network).__name__} has one list of blocks; write keep_layers = [0, 2]"
            )
        before = [len(blocks) for blocks in blocks_of_model.values()]
        remaining = [
            tuple(range(count)) if numbers is None else numbers
            for numbers, count in zip((lists.encoder, lists.decoder), before, strict=True)
        ]
        for option, numbers, count in zip(("encoder", "decoder"), remaining, before, strict=True):
            check_numbers(numbers, count, option)
        keep_stack_blocks_(model, *remaining)
        after = [len(numbers) for numbers in remaining]
        context.log.update(blocks_before=before, blocks_after=after)
        if model.config.model_type == "t5" and after[0] < after[1]:
            context.log["warning"] = (
                "transformers sizes the cache of a T5 by its encoder: for `generate` outside of slimgate "
                "give the cache EncoderDecoderCache(DynamicCache(), DynamicCache())"
            )
        return model


step = KeepLayers()


def _read_lists(params: Params) -> Lists:
    assert isinstance(params.root, Lists)
    return params.root


def _count_numbers(numbers: tuple[int, ...] | None) -> int | None:
    return None if numbers is None else len(numbers)


def _check_distinct(value: tuple[int, ...]) -> None:
    if not value:
        raise ValueError("[] was given, expected the numbers of the blocks to keep, such as [0, 2, 5]")
    if len(set(value)) < len(value):
        raise ValueError(f"{list(value)} was given, expected each block once")
