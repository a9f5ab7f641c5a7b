"""Prompts for a server: its tokenizer is unknown, so they stay text or messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import MeasureError
from slimgate.models.ask import PROMPT_LOGPROBS, Reply, Request
from slimgate.models.write_answers import SamplingParams, Written
from slimgate.plugins.base import Arrays, Json
from slimgate.plugins.task import AnswerPlan
from slimgate.runtimes.endpoint import EndpointPredictor


@dataclass(frozen=True, eq=False)
class EndpointPrompts:
    """Prompts as a server gets them, or questions (context, choices).

    keys: the rows' ids. tools: the tools of each prompt. row_of: None, because each prompt is a row.
    """

    prompts: Sequence[Any]
    keys: Sequence[str]
    tools: Sequence[Sequence[Json]] | None = None
    row_of: None = None

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """The number of characters of each prompt, because only the server knows the tokens."""
        return np.asarray([len(str(prompt)) for prompt in self.prompts], dtype=np.int64)

    def take(self, positions: Sequence[int]) -> EndpointPrompts:
        """Some of the prompts, in that order."""
        tools = None if self.tools is None else [self.tools[i] for i in positions]
        return EndpointPrompts([self.prompts[i] for i in positions], [self.keys[i] for i in positions], tools)

    def join(self, more: EndpointPrompts) -> EndpointPrompts:
        """These prompts, followed by more prompts."""
        tools = None if self.tools is None or more.tools is None else [*self.tools, *more.tools]
        return EndpointPrompts([*self.prompts, *more.prompts], [*self.keys, *more.keys], tools)

    def make_request(self, position: int, sampling: SamplingParams, repeat: int) -> Request:
        """The request for an answer to the prompt at a position. repeat: the number of the answer, from 0."""
        options = make_request_options(sampling, repeat)
        if self.tools is not None:
            options["tools"] = self.tools[position]
        return Request(self.prompts[position], options)

    def extra_arrays(self, positions: Sequence[int]) -> Arrays:
        """No arrays."""
        return {}

    def batch(self, positions: Sequence[int], tokens: int | None = None) -> Arrays:
        """Raises MeasureError: an endpoint reads text, not arrays."""
        raise MeasureError("the rows of an endpoint are text, which is not turned into arrays")


def make_endpoint_prompts(
    prompts: Sequence[str | Sequence[Json]],
    keys: Sequence[str],
    *,
    chat: bool,
    tools: Sequence[Sequence[Json]] | None = None,
) -> EndpointPrompts:
    """Makes prompts. chat: a text prompt becomes a user's message. tools: the tools of each prompt."""

    def to_prompt(prompt: str | Sequence[Json]) -> str | list[Json]:
        if not isinstance(prompt, str):
            return [dict(message) for message in prompt]
        return [{"role": "user", "content": prompt}] if chat else prompt

    return EndpointPrompts([to_prompt(prompt) for prompt in prompts], list(keys), tools)


def ask_for_answers(
    predictor: EndpointPredictor,
    prompts: EndpointPrompts,
    sampling: SamplingParams,
    plan: AnswerPlan,
    *,
    repeats: int,
) -> npt.NDArray[np.object_]:
    """(rows, repeats) Written, in the order of the rows.

    plan.reply_file: a file with a line for each reply. Requests with a reply of an earlier run are not sent
    again; failed ones are. Raises MeasureError as `ask` does.
    """
    answers = np.empty((len(prompts), repeats), dtype=np.object_)
    # The name of a request -> its row and its repeat, which are its place in `answers`.
    missing = {f"{key}#{n}": (row, n) for row, key in enumerate(prompts.keys) for n in range(repeats)}
    for name, reply in _read_replies(plan.reply_file).items():
        if name in missing:
            answers[missing.pop(name)] = convert_reply(reply, sampling)
    total = len(prompts) * repeats
    requests = [prompts.make_request(row, sampling, repeat) for row, repeat in missing.values()]
    for name, reply in _send_requests(predictor, list(missing), requests, plan, total):
        answers[missing[name]] = convert_reply(reply, sampling)
    return answers


