"""Text generation: the answer that a model writes to a prompt, and whether it is right.

[task]
kind = "text_generation"
prompt = "question"                  # text, or a list of messages for the model's chat template
reference = "answer"                 # text, or a list of texts that are all right
tools = "tools"                      # lists of OpenAI's tools, or their JSON text; references are then calls
scores = ["exact_match", { numeric = { tolerance = 0.01 } }, "mytools:polite"]
max_new_tokens = 64
stop = ["\\n\\n"]

Each score is a metric under the same name (slimgate/judge/scores/). Without references the answers are
compared with the teacher's: `same_answers` is the share that are equal. For the teacher it is the share that
stay the same when it answers again in other batches and on another number of threads: the noise floor.
`truncated`, `empty` and `looping` are shares of answers too, and take budgets as every metric does.

Answers are greedy by default. With a temperature, `repeats` answers are drawn for each prompt, and a row's
scores are their means. Models learn the reference after the prompt, and not the prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from slimgate.data.guess_input import ExaminedRows
from slimgate.errors import DataError, SuiteError, format_error
from slimgate.models.saved_files import check_language_model, load_tokenizer
from slimgate.plugins.base import Json
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.runtimes.endpoint import is_endpoint
from slimgate.tasks.parts.chat_rows import (
    check_is_chat,
    check_prompts,
    check_tools,
    read_prompts,
    read_row_tools,
    read_tool_texts,
)
from slimgate.tasks.parts.generation import (
    GenerationParams,
    GenerationTask,
    read_first_references,
    read_references,
)
from slimgate.tasks.parts.guess_prompts import guess_generation
from slimgate.tasks.parts.token_task import TokenTask

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slimgate.tasks.parts.endpoint_prompts import EndpointPrompts
    from slimgate.tasks.parts.language_model import Windows
    from slimgate.tasks.parts.prompts import Prompts


class Params(GenerationParams):
    """[task] of text generation."""

    prompt: str
    """The column of prompts: text, or lists of messages (role, content) for the model's chat template."""
    chat: bool = False
    """Put a prompt that is text into the model's chat template, as a user's message."""
    tools: str | None = None
    """The column of tools that a model may call: lists of OpenAI's tools, or their JSON text."""

    @property
    def default_scores(self) -> tuple[str, ...]:
        """The scores of calls if the task has tools, or else those of the base class."""
        if self.tools is None:
            return super().default_scores
        return ("tool_call_valid",) if self.reference is None else ("tool_call_exact", "tool_call_valid")


class TextGeneration(GenerationTask[Params], TokenTask[Params]):
    takes_endpoints = True
    snippet_tail = (
        "for text in texts:\n"
        "    prompt = tokenizer(text, return_tensors='pt')\n"
        "    written = model.generate(**prompt, max_new_tokens=64, do_sample=False)\n"
        "    print(tokenizer.decode(written[0, prompt['input_ids'].shape[1]:], skip_special_tokens=True))"
    )
    # A model writes its answer directly after its prompt, so padding is on the left.
    tokenizer_settings = MappingProxyType({"padding_side": "left", "truncation_side": "left"})
    guess_rank = 8

    def guess(self, sample: ExaminedRows) -> tuple[Json, str] | None:
        """Guesses prompts with right answers, for a language model."""
        return guess_generation(sample)

    def prompt_column(self, params: Params) -> str:
        """The column of prompts."""
        return params.prompt

    def columns(self, params: Params) -> tuple[str, ...]:
        """The columns of prompts, references and tools."""
        return (*super().columns(params), *(() if params.tools is None else (params.tools,)))

    def facts(self, params: Params, splits: Mapping[str, Rows]) -> TaskFacts:
        """No facts. Raises DataError for a row whose messages, tools or reference cannot be used."""
        for split, rows in splits.items():
            check_prompts(split, rows, params.prompt)
            if params.tools is not None:
                if not params.chat:
                    check_is_chat(rows, params.prompt)
                check_tools(split, rows, params.tools, read_references(params, rows))
        return super().facts(params, splits)

    def list_compared_texts(self, params: Params, rows: Rows, kind: str) -> list[list[str]]:
        """The references of each row; for the kind "tools" its tools."""
        if kind == "tools":
            return [[text] for text in read_tool_texts(rows, params.tools) or ()]
        return super().list_compared_texts(params, rows, kind)

    def check_model(self, params: Params, ref: ModelRef, config: Json, facts: TaskFacts | None) -> None:
        """Raises SuiteError if the model cannot serve this task, or its chat template ignores tools."""
        check_language_model(ref, config)
        # A suite is read without facts, and without loading transformers. For other models, the template is
        # checked when rows are encoded.
        if params.tools and facts and ref.folder and ref.file is None and not ref.fresh:
            _check_template(ref.folder, ref.text)

    def encode_rows(self, params: Params, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Windows:
        """Prompts with their references, for training."""
        from slimgate.tasks.parts.prompts import format_prompts, make_training_windows

        prompts, tools = read_prompts(rows, params.prompt), read_row_tools(rows, params.tools)
        texts = format_prompts(tokenizer, prompts, chat=params.chat, tools=tools)
        firsts = read_first_references(params, rows)
        return make_training_windows(tokenizer, texts, firsts, templated=is_templated(params, prompts))

    def row_encoder(self, params: Params, folder: Path) -> Callable[[Rows], Prompts | EndpointPrompts]:
        """An encoder of prompts with the tokenizer of an artifact. Those for an endpoint stay plain."""
        if is_endpoint(folder):
            return lambda rows: _make_prompts(params, rows)
        return super().row_encoder(params, folder)

    def encode_prompts(self, params: Params, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Prompts:
        """The prompts alone, encoded by a loaded tokenizer."""
        from slimgate.tasks.parts.prompts import encode_prompts, format_prompts

        prompts, tools = read_prompts(rows, params.prompt), read_row_tools(rows, params.tools)
        texts = format_prompts(tokenizer, prompts, chat=params.chat, tools=tools)
        return encode_prompts(tokenizer, texts, rows.ids, templated=is_templated(params, prompts))


task = TextGeneration()


def _make_prompts(params: Params, rows: Rows) -> EndpointPrompts:
    from slimgate.tasks.parts.endpoint_prompts import make_endpoint_prompts

    prompts, tools = read_prompts(rows, params.prompt), read_row_tools(rows, params.tools)
    return make_endpoint_prompts(prompts, rows.ids, chat=params.chat, tools=tools)


def _check_template(folder: Path, model: str) -> None:
    from slimgate.tasks.parts.prompts import check_template_shows_tools

    try:
        tokenizer = load_tokenizer(folder)
    except Exception as error:  # transformers may raise any error
        raise SuiteError(f"{model}: its tokenizer cannot be loaded: {format_error(error)}") from error
    try:
        check_template_shows_tools(tokenizer)
    except DataError as error:
        raise SuiteError(f"{model}: {error}") from error


def is_templated(params: Params, prompts: Sequence[object]) -> bool:
    """Whether the chat template has added the special tokens to the prompts."""
    return params.chat or any(not isinstance(prompt, str) for prompt in prompts)
