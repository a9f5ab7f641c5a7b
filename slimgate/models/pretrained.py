"""Networks of transformers' folders: in the dtype of their weights, without output, and without pickles.

It also makes models with random weights, and tokenizers trained on the rows: `model = "fresh:FOLDER"`.

The folder holds a config.json of transformers, and may hold a tokenizer. Without one, slimgate trains a
tokenizer of the configuration's `vocab_size` on the train rows: byte-level BPE (Radford et al. 2019), which,
unlike the WordPiece trainer of `tokenizers`, gives the same tokens for the same texts.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slimgate.errors import BuildError, to_one_line
from slimgate.models.gguf_file import link_alone
from slimgate.models.saved_files import check_tokenizer, describe_names, find_main_dtype, has_tokenizer
from slimgate.models.special_tokens import keep_end_tokens_
from slimgate.plugins.context import BuildContext
from slimgate.plugins.models import ModelRef

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

BYTES = 256
# The pooler comes after the encoder, and most heads do not use it.
POOLER = "pooler"
_DECODER = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"}
_ENCODER = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
_ENCODER_DECODER = {"eos_token": "</s>", "pad_token": "<pad>"}
_SPECIAL = {
    "clip": {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"},
}


@dataclass(frozen=True)
class Weights:
    """A network, and how it fits its files.

    missing: names of its weights that the files do not hold (in that shape); unused: names in the files that
    it has no weight for.
    """

    network: PreTrainedModel
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def select_encoder_names(self, names: list[str]) -> list[str]:
        """The names that belong to the transformer itself: neither to a head nor to its pooler."""
        prefix = f"{self.network.base_model_prefix}."
        parts = {name for name, _ in self.network.base_model.named_children()} - {POOLER}
        return [name for name in names if name.removeprefix(prefix).partition(".")[0] in parts]


def require_weights(
    ref: ModelRef, weights: Weights, context: BuildContext, *, new_head: bool = False
) -> None:
    """Raises BuildError if the files do not hold the model that is to be judged.

    new_head: the task makes one, so that all weights except the encoder's may be missing. A variant
    (ref.new_head is not None) must use everything in its files; for a teacher, unused weights are a warning.
    """
    missing = weights.select_encoder_names(weights.missing) if new_head else weights.missing
    if missing:
        raise BuildError(
            f"{ref.text}: its files lack {describe_names(missing)} of the weights that its config.json "
            "asks for; save the whole model again, or name the folder with the whole model"
        )
    if ref.new_head is None:
        if unused := weights.select_encoder_names(weights.unused):
            context.log["warning"] = f"its files hold weights that are not used: {describe_names(unused)}"
        return
    if ref.new_head:
        unused = weights.select_encoder_names(weights.unused)
    else:  # checkpoints of RoBERTa and others hold a pooler, which models with a head lack
        unused = [name for name in weights.unused if POOLER not in name.split(".")]
    if unused:
        has_encoder_weights = bool(weights.select_encoder_names(unused))
        hint = "" if has_encoder_weights else "; set new_head = true if this head may be left out"
        raise BuildError(
            f"{ref.text}: {type(weights.network).__name__} cannot load {describe_names(unused)} of the "
            "weights in its files, so a different model would be judged; correct its config.json, or save "
            f"the model again{hint}"
        )


def load_weights(auto: str, ref: ModelRef, *, dtype: str | None = None, **options: object) -> Weights:
    """The network of a reference, and which weights its files lack or have in excess.

    The configuration of a decoder gets the end tokens of its generation_config.json too.

    dtype: the network's dtype if the suite asks for none; None: that of its weights. options: of
    from_pretrained; for a fresh model, `config` is needed, and nothing is missing.
    """
    if ref.fresh:
        return Weights(make_fresh_network(auto, ref, options["config"]))
    assert ref.folder is not None
    with forbid_code(ref.text), name_broken_file(ref):
        if ref.stored is not None:
            from slimgate.models.checkpoint import read_network

            network, info = read_network(
                auto, ref.folder, file=ref.file, dtype=ref.dtype, text=ref.text, **options
            )
        else:
            network, info = _read_folder(auto, ref, dtype, options)
    keep_end_tokens_(network)
    # if they may be ignored, else from_pretrained raises
    mismatched = [name for name, *_ in info["mismatched_keys"]]
    return Weights(network, sorted({*info["missing_keys"], *mismatched}), sorted(info["unexpected_keys"]))


def _read_folder(auto: str, ref: ModelRef, dtype: str | None, options: dict[str, object]) -> tuple[Any, Any]:
    import torch
    import transformers

    assert ref.folder is not None
    dtype_name = ref.dtype or dtype or find_main_dtype(ref.folder)
    try:
        with quiet_transformers():
            loaded: tuple[Any, Any] = getattr(transformers, auto).from_pretrained(
                ref.folder,
                dtype="auto" if dtype_name is None else getattr(torch, dtype_name),
                weights_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                **options,
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        problem = to_one_line(error)
        if "ignore_mismatched_sizes" in problem:  # the report that this error names is switched off
            problem = (
                "weights in its files have other shapes than its config.json asks for (hidden_size, number "
                "of labels, …); correct config.json, or save the model again"
            )
        raise BuildError(f"{ref.text}: transformers cannot load it as {auto}: {problem}") from error
    return loaded


@contextmanager
def forbid_code(text: str) -> Iterator[None]:
    """A context for torch to read a .bin with weights_only. Raises BuildError if it holds anything else."""
    try:
        yield
    except pickle.UnpicklingError as error:  # torch's message advises to load it anyway
        raise BuildError(
            f"{text}: its .bin file contains more than numbers, and loading it could run code, so it is "
            "not loaded; if you trust the file, save the model as safetensors yourself"
        ) from error


@contextmanager
def name_broken_file(ref: ModelRef) -> Iterator[None]:
    """A context for loading safetensors. Raises BuildError that names the file that cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        yield
    except SafetensorError as error:
        assert ref.folder is not None
        for file in sorted(ref.folder.glob("*.safetensors")):
            try:
                with safe_open(file, "np"):
                    pass
            except SafetensorError as problem:
                raise BuildError(
                    f"{ref.text}: {file.name} is not a complete safetensors file ({problem}); copy or "
                    "download it again"
                ) from error
        raise BuildError(f"{ref.text}: its safetensors files cannot be read: {error}") from error


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Turns off transformers' progress bars and load report: the log or an error has the relevant facts."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def load_config(ref: ModelRef) -> Any:
    """The configuration of transformers, from config.json or a GGUF file."""
    from transformers import AutoConfig

    of_gguf = {} if ref.file is None else {"gguf_file": ref.file}
    return AutoConfig.from_pretrained(ref.folder, trust_remote_code=False, **of_gguf)


