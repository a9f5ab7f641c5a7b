"""How an exported folder is used: lines that predict with only the plain library, and the servers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slimgate.cli.export.forms import Written
from slimgate.cli.export.tokenizer_file import FILE as TOKENIZER
from slimgate.models.gguf_encoder import ENCODER
from slimgate.models.special_tokens import find_start_token
from slimgate.plugins.runtime import BATCH, Form
from slimgate.plugins.task import Task

if TYPE_CHECKING:
    from slimgate.plugins.base import Json


VLLM, SGLANG, TRANSFORMERS, LLAMA_CPP = "vLLM", "SGLang", "transformers", "llama.cpp"
# The commands that start a server for a causal language model in its folder; {file}: the GGUF file.
_STARTS = {
    VLLM: "vllm serve .",
    SGLANG: "python -m sglang.launch_server --model-path .",
    LLAMA_CPP: "llama-server -m {file}",
}


@dataclass(frozen=True)
class Layout:
    """A format of weights. packages: what transformers needs to load it; options: of from_pretrained there,
    with {file} for the GGUF file; imports: names of transformers that the options need.
    """

    servers: tuple[str, ...]
    packages: tuple[str, ...] = ()
    options: str = ""
    imports: str = ""


ENCODER_FILE = "gguf of an encoder"
PLAIN = "plain"  # weights that are not quantized
CAUSAL_LM = "AutoModelForCausalLM"
_ROUNDED = "quantization_config=AutoRoundConfig()"
LAYOUTS = {
    PLAIN: Layout((VLLM, SGLANG, TRANSFORMERS)),
    "auto-round": Layout((VLLM, SGLANG, TRANSFORMERS), ("auto-round",)),
    "awq": Layout((VLLM, SGLANG, TRANSFORMERS), ("gptqmodel",)),
    "compressed-tensors": Layout((VLLM, SGLANG, TRANSFORMERS), ("compressed-tensors",)),
    "gguf": Layout((LLAMA_CPP, TRANSFORMERS), ("gguf",), 'gguf_file="{file}"'),
    # transformers reads no encoders from GGUF
    ENCODER_FILE: Layout((LLAMA_CPP,)),
    # auto-round loads it, which needs no GPU; gptqmodel would not need the option
    "gptq": Layout((VLLM, SGLANG, TRANSFORMERS), ("auto-round",), _ROUNDED, "AutoRoundConfig"),
    "torchao": Layout((VLLM, SGLANG, TRANSFORMERS), ("torchao",)),
}


def find_layout(written: Written) -> str | None:
    """The format's name in the table; None if the folder is not for servers."""
    return ENCODER_FILE if written.layout and written.auto == ENCODER else written.layout


def format_start_commands(written: Written) -> list[str]:
    """The lines that serve a causal language model from its folder, one for each server; empty for others."""
    layout = LAYOUTS.get(find_layout(written) or "")
    if layout is None or written.auto != CAUSAL_LM:
        return []
    starts = [_STARTS[server] for server in layout.servers if server in _STARTS]
    return [start.replace("{file}", written.gguf or "") for start in starts]


def describe_servers(layout: str | None) -> str | None:
    """`documented to load gptq: vLLM, SGLang, transformers`; None for a format that is not in the table."""
    layout_facts = LAYOUTS.get(layout or "")
    if layout_facts is None:
        return None
    name = "an unquantized folder" if layout == PLAIN else layout
    return f"documented to load {name}: {', '.join(layout_facts.servers)}"


TEXTS = ("Write a text of your own here.", "And another one.")


@dataclass(frozen=True)
class _Tokenizing:
    """The lines that make `tokenizer` and `labels`, and a `batch` of `texts`: arrays by the names of inputs.

    package: what pip installs. imports: for forms whose lines have {batch}; the lines of other forms import
    transformers themselves. labels_import: what only the line of labels needs.
    """

    package: str
    imports: str
    load: str
    batch: str
    labels_import: str
    labels: str


_BY_TRANSFORMERS = _Tokenizing(
    package="transformers",
    imports="from transformers import AutoConfig, AutoTokenizer\n",
    load='tokenizer = AutoTokenizer.from_pretrained(".")',
    batch='batch = tokenizer(texts, padding=True, truncation=True, return_tensors="np")',
    labels_import="",
    labels='labels = AutoConfig.from_pretrained(".").id2label',
)
_BY_TOKENIZERS = _Tokenizing(
    package="tokenizers",
    imports="from tokenizers import Tokenizer\n",
    load=f'tokenizer = Tokenizer.from_file("{TOKENIZER}")  # it cuts and pads texts',
    batch="rows = tokenizer.encode_batch_fast(texts)\n"
    "batch = {\n"
    '    "input_ids": np.array([row.ids for row in rows]),\n'
    '    "attention_mask": np.array([row.attention_mask for row in rows]),\n'
    '    "token_type_ids": np.array([row.type_ids for row in rows]),\n'
    "}",
    labels_import="import json\nfrom pathlib import Path\n",
    labels='stored = json.loads(Path("config.json").read_text("utf-8"))\n'
    'labels = {int(i): name for i, name in stored["id2label"].items()}',
)


