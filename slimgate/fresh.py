"""Models that start from random weights, and tokenizers trained on the rows: `model = "fresh:FOLDER"`.

The folder holds a config.json as transformers has it, and a tokenizer where one is to be used; else one of
the configuration's `vocab_size` is trained on the train rows: WordPiece for BERT's family, byte-level BPE for
all others (Devlin et al. 2019; Radford et al. 2019).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from slimgate.errors import BuildError
from slimgate.protocols import ModelRef

WORD_PIECE = frozenset({"bert", "distilbert", "electra", "mpnet"})
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model")


def tokenizer_of(ref: ModelRef, texts: Iterable[str], config: Any) -> Any:
    """The folder's tokenizer, or of a fresh model without one a trained one; `config` is fitted to it.

    texts: the train rows' (they are read only where one is trained). Raises BuildError.
    """
    from transformers import AutoTokenizer

    assert ref.folder is not None
    if not ref.fresh or any((ref.folder / name).is_file() for name in TOKENIZER_FILES):
        return AutoTokenizer.from_pretrained(ref.folder)
    tokenizer = trained_tokenizer(texts, family=config.model_type, size=_sized(config).vocab_size)
    fit_config(config, tokenizer)
    return tokenizer


def fresh_network(auto: str, ref: ModelRef, config: Any) -> Any:
    """A network of random weights, float32, by a transformers Auto class. The caller sets the seed."""
    import torch
    import transformers

    try:
        return getattr(transformers, auto).from_config(config).to(torch.float32)
    except (ValueError, KeyError) as error:
        said = " ".join(str(error).split())
        raise BuildError(f"{ref.text}: transformers cannot make it as {auto}: {said}") from error


def trained_tokenizer(texts: Iterable[str], *, family: str, size: int) -> Any:
    """A fast tokenizer of at most `size` tokens. Raises BuildError without texts."""
    from transformers import PreTrainedTokenizerFast

    kept = [text for text in texts if text.strip()]
    if not kept:
        raise BuildError(
            "a tokenizer is trained on the train rows, which hold no text; give one in the folder"
        )
    if family in WORD_PIECE:
        names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        return PreTrainedTokenizerFast(
            tokenizer_object=_word_piece(kept, size), mask_token="[MASK]", model_input_names=_INPUTS, **names
        )
    start, end = ("<|startoftext|>", "<|endoftext|>") if family.startswith("clip") else ("<|endoftext|>",) * 2
    trained = _byte_level(kept, size, list(dict.fromkeys(["<|pad|>", start, end])))
    if family.startswith("clip"):
        _framed(trained, start, end)
    return PreTrainedTokenizerFast(
        tokenizer_object=trained,
        bos_token=start,
        eos_token=end,
        unk_token=end,
        pad_token="<|pad|>",
        model_input_names=_INPUTS,
    )


_INPUTS = ["input_ids", "attention_mask"]


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


def _framed(tokenizer: Any, start: str, end: str) -> None:
    """Puts a text between its start and end tokens."""
    from tokenizers import processors

    ids = [(token, tokenizer.token_to_id(token)) for token in (start, end)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{start} $A {end}", special_tokens=ids)


def _word_piece(texts: list[str], size: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    ids = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    return tokenizer
