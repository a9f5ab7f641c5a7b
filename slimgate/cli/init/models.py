"""Reads from config.json which shape the model of a new suite has, and whether its head fits the task."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from slimgate._system.json_text import read_json
from slimgate.cli.init.guessing import join_texts
from slimgate.data.labels import find_output_order
from slimgate.errors import SuiteError, did_you_mean
from slimgate.models.config import list_model_labels, read_max_positions
from slimgate.models.hub import fetch_settings
from slimgate.models.model_ref import FRESH, TORCH, parse_model_ref, read_config, read_model_config
from slimgate.models.saved_files import check_tokenizer
from slimgate.tasks.parts.classifiers import Head, has_head

if TYPE_CHECKING:
    import pyarrow as pa
    from tokenizers import Encoding

Readiness = Literal["ready", "other labels", "headless", "fresh"]
# The share of unknown tokens from which a row is unreadable, as in run/measure/quality.py, which imports more
# than this command needs.
UNREADABLE = 0.2
_MOST_COUNTED_ROWS = 2000


@dataclass(frozen=True)
class ModelSettings:
    """The settings of the model that --model names, in a folder or on the hub.

    text: the model, as a suite names it. folder: the folder of its settings; config: its config.json. fresh:
    whether its weights are new.
    """

    text: str
    folder: Path
    config: dict[str, Any]
    fresh: bool

    @property
    def blocks(self) -> int | None:
        """How many transformer blocks it has; None if it has two stacks, or does not say."""
        if self.encoder_decoder:
            return None
        return self._read_number("num_hidden_layers", "n_layers", "n_layer")

    @property
    def stacks(self) -> Mapping[str, int]:
        """How many blocks the encoder and the decoder have; empty for one stack, or if unknown."""
        if not self.encoder_decoder:
            return {}
        encoder = self._read_number("encoder_layers", "num_layers")
        decoder = self._read_number("decoder_layers", "num_decoder_layers", "num_layers")
        return {} if encoder is None or decoder is None else {"encoder": encoder, "decoder": decoder}

    @property
    def width(self) -> int | None:
        """The size of its hidden states; None if it does not say."""
        return self._read_number("hidden_size", "dim", "n_embd")

    @property
    def longest(self) -> int | None:
        """How many tokens it has positions for."""
        return read_max_positions(self.config)

    @property
    def causal(self) -> bool:
        """Whether it is a language model, which predicts next tokens."""
        names = self.config.get("architectures") or ()
        return any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names)

    @property
    def encoder_decoder(self) -> bool:
        """Whether it reads a text and writes another one, as T5, BART and Marian do."""
        return bool(self.config.get("is_encoder_decoder"))

    @property
    def has_chat_template(self) -> bool:
        """Whether its tokenizer has a chat template, in a separate file or in its settings."""
        if (self.folder / "chat_template.jinja").is_file():
            return True
        settings = self.folder / "tokenizer_config.json"
        return settings.is_file() and bool(read_json(settings).get("chat_template"))

    def _read_number(self, *keys: str) -> int | None:
        number = next((self.config[key] for key in keys if key in self.config), None)
        return number if isinstance(number, int) else None

    def judge_readiness(self, auto: str | None, classes: Sequence[str], stated: Sequence[str]) -> Readiness:
        """How ready it is for the task without training.

        "headless": its head has to be trained first; "fresh": the whole model has to be trained first.

        auto: transformers' class of models that can do the task, None if any can; classes: the labels of the
        data, empty for numbers; stated: the data's label of each output, if the suite states it.
        """
        if self.fresh:
            return "fresh"
        if auto is None:
            return "ready"
        head = Head(auto, tuple(classes) or ("score",), ordered=bool(classes))
        if not has_head(head, self.config):
            return "headless"
        try:
            if head.ordered:
                find_output_order(
                    list_model_labels(self.config), head.names, tuple(stated) or None, self.text
                )
        except SuiteError:
            return "other labels"
        return "ready"


def find_model(text: str, folder: Path) -> ModelSettings:
    """The model that --model names, under its name in a suite in `folder`. Raises SlimgateError."""
    ref = parse_model_ref(text)
    fresh = text.startswith(FRESH)
    if ref.folder is None:
        if ref.revision is None:
            _check_not_mistyped(text)
        settings = fetch_settings(ref)
        return ModelSettings(text, settings, read_config(settings), fresh=False)
    check_tokenizer(ref)
    in_suite = text
    if not text.startswith("package:"):
        relative_path = Path(os.path.relpath(ref.folder, folder)).as_posix()
        in_suite = f"{FRESH}{relative_path}" if fresh else relative_path
    if ref.stored is not None:
        raise SuiteError(
            f"--model {text}: this model is already quantized ({ref.stored['format']}, "
            f"{ref.stored['scheme']}), expected the floating-point model that variants are made from. Name "
            f"the floating-point model, and add the quantized model to the suite: released = {{ model = "
            f'"{in_suite}" }}'
        )
    if ref.kind != TORCH:
        raise SuiteError(
            f"--model {text}: the folder contains a graph ({ref.kind}), expected the PyTorch model that "
            "variants are made from. Name the PyTorch model, and add the graph to the suite: released = { "
            f'model = "{in_suite}" }}'
        )
    return ModelSettings(in_suite, ref.folder, read_model_config(ref), fresh)


def _check_not_mistyped(text: str) -> None:
    """Raises SuiteError if a hub id is nearly the path of a local folder that holds a model.

    "models/minlm" may mean models/minilm: only the last part of the path is compared.
    """
    place, name = Path(text).parent, Path(text).name
    if not place.is_dir():
        place, name = Path(), text
    neighbours = [folder for folder in place.iterdir() if (folder / "config.json").is_file()]
    if did_you_mean(name, [folder.name for folder in neighbours]):
        suggestion = did_you_mean(text, [folder.as_posix() for folder in neighbours])
        raise SuiteError(
            f"--model {text}: no such folder{suggestion} For a model of the hub, add a revision: {text}@main"
        )


@dataclass(frozen=True)
class TokenCounts:
    """The tokens of the examined rows.

    counts: the tokens of each row. unreadable: the share of the rows in which too many tokens are unknown.
    """

    counts: list[int]
    unreadable: float = 0.0


def count_tokens(model: ModelSettings, table: pa.Table, columns: tuple[str, ...]) -> TokenCounts:
    """Counts the tokens of some rows with the model's tokenizer; estimates them without a tokenizer.json."""
    # spread over the file, because files may be sorted
    positions = np.linspace(0, table.num_rows - 1, min(_MOST_COUNTED_ROWS, table.num_rows)).astype(int)
    texts = join_texts(table.take(positions), columns)
    tokenizer = None if model.fresh else _read_tokenizer(model.folder / "tokenizer.json")
    if tokenizer is None:
        return TokenCounts(
            [max(len(text.split()) * 3 // 2, len(text) // 4) + 1 + len(columns) for text in texts]
        )
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encodings = tokenizer.encode_batch(texts)
    unknown = getattr(tokenizer.model, "unk_token", None)  # byte-level models and Unigram have none
    return TokenCounts(
        [len(encoding.ids) + len(columns) - 1 for encoding in encodings],
        sum(_is_unreadable(encoding, unknown) for encoding in encodings) / max(len(encodings), 1),
    )


def _is_unreadable(encoding: Encoding, unknown: str | None) -> bool:
    """Whether the tokenizer does not know one token in five or more."""
    pairs = zip(encoding.tokens, encoding.special_tokens_mask, strict=True)
    words = [token for token, special in pairs if not special]
    return unknown is not None and words.count(unknown) >= UNREADABLE * max(len(words), 1)


def _read_tokenizer(file: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(file))
    except Exception:  # tokenizers raises only Exception, also if there is no such file
        return None