def make_snippet(written: Written, form: Form, task: Task[Any] | type[Task[Any]], params: Json) -> str:
    """Python that prints a model's answers to two texts. params: of the task."""
    form = _choose_form(written, form)
    tail = _make_last_lines(written, form, task)
    tokenizing = _choose_tokenizing(written, form, tail)
    imports, load, predict = _fill_lines(written, form, tokenizing)
    labels = [tokenizing.labels] if _wants_labels(tail) else []
    body = [
        f"texts = {json.dumps(make_example_texts(written, params), ensure_ascii=False)}",
        tokenizing.load,
        *labels,
        load,
        predict,
        tail,
    ]
    imports = imports if labels else _remove_labels(imports)
    if any("np." in line for line in body):
        imports = f"import numpy as np\n{imports}"
    if labels:
        imports = tokenizing.labels_import + imports
    return "\n".join(["# run in this folder", imports, *body])


def make_code_lines(written: Written, form: Form) -> tuple[str, str, str]:
    """The lines that import, that open the folder ".", and that compute `scores` of `texts`."""
    form = _choose_form(written, form)
    tokenizing = _choose_tokenizing(written, form, tail="")
    imports, load, predict = _fill_lines(written, form, tokenizing)
    return _remove_labels(imports), f"{tokenizing.load}\n{load}", predict


def list_packages(
    written: Written, form: Form, task: Task[Any] | type[Task[Any]] | None = None
) -> tuple[str, str]:
    """The packages that the lines import: that of the form, and that of the tokenizer.

    task: of `make_snippet`; None: for `make_code_lines`, which prints nothing.
    """
    form = _choose_form(written, form)
    tail = _make_last_lines(written, form, task) if task is not None else ""
    return form.package, _choose_tokenizing(written, form, tail).package


def _choose_form(written: Written, form: Form) -> Form:
    """The form for models without an encoder, if the model is one."""
    decodes = not getattr(written.config, "is_encoder_decoder", False)
    return form.of_decoders if form.of_decoders is not None and decodes else form


def _choose_tokenizing(written: Written, form: Form, tail: str) -> _Tokenizing:
    """`tokenizers` if its file is enough, and if all lines work with it.

    config.json lacks labels that are LABEL_0 and LABEL_1, because these are transformers' default.
    """
    has_labels = not _wants_labels(tail) or "id2label" in written.config.to_diff_dict()
    if written.tokenizer_is_enough and may_call_tokenizers(form, tail) and has_labels:
        return _BY_TOKENIZERS
    return _BY_TRANSFORMERS


def may_call_tokenizers(form: Form, tail: str) -> bool:
    """Whether all lines work with a tokenizer of `tokenizers`. tail: the lines that print `scores`."""
    return BATCH in form.predict and "tokenizer" not in tail


def _wants_labels(tail: str) -> bool:
    return "labels[" in tail


def _remove_labels(imports: str) -> str:
    """Without AutoConfig, which only the line of labels uses."""
    return imports.replace("AutoConfig, ", "")


def _fill_lines(written: Written, form: Form, tokenizing: _Tokenizing) -> tuple[str, str, str]:
    """The lines that import, load and predict, with {auto}, {batch} and {prefix} replaced."""
    form_imports = form.imports + (tokenizing.imports if BATCH in form.predict else "")
    parts = (*_adapt_to_layout(written, form_imports, form.load_lines(written.runtime.params)), form.predict)
    imports, load, predict = (part.replace("{auto}", str(written.auto)) for part in parts)
    # All answers of some models begin with the same tokens, such as BART's.
    prefix = f", target_prefix=[{list(written.prefix)}] * len(tokens)" if written.prefix else ""
    return imports, load, predict.replace("{prefix}", prefix).replace(BATCH, tokenizing.batch)


def _adapt_to_layout(written: Written, imports: str, load: str) -> tuple[str, str]:
    """Imports and loading, with the options that transformers needs for the format of the weights."""
    layout = LAYOUTS.get(written.layout or "")
    if layout is None or not layout.options:
        return imports, load
    options = layout.options.replace("{file}", written.gguf or "")
    if layout.imports:
        imports = imports.replace("AutoTokenizer", f"{layout.imports}, AutoTokenizer")
    return imports, load.replace('(".")', f'(".", {options})')


def _make_last_lines(written: Written, form: Form, task: Task[Any] | type[Task[Any]]) -> str:
    """The lines that print `scores`: the form's or the task's.

    For pairs, `scores` is put into the order of the texts: their first half are the first texts of the pairs,
    the other half the second.
    """
    if form.tail:
        return form.tail
    return task.snippet_tail.replace("{scores}", "scores.transpose(1, 0, 2)" if written.pairs else "scores")


def make_example_texts(written: Written, params: Json) -> list[Any]:
    """Examples in the shape of the task's rows, according to its options."""
    if prompts := params.get("prompts"):
        return [prompt + text for prompt, text in zip([*prompts, prompts[-1]], TEXTS, strict=False)]
    columns = params.get("text") or ()
    if not isinstance(columns, str) and len(columns) == 2:
        return [list(TEXTS), list(TEXTS[::-1])]
    start_text, tokenizer = "", written.tokenizer
    if params.get("add_bos"):
        start = find_start_token(tokenizer)
        if tokenizer("a")["input_ids"][:1] != [start]:  # the tokenizer does not add it by itself
            start_text = str(tokenizer.convert_ids_to_tokens(start))
    return [start_text + text for text in TEXTS]