def load_or_train_tokenizer(ref: ModelRef, texts: Iterable[str], config: PreTrainedConfig) -> Any:
    """The folder's tokenizer, or a trained one for a fresh model without one; `config` is adapted to it.

    texts: the train rows' texts, read only if one is trained. Raises BuildError, and SuiteError for a
    folder with weights and without a tokenizer.
    """
    from transformers import AutoTokenizer

    assert ref.folder is not None
    check_tokenizer(ref)
    if ref.file is not None:
        with link_alone(ref.folder / ref.file) as folder:
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, gguf_file=ref.file)
    if not ref.fresh or has_tokenizer(ref.folder):
        return AutoTokenizer.from_pretrained(ref.folder, trust_remote_code=False)
    tokenizer = train_tokenizer(
        texts, family=config.model_type, size=_find_vocabulary_config(config).vocab_size
    )
    fit_config(config, tokenizer)
    return tokenizer


def make_fresh_network(auto: str, ref: ModelRef, config: PreTrainedConfig) -> Any:
    """A network of random weights, float32, by a transformers Auto class. The caller sets the seed.

    Raises BuildError if the class does not fit the configuration, or no network has this configuration.
    """
    import torch
    import transformers

    try:
        return getattr(transformers, auto).from_config(config, trust_remote_code=False).to(torch.float32)
    except (ValueError, LookupError, ArithmeticError, RuntimeError, TypeError, AttributeError) as error:
        problem = to_one_line(error)
        raise BuildError(f"{ref.text}: transformers cannot make it as {auto}: {problem}") from error


def train_tokenizer(texts: Iterable[str], *, family: str, size: int) -> Any:
    """A fast byte-level BPE tokenizer of at most `size` tokens, the same for the same texts.

    family: a configuration's model_type. For decoders texts stay unchanged, for encoder-decoders they get an
    end token, for others a start and an end token. Raises BuildError without texts, and for a size without
    room for all bytes and the special tokens.
    """
    from transformers import PreTrainedTokenizerFast

    filled = [text for text in texts if text.strip()]
    if not filled:
        raise BuildError(
            "the train rows have no text to train a tokenizer on; put a tokenizer into the folder"
        )
    names = _choose_special_tokens(family)
    special = list(dict.fromkeys(names.values()))
    if size < (min_size := BYTES + len(special)):
        raise BuildError(
            f"vocab_size = {size} in config.json, expected at least {min_size}: {BYTES} bytes and "
            f"{len(special)} special tokens; raise it, or put a tokenizer into the folder"
        )
    trained = _train_byte_level(filled, size, special)
    if names is not _DECODER:
        _frame_texts(trained, names.get("bos_token"), names["eos_token"])
    return PreTrainedTokenizerFast(
        tokenizer_object=trained, model_input_names=["input_ids", "attention_mask"], **names
    )


def _choose_special_tokens(family: str) -> dict[str, str]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES

    if family in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return _ENCODER_DECODER
    return _SPECIAL.get(family.split("_")[0], _DECODER if _is_decoder(family) else _ENCODER)


def _is_decoder(family: str) -> bool:
    """Whether transformers has the family only as a language model that reads from left to right."""
    from transformers.models.auto import modeling_auto as auto

    return (
        family in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        and family not in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )


def fit_config(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Sets the vocabulary's size and the special tokens' ids to those of the tokenizer."""
    inner = _find_vocabulary_config(config)
    # An encoder-decoder begins its answer with the padding token (T5, Marian) or the end token (BART).
    begins_with_end = getattr(inner, "decoder_start_token_id", None) == inner.eos_token_id
    inner.vocab_size = len(tokenizer)
    for name in ("bos", "eos", "pad"):
        setattr(inner, f"{name}_token_id", getattr(tokenizer, f"{name}_token_id"))
    if getattr(inner, "is_encoder_decoder", False):
        inner.decoder_start_token_id = inner.eos_token_id if begins_with_end else inner.pad_token_id


def _find_vocabulary_config(config: PreTrainedConfig) -> Any:
    """The part of the configuration that has the vocabulary: for two towers, the text's."""
    return getattr(config, "text_config", config)


def _train_byte_level(texts: list[str], size: int, special: list[str]) -> Any:
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


def _frame_texts(tokenizer: Tokenizer, start: str | None, end: str) -> None:
    """Puts a text, and each text of a pair, between start and end. start: None for no start token."""
    from tokenizers import processors

    ids = [(token, tokenizer.token_to_id(token)) for token in (start, end) if token]
    single = f"{start or ''} $A {end}".strip()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=f"{single} $B {end}", special_tokens=ids
    )
