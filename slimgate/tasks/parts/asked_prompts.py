"""Prompts for a server: no tokenizer is known, so they stay text, or messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slimgate.errors import MeasureError
from slimgate.models.ask import Reply, Request
from slimgate.models.write_answers import Writing, Written
from slimgate.protocols import AnswerPlan, Arrays
from slimgate.runtimes.endpoint import EndpointPredictor


@dataclass(frozen=True, eq=False)
class AskedPrompts:
    """Prompts as a server gets them. keys: the rows' ids."""

    prompts: Sequence[str | list[dict[str, str]]]
    keys: Sequence[str]
    row_of: None = None

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Characters of each prompt: the tokens are the server's."""
        return np.asarray([len(str(prompt)) for prompt in self.prompts], dtype=np.int64)

    def take(self, positions: Sequence[int]) -> AskedPrompts:
        """Some of the prompts, in that order."""
        return AskedPrompts([self.prompts[i] for i in positions], [self.keys[i] for i in positions])

    def join(self, more: AskedPrompts) -> AskedPrompts:
        """These prompts and more behind them."""
        return AskedPrompts([*self.prompts, *more.prompts], [*self.keys, *more.keys])

    def extra_arrays(self, positions: Sequence[int]) -> Arrays:
        """Nothing."""
        return {}

    def batch(self, positions: Sequence[int], tokens: int | None = None) -> Arrays:
        """Refused."""
        raise MeasureError("the rows of an endpoint are text, from which no arrays are made")


def asked_prompts(prompts: Sequence[Any], keys: Sequence[str], *, chat: bool) -> AskedPrompts:
    """chat: a prompt that is text is sent as a user's message."""

    def one(prompt: Any) -> str | list[dict[str, str]]:
        if not isinstance(prompt, str):
            return [dict(message) for message in prompt]
        return [{"role": "user", "content": prompt}] if chat else prompt

    return AskedPrompts([one(prompt) for prompt in prompts], list(keys))


def ask_for_answers(
    predictor: EndpointPredictor, prompts: AskedPrompts, how: Writing, plan: AnswerPlan, *, repeats: int
) -> npt.NDArray[np.object_]:
    """(rows, repeats) Written, in the order of the rows.

    plan.kept: a file with a line for each reply. What an earlier run was answered is not asked again; what
    failed is. Raises MeasureError as `ask` does.
    """
    found = np.empty((len(prompts), repeats), dtype=np.object_)
    places = {f"{key}#{n}": (row, n) for row, key in enumerate(prompts.keys) for n in range(repeats)}
    for name, reply in _kept_replies(plan.kept).items():
        if name in places:
            found[places.pop(name)] = to_written(reply, how)
    names, total = list(places), len(prompts) * repeats
    requests = [Request(prompts.prompts[places[one][0]], _options(how, places[one][1])) for one in names]
    done = total - len(names)
    with _log(plan.kept) as write:

        def answered(place: int, reply: Reply) -> None:
            nonlocal done
            write(json.dumps({"key": names[place], **asdict(reply)}))
            found[places[names[place]]] = to_written(reply, how)
            done += 1
            plan.progress("ask", done, total)

        predictor.ask(requests, answered, plan.progress)
    return found


def to_written(reply: Reply, how: Writing) -> Written:
    """A reply as an answer. ids: a number for each word, equal for equal words, by which loops are found."""
    stops = [place for place in (reply.text.find(stop) for stop in how.stop) if place >= 0]
    text = reply.text[: min(stops, default=len(reply.text))]
    words = text.split()
    number = {word: place for place, word in enumerate(dict.fromkeys(words))}
    ended = bool(stops) or reply.finish != "length"
    tokens = len(words) if reply.tokens is None else reply.tokens
    ids = tuple(number[word] for word in words)
    return Written(text, ids, ended, tokens=tokens, failed=reply.failed is not None)


def _options(how: Writing, repeat: int) -> dict[str, Any]:
    """What is sent beside the prompt. A seed only for drawn answers: not every server knows the field."""
    found: dict[str, Any] = {"max_tokens": how.max_new_tokens, "temperature": how.temperature}
    if how.temperature:
        found["seed"] = how.seed + repeat
    return {**found, "stop": list(how.stop)} if how.stop else found


def _kept_replies(file: Path | None) -> dict[str, Reply]:
    """What an earlier run was answered, by row and repeat."""
    found = dict[str, Reply]()
    lines = file.read_text("utf-8", errors="replace").splitlines() if file and file.is_file() else []
    for line in lines:
        try:
            fields = json.loads(line)
            name, reply = fields.pop("key"), Reply(**fields)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # cut off when the run was killed: that row is asked again
        if reply.failed is None:
            found[name] = reply
    return found


@contextmanager
def _log(file: Path | None) -> Iterator[Callable[[str], None]]:
    """Writes a line at once, so that a run that is killed has all that was answered."""
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
