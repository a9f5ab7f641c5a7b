"""What `slimgate init` takes for prompts, answers and choices, by the names of columns."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

from slimgate.data.guess_input import FoundRows
from slimgate.protocols import Json

PROMPTS = ("prompt", "question", "instruction", "messages", "input")
REFERENCES = ("reference", "references", "answer", "answers", "completion", "response", "output", "target")
# What an encoder-decoder reads and writes.
SOURCES = ("text", "source", "article", "document", "src", *PROMPTS)
TARGETS = ("summary", "translation", "highlights", "tgt", *REFERENCES)
# These are no texts to classify, however few their answers are.
SURE_PROMPTS = ("prompt", "instruction", "messages")
CONTEXTS = ("question", "context", "prompt", "query", "ctx", "premise", "sentence")
CHOICES = ("choices", "options", "endings", "candidates")
RIGHT_CHOICES = ("answer", "answerkey", "answer_key", "label", "gold", "target", "correct", "correct_answer")
# Words of a reference that is compared as a whole, and not by its overlap.
_SHORT = 5
_MOST_CLASSES = 20
_TOKENS_OF_A_WORD = 3
_LIMITS = (8, 16, 32, 64, 128, 256, 512)


def guess_generation(found: FoundRows) -> tuple[Json, str] | None:
    """Prompts with right answers, for a language model; prompts alone where the task is asked for."""
    if found.said.task:
        reference = found.said.label or _named(found, REFERENCES)
        prompt = _said_text(found) or _named(found, PROMPTS, taken=(reference,))
        return _generation(found, prompt or found.texts((reference,) if reference else ())[0], reference)
    prompt, reference = _named(found, PROMPTS), _named(found, REFERENCES)
    others = _said_text(found) not in (None, prompt) or found.said.label not in (None, reference)
    if not found.causal or prompt is None or reference is None or others:
        return None
    if prompt.lower() not in SURE_PROMPTS and _is_class(found, reference):
        return None
    return _generation(found, prompt, reference)


def guess_text_to_text(found: FoundRows) -> tuple[Json, str] | None:
    """Texts with what is to be written to them, for an encoder-decoder; texts alone where it is asked for."""
    if not (found.encoder_decoder or found.said.task):
        return None
    reference = found.said.label or _named(found, TARGETS)
    text = _said_text(found) or _named(found, SOURCES, taken=(reference,))
    if found.said.task:
        return _text_to_text(found, text or found.texts((reference,) if reference else ())[0], reference)
    if text is None or reference is None:
        return None
    return _text_to_text(found, text, reference)


def _text_to_text(found: FoundRows, text: str, reference: str | None) -> tuple[Json, str]:
    if reference is None:
        return {"text": text}, f'texts in "{text}"'
    return {"text": text, **_learnt(found, reference)}, f'texts in "{text}" and answers in "{reference}"'


def _generation(found: FoundRows, prompt: str, reference: str | None) -> tuple[Json, str]:
    if reference is None:
        return {"prompt": prompt}, f'prompts in "{prompt}"'
    options = {"prompt": prompt, **_learnt(found, reference)}
    return options, f'prompts in "{prompt}" and right answers in "{reference}"'


def _learnt(found: FoundRows, reference: str) -> Json:
    """The options that the references decide."""
    scores, most = _scores(found, reference), _most_tokens(found, reference)
    return {"reference": reference, "scores": scores, "max_new_tokens": most}


def _said_text(found: FoundRows) -> str | None:
    return next(iter(found.said.text), None)


def _is_class(found: FoundRows, name: str) -> bool:
    """Whether a column rather holds classes than answers."""
    column = found.columns[name]
    return column.repeats and column.distinct <= _MOST_CLASSES


def guess_choices(found: FoundRows) -> tuple[Json, str] | None:
    """A question, its choices and the right one, for a language model."""
    if not (found.causal or found.said.task):
        return None
    choices = _choices(found)
    if choices is None:
        return None
    listed = (choices,) if isinstance(choices, str) else choices
    answer = found.said.label or _named(found, RIGHT_CHOICES, taken=listed)
    context = _said_text(found) or _named(found, CONTEXTS, taken=(*listed, answer))
    if answer is None:
        return None
    context = context or found.texts((*listed, answer))[0]
    why = f'questions in "{context}", choices in "{", ".join(listed)}", the right one in "{answer}"'
    return {"context": context, "choices": choices, "answer": answer}, why


def _choices(found: FoundRows) -> str | tuple[str, ...] | None:
    """A column of lists, or of {text, label} lists; or the columns A, B, …."""
    one = _named(found, CHOICES)
    if one is not None and found.columns[one].kind in ("list", "other"):
        return one
    lettered = tuple(name for letter in "ABCDEFGH" if (name := _named(found, (letter.lower(),))))
    return lettered if len(lettered) >= 2 else None


def _named(found: FoundRows, names: Iterable[str], taken: Iterable[str | None] = ()) -> str | None:
    """The first column of one of the names, in their order."""
    lower = {name.lower(): name for name in found.columns if name not in taken}
    return next((lower[name] for name in names if name in lower), None)


def _scores(found: FoundRows, reference: str) -> tuple[str, ...]:
    column = found.columns[reference]
    if column.kind == "number":
        return ("exact_match", "numeric")
    if column.mean_words > _SHORT and find_spec("rouge_score") is not None:
        return ("rouge",)
    return ("normalized_match",)


def _most_tokens(found: FoundRows, reference: str) -> int:
    """Room for the longest reference."""
    longest = max((_words(value) for value in found.table[reference].to_pylist()), default=0)
    return next((limit for limit in _LIMITS if limit >= _TOKENS_OF_A_WORD * longest), _LIMITS[-1])


def _words(value: Any) -> int:
    values = value if isinstance(value, list) else [value]
    return max((len(str(one).split()) for one in values), default=0)
