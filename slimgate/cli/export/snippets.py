"""The lines that predict with an exported folder and nothing but the plain library. Run them inside of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from slimgate.cli.export.forms import Written
from slimgate.protocols import Form

TEXTS = ("Write a text of your own here.", "And another one.")
_LABELS = 'labels = AutoConfig.from_pretrained(".").id2label'
# What a task makes of scores (rows, …); task -> (whether it names labels, lines).
_SOFTMAX = (
    "shares = np.exp(scores - scores.max(-1, keepdims=True))\nshares /= shares.sum(-1, keepdims=True)\n"
)
_BY_LABEL = "    print(text, {labels[k]: round(float(p), 4) for k, p in enumerate(row)})"
_TAILS = {
    "text_classification": (True, f"{_SOFTMAX}for text, row in zip(texts, shares):\n{_BY_LABEL}"),
    "multi_label": (
        True,
        f"shares = 1 / (1 + np.exp(-scores))\nfor text, row in zip(texts, shares):\n{_BY_LABEL}",
    ),
    "token_classification": (
        True,
        "# a word's tag is that of its first token\n"
        "added = set(tokenizer.all_special_tokens) - {tokenizer.unk_token}\n"
        "for ids, row in zip(batch['input_ids'], scores.argmax(-1)):\n"
        "    tokens = tokenizer.convert_ids_to_tokens(ids)\n"
        "    print([(t, labels[int(k)]) for t, k in zip(tokens, row) if t not in added])",
    ),
    "text_regression": (False, "for text, row in zip(texts, scores):\n    print(text, float(row[0]))"),
    "causal_lm": (
        False,
        "for text, mask, row in zip(texts, batch['attention_mask'], scores):\n"
        "    print(text, repr(tokenizer.decode(row[int(mask.sum()) - 1].argmax())))",
    ),
}
# Of each text its vector as a query first, as a document last: one and the same but for asymmetric search.
_VECTORS = "vectors = {of}.reshape(len(texts), -1, scores.shape[-1])\nprint(vectors[:, 0] @ vectors[:, -1].T)"
_SENTENCES = ("sentence_embedding", "sentence_similarity")


def snippet(written: Written, form: Form, kind: str, params: Mapping[str, Any]) -> str:
    """Python that prints what the model says of two texts. kind, params: of the task."""
    auto = str(written.auto)
    start, load, run = (part.replace("{auto}", auto) for part in (form.imports, form.load, form.predict))
    wants_labels, tail = _tail(written, kind)
    texts = json.dumps(_texts(written, kind, params), ensure_ascii=False)
    lines = [
        ("import numpy as np\n" if "np." in tail else "") + _imports(start, wants_labels),
        f"texts = {texts}",
        'tokenizer = AutoTokenizer.from_pretrained(".")',
        *([_LABELS] if wants_labels else []),
        load,
        run,
        tail,
    ]
    return "\n".join(lines)


def _imports(start: str, wants_labels: bool) -> str:
    return start if wants_labels else start.replace("AutoConfig, ", "")


def _tail(written: Written, kind: str) -> tuple[bool, str]:
    if kind not in _SENTENCES:
        return _TAILS.get(kind, (False, "print(scores)"))
    if written.pairs:  # the first half of the texts are the first ones of the rows, the other half the second
        return False, _VECTORS.format(of="scores.transpose(1, 0, 2)")
    return False, _VECTORS.format(of="scores")


def _texts(written: Written, kind: str, params: Mapping[str, Any]) -> list[Any]:
    """Examples in the shape in which the task's rows are read."""
    if kind in _SENTENCES:
        prompts = params.get("prompts") or ("",) * len(TEXTS)
        return [prompt + text for prompt, text in zip([*prompts, prompts[-1]], TEXTS, strict=False)]
    columns = params.get("text") or ()
    if not isinstance(columns, str) and len(columns) == 2:
        return [list(TEXTS), list(TEXTS[::-1])]
    start = _start(written.tokenizer) if kind == "causal_lm" and params.get("add_bos") else ""
    return [start + text for text in TEXTS]


def _start(tokenizer: Any) -> str:
    """The start token, of a tokenizer that does not set it by itself."""
    ids = tokenizer("a")["input_ids"]
    return "" if ids[:1] == [tokenizer.bos_token_id] else str(tokenizer.bos_token)
