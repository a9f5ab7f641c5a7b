"""The lines that predict with an exported folder and only the plain library. Run them inside the folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from slimgate.cli.export.forms import Written
from slimgate.cli.export.servers import LAYOUTS
from slimgate.plugins.runtime import Form
from slimgate.plugins.task import Task

if TYPE_CHECKING:
    from slimgate.plugins.base import Json

TEXTS = ("Write a text of your own here.", "And another one.")
_LABELS = 'labels = AutoConfig.from_pretrained(".").id2label'


def snippet(written: Written, form: Form, task: Task[Any] | type[Task[Any]], params: Json) -> str:
    """Python that prints a model's answers to two texts. params: of the task."""
    form = _form_of_model(written, form)
    imports, load, predict = _lines(written, form)
    tail = form.tail or _tail(written, task)
    wants_labels = "labels[" in tail
    texts = json.dumps(example_texts(written, params), ensure_ascii=False)
    lines = [
        "# run in this folder",
        ("import numpy as np\n" if "np." in tail else "") + _choose_imports(imports, wants_labels),
        f"texts = {texts}",
        'tokenizer = AutoTokenizer.from_pretrained(".")',
        *([_LABELS] if wants_labels else []),
        load,
        predict,
        tail,
    ]
    return "\n".join(lines)


def lines_of(written: Written, form: Form) -> tuple[str, str, str]:
    """The lines that import, that open the folder ".", and that compute `scores` of `texts`."""
    imports, load, predict = _lines(written, _form_of_model(written, form))
    return _choose_imports(imports, wants_labels=False), load, predict


def _form_of_model(written: Written, form: Form) -> Form:
    """The form for models without an encoder, if the model is one."""
    decodes = not getattr(written.config, "is_encoder_decoder", False)
    return form.of_decoders if form.of_decoders is not None and decodes else form


def _lines(written: Written, form: Form) -> tuple[str, str, str]:
    """The lines that import, load and predict, with {auto} and {prefix} replaced."""
    parts = (*_adapt_to_layout(written, form.imports, form.load), form.predict)
    imports, load, predict = (part.replace("{auto}", str(written.auto)) for part in parts)
    # All answers of some models begin with the same tokens, such as BART's.
    prefix = f", target_prefix=[{list(written.prefix)}] * len(tokens)" if written.prefix else ""
    return imports, load, predict.replace("{prefix}", prefix)


def _adapt_to_layout(written: Written, imports: str, load: str) -> tuple[str, str]:
    """Imports and loading, with the options that transformers needs for the format of the weights."""
    layout = LAYOUTS.get(written.layout or "")
    if layout is None or not layout.options:
        return imports, load
    options = layout.options.replace("{file}", written.gguf or "")
    if layout.imports:
        imports = imports.replace("AutoTokenizer", f"{layout.imports}, AutoTokenizer")
    return imports, load.replace('(".")', f'(".", {options})')


def _choose_imports(imports: str, wants_labels: bool) -> str:
    """The import of AutoConfig reads the labels, so it is left out if no line uses them."""
    return imports if wants_labels else imports.replace("AutoConfig, ", "")


def _tail(written: Written, task: Task[Any] | type[Task[Any]]) -> str:
    """The task's lines that print `scores`; for pairs, `scores` is put into the order of the texts."""
    # The first half of the texts are the first texts of the pairs, the other half the second.
    vectors = "scores.transpose(1, 0, 2)" if written.pairs else "scores"
    return task.snippet_tail.replace("{scores}", vectors)


def example_texts(written: Written, params: Json) -> list[Any]:
    """Examples in the shape of the task's rows, according to its options."""
    if prompts := params.get("prompts"):
        return [prompt + text for prompt, text in zip([*prompts, prompts[-1]], TEXTS, strict=False)]
    columns = params.get("text") or ()
    if not isinstance(columns, str) and len(columns) == 2:
        return [list(TEXTS), list(TEXTS[::-1])]
    bos, tokenizer = "", written.tokenizer
    if params.get("add_bos") and tokenizer("a")["input_ids"][:1] != [tokenizer.bos_token_id]:
        bos = str(tokenizer.bos_token)  # the tokenizer does not add it by itself
    return [bos + text for text in TEXTS]
