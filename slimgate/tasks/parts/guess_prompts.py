"""Rules by which `slimgate init` recognizes prompts, answers and choices, from the names of columns."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from slimgate.data.guess_input import ExaminedRows
from slimgate.plugins.base import Json

PROMPTS = ("prompt", "question", "instruction", "messages", "input")
REFERENCES = ("reference", "references", "answer", "answers", "completion", "response", "output", "target")
# Columns that an encoder-decoder reads and writes.
SOURCES = ("text", "source", "article", "document", "src", *PROMPTS)
TARGETS = ("summary", "translation", "highlights", "tgt", *REFERENCES)
# Columns that are not texts to classify, even if they have few different answers.
SURE_PROMPTS = ("prompt", "instruction", "messages")
CONTEXTS = ("question", "context", "prompt", "query", "ctx", "premise", "sentence")
CHOICES = ("choices", "options", "endings", "candidates")
RIGHT_CHOICES = ("answer", "answerkey", "answer_key", "label", "gold", "target", "correct", "correct_answer")
# The longest reference, in words, that is compared as a whole and not by overlap.
_SHORT = 5
_MOST_CLASSES = 20
_TOKENS_OF_A_WORD = 3
_LIMITS = (8, 16, 32, 64, 128, 256, 512)


def guess_generation(sample: ExaminedRows) -> tuple[Json, str] | None:
    """Guesses prompts with right answers, for a language model; prompts alone if the user names the task."""
    if sample.stated.task:
        reference = sample.stated.label or _find_named_column(sample, REFERENCES)
        prompt = _read_text_column(sample) or _find_named_column(sample, PROMPTS, used=(reference,))
        return _make_prompt_options(
            sample, prompt or sample.texts((reference,) if reference else ())[0], reference
        )
    prompt, reference = _find_named_column(sample, PROMPTS), _find_named_column(sample, REFERENCES)
    states_other_text = _read_text_column(sample) not in (None, prompt)
    states_other_label = sample.stated.label not in (None, reference)
    if not sample.causal or prompt is None or reference is None or states_other_text or states_other_label:
        return None
    column = sample.columns[reference]
    if prompt.lower() not in SURE_PROMPTS and column.has_few_values and column.distinct <= _MOST_CLASSES:
        return None  # the column is more likely to hold classes than answers
    return _make_prompt_options(sample, prompt, reference)


def guess_text_to_text(sample: ExaminedRows) -> tuple[Json, str] | None:
    """Guesses texts with answers, for an encoder-decoder; texts alone if the user names the task."""
    if not (sample.encoder_decoder or sample.stated.task):
        return None
    reference = sample.stated.label or _find_named_column(sample, TARGETS)
    text = _read_text_column(sample) or _find_named_column(sample, SOURCES, used=(reference,))
    if sample.stated.task:
        return _make_text_options(
            sample, text or sample.texts((reference,) if reference else ())[0], reference
        )
    if text is None or reference is None:
        return None
    return _make_text_options(sample, text, reference)


def _make_text_options(sample: ExaminedRows, text: str, reference: str | None) -> tuple[Json, str]:
    if reference is None:
        return {"text": text}, f'texts in "{text}"'
    options = {"text": text, **_make_reference_options(sample, reference)}
    return options, f'texts in "{text}" and answers in "{reference}"'


def _make_prompt_options(sample: ExaminedRows, prompt: str, reference: str | None) -> tuple[Json, str]:
    if reference is None:
        return {"prompt": prompt}, f'prompts in "{prompt}"'
    options = {"prompt": prompt, **_make_reference_options(sample, reference)}
    return options, f'prompts in "{prompt}" and right answers in "{reference}"'


def _make_reference_options(sample: ExaminedRows, reference: str) -> Json:
    """The options that depend on the references. Answers may have the tokens that the longest one needs."""
    scores, values = _choose_scores(sample, reference), sample.table[reference].to_pylist()
    texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
    tokens = _TOKENS_OF_A_WORD * max((len(str(text).split()) for text in texts), default=0)
    max_tokens = next((limit for limit in _LIMITS if limit >= tokens), _LIMITS[-1])
    return {"reference": reference, "scores": scores, "max_new_tokens": max_tokens}


def _read_text_column(sample: ExaminedRows) -> str | None:
    return next(iter(sample.stated.text), None)


def guess_choices(sample: ExaminedRows) -> tuple[Json, str] | None:
    """Guesses a question, its choices and the right choice, for a language model."""
    if not (sample.causal or sample.stated.task):
        return None
    choices = _find_choice_columns(sample)
    if choices is None:
        return None
    choice_columns = (choices,) if isinstance(choices, str) else choices
    answer = sample.stated.label or _find_named_column(sample, RIGHT_CHOICES, used=choice_columns)
    used = (*choice_columns, answer)
    context = _read_text_column(sample) or _find_named_column(sample, CONTEXTS, used=used)
    if answer is None:
        return None
    context = context or sample.texts((*choice_columns, answer))[0]
    why = f'questions in "{context}", choices in "{", ".join(choice_columns)}", the right one in "{answer}"'
    return {"context": context, "choices": choices, "answer": answer}, why


def _find_choice_columns(sample: ExaminedRows) -> str | tuple[str, ...] | None:
    """A column of lists, or of {text, label} lists; or the columns A, B, …."""
    column = _find_named_column(sample, CHOICES)
    if column is not None and sample.columns[column].kind in ("list", "other"):
        return column
    letters = [_find_named_column(sample, (letter,)) for letter in "abcdefgh"]
    letter_columns = tuple(name for name in letters if name is not None)
    return letter_columns if len(letter_columns) >= 2 else None


def _find_named_column(
    sample: ExaminedRows, names: Iterable[str], used: Iterable[str | None] = ()
) -> str | None:
    """The first column that has one of the names, in the order of the names."""
    lower = {name.lower(): name for name in sample.columns if name not in used}
    return next((lower[name] for name in names if name in lower), None)


def _choose_scores(sample: ExaminedRows, reference: str) -> tuple[str, ...]:
    column = sample.columns[reference]
    if column.kind == "number":
        return ("exact_match", "numeric")
    if column.mean_words > _SHORT and find_spec("rouge_score") is not None:
        return ("rouge",)
    return ("normalized_match",)