def ask_for_choices(
    predictor: EndpointPredictor, questions: EndpointPrompts, plan: AnswerPlan
) -> npt.NDArray[np.float64]:
    """(rows, choices, 2): log-likelihood and token count of each choice; 0 if a row has no such choice.

    The prompt of a row is (context, choices). The score of a choice is the score of context and choice minus
    that of the context alone, so a row takes one request more than it has choices. plan.reply_file: as for
    `ask_for_answers`. Raises MeasureError as `ask` does, and if a request failed for good, because every
    choice must have a score.
    """
    # The text 0 of a row is the context alone; the text n is the context with choice n, counted from 1.
    texts = {
        f"{key}#{n}": context + choice
        for key, (context, choices) in zip(questions.keys, questions.prompts, strict=True)
        for n, choice in enumerate(("", *choices))
    }
    replies = {name: reply for name, reply in _read_replies(plan.reply_file).items() if name in texts}
    names = [name for name in texts if name not in replies]
    requests = [Request(texts[name], dict(PROMPT_LOGPROBS)) for name in names]
    replies |= dict(_send_requests(predictor, names, requests, plan, len(texts)))
    if failed := [reply.failed for reply in replies.values() if reply.failed is not None]:
        raise MeasureError(
            f"{len(failed)} of {len(texts)} requests failed: {failed[0]}; run again, answers so far are kept"
        )
    most_choices = max((len(choices) for _, choices in questions.prompts), default=0)
    scores = np.zeros((len(questions), most_choices, 2))
    for row, (key, (_, choices)) in enumerate(zip(questions.keys, questions.prompts, strict=True)):
        context_score = _read_score(replies[f"{key}#0"])
        for n in range(len(choices)):
            scores[row, n] = _read_score(replies[f"{key}#{n + 1}"]) - context_score
    if (scores[..., 1] < 0).any():
        raise MeasureError(
            "a choice would have a negative number of tokens: the server counts the same prompt differently"
        )
    return scores


def _read_score(reply: Reply) -> npt.NDArray[np.float64]:
    """(2,) the log-likelihood and the token count of a prompt."""
    return np.asarray([reply.log_probability, reply.tokens], dtype=np.float64)


def _send_requests(
    predictor: EndpointPredictor,
    names: Sequence[str],
    requests: Sequence[Request],
    plan: AnswerPlan,
    total: int,
) -> list[tuple[str, Reply]]:
    """The replies, each after the name of its request. Each reply is stored when it arrives.

    total: the number of requests with those that an earlier run has sent, for the progress.
    """
    replies: list[tuple[str, Reply]] = []
    sent_before = total - len(names)
    with _open_reply_log(plan.reply_file) as write:

        def on_reply(position: int, reply: Reply) -> None:
            write(json.dumps({"key": names[position], **vars(reply)}))
            replies.append((names[position], reply))
            plan.progress("ask", sent_before + len(replies), total)

        predictor.ask(requests, on_reply, plan.progress)
    return replies


def make_load_requests(
    prompts: EndpointPrompts, sampling: SamplingParams, count: int, seed: int
) -> list[Request]:
    """`count` requests in a random order, from prompts whose lengths are spread over all lengths.

    If there are fewer prompts, they repeat.
    """
    order = np.argsort(prompts.lengths, kind="stable")
    positions = order[((np.arange(count) + 0.5) / count * len(order)).astype(np.int64)]
    np.random.default_rng(seed).shuffle(positions)
    return [prompts.make_request(position, sampling, repeat=0) for position in positions]


def convert_reply(reply: Reply, sampling: SamplingParams) -> Written:
    """A reply as an answer. ids: a number for each word, equal for equal words, to find loops."""
    stops = [reply.text.find(stop) for stop in sampling.stop if stop in reply.text]
    text = reply.text[: min(stops, default=len(reply.text))]
    words = text.split()
    number = {word: k for k, word in enumerate(dict.fromkeys(words))}
    ended = bool(stops) or reply.finish != "length"
    tokens = len(words) if reply.tokens is None else reply.tokens
    ids = tuple(number[word] for word in words)
    return Written(text, ids, ended, tokens=tokens, failed=reply.failed is not None)


def make_request_options(sampling: SamplingParams, repeat: int) -> dict[str, Any]:
    """The fields next to the prompt. A seed only for drawn answers: not every server knows the field."""
    options: dict[str, Any] = {"max_tokens": sampling.max_new_tokens, "temperature": sampling.temperature}
    if sampling.temperature:
        options["seed"] = sampling.seed + repeat
    if sampling.stop:
        options["stop"] = list(sampling.stop)
    return options


def _read_replies(file: Path | None) -> dict[str, Reply]:
    """The replies that an earlier run received, by the names of their requests; without failed ones."""
    replies = dict[str, Reply]()
    lines = file.read_text("utf-8", errors="replace").splitlines() if file and file.is_file() else []
    for line in lines:
        try:
            fields = json.loads(line)
            name, reply = fields.pop("key"), Reply(**fields)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # cut off when the run was killed: that request is sent again
        if reply.failed is None:
            replies[name] = reply
    return replies


@contextmanager
def _open_reply_log(file: Path | None) -> Iterator[Callable[[str], None]]:
    """A function that appends a line to the file at once, so that a killed run has stored all replies."""
    if file is None:
        yield lambda _: None
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as stream:
        stream.write("\n")  # the last line may be cut off

        def write(line: str) -> None:
            stream.write(f"{line}\n")
            stream.flush()

        yield write
