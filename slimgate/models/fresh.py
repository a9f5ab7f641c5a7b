"""Models that start from random weights, and tokenizers trained on the rows: `model = "fresh:FOLDER"`.

The folder holds a config.json as transformers has it, and a tokenizer where one is to be used; else one of
the configuration's `vocab_size` is trained on the train rows: byte-level BPE (Radford et al. 2019), which,
unlike the WordPiece trainer of `tokenizers`, gives the same tokens for the same texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from slimgate.errors import BuildError
from slimgate.models.tokenizer_files import check_tokenizer, has_tokenizer
from slimgate.protocols import ModelRef

_DECODER = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"}
_ENCODER = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
_SPECIAL = {
    "clip": {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"},
}


def tokenizer_of(ref: ModelRef, texts: Iterable[str], config: Any) -> Any:
    """The folder's tokenizer, or of a fresh model without one a trained one; `config` is fitted to it.

    texts: the train rows' (they are read only where one is trained). Raises BuildError, and SuiteError for a
    folder with weights and without a tokenizer.
    """
    from transformers import AutoTokenizer

    assert ref.folder is not None
    check_tokenizer(ref)
    if not ref.fresh or has_tokenizer(ref.folder):
        return AutoTokenizer.from_pretrained(ref.folder, trust_remote_code=False)
    tokenizer = trained_tokenizer(texts, family=config.model_type, size=_sized(config).vocab_size)
    fit_config(config, tokenizer)
    return tokenizer


def fresh_network(auto: str, ref: ModelRef, config: Any) -> Any:
    """A network of random weights, float32, by a transformers Auto class. The caller sets the seed."""
    import torch
    import transformers

    try:
        return getattr(transformers, auto).from_config(config, trust_remote_code=False).to(torch.float32)
    except (ValueError, KeyError) as error:
        said = " ".join(str(error).split())
        raise BuildError(f"{ref.text}: transformers cannot make it as {auto}: {said}") from error


def trained_tokenizer(texts: Iterable[str], *, family: str, size: int) -> Any:
    """A fast byte-level BPE tokenizer of at most `size` tokens, the same for the same texts.

    family: a configuration's model_type; decoders get texts as they are, others framed by a start and an end.
    Raises BuildError without texts.
    """
    from transformers import PreTrainedTokenizerFast

    kept = [text for text in texts if text.strip()]
    if not kept:
        raise BuildError("the train rows hold no text to train a tokenizer on; put one in the folder")
    names = _SPECIAL.get(family.split("_")[0], _DECODER if _decodes(family) else _ENCODER)
    trained = _byte_level(kept, size, list(dict.fromkeys(names.values())))
    if not _decodes(family):
        _frame(trained, names["bos_token"], names["eos_token"])
    return PreTrainedTokenizerFast(
        tokenizer_object=trained, model_input_names=["input_ids", "attention_mask"], **names
    )


def _decodes(family: str) -> bool:
    """Whether transformers has it as a language model that reads from left to right, and as no other."""
    from transformers.models.auto import modeling_auto as auto

    return (
        family in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        and family not in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )


def fit_config(config: Any, tokenizer: Any) -> None:
    """The size of the vocabulary and the special tokens' numbers, as the tokenizer has them."""
    inner = _sized(config)
    inner.vocab_size = len(tokenizer)
    for name in ("bos", "eos", "pad"):
        setattr(inner, f"{name}_token_id", getattr(tokenizer, f"{name}_token_id"))


def _sized(config: Any) -> Any:
    """The configuration that has the vocabulary: of two towers, the text's."""
    return getattr(config, "text_config", config)


def _byte_level(texts: list[str], size: int, special: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _frame(tokenizer: Any, start: str, end: str) -> None:
    """Puts a text, and each text of a pair, between start and end."""
    from tokenizers import processors

    ids = [(token, tokenizer.token_to_id(token)) for token in (start, end)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", pair=f"{start} $A {end} $B {end}", special_tokens=ids
    )
