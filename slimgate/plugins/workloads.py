"""What is timed: a call (`Workload`), and requests of several users at once (`Load`)."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Literal, get_args

# The parts of a call that are timed by themselves: the time to the first token, the time per later token, and
# the time of a forward pass end to end, from the text of the rows to their answers, tokenizing included.
Phase = Literal["ttft", "tpot", "e2e"]
TTFT: Phase = "ttft"
TPOT: Phase = "tpot"
END_TO_END: Phase = "e2e"
# What is timed of a model: one forward pass, a whole answer that is written, or a phase of a call.
TimedPart = Literal["forward", "answer", "ttft", "tpot", "e2e"]
# What is timed of a request: all of it, until the first token, and from one token to the next.
LoadPart = Literal["answer", "ttft", "tpot"]
LOAD_PARTS: tuple[LoadPart, ...] = get_args(LoadPart)


@dataclass(frozen=True)
class Workload:
    """What one timed call predicts: `batch` gate rows, padded or cut to `tokens`, or at their own lengths.

    With prompt_tokens and new_tokens it writes an answer of exactly new_tokens to prompts of exactly
    prompt_tokens. phase: the part of the call that is timed; None: all of it, from prepared tensors.
    """

    batch: int
    tokens: int | None = None
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    phase: Phase | None = None

    @property
    def id(self) -> str:
        """b32x64 and b32x64-e2e; p128n64b1, p128n64b1-ttft and p128n64b1-tpot of a workload that writes."""
        shape = f"b{self.batch}" + (f"x{self.tokens}" if self.tokens else "")
        if self.prompt_tokens is not None:
            shape = f"p{self.prompt_tokens}n{self.new_tokens}b{self.batch}"
        return f"{shape}-{self.phase}" if self.phase else shape

    @property
    def writes(self) -> bool:
        """Whether the model writes an answer."""
        return self.new_tokens is not None

    @property
    def part(self) -> TimedPart:
        """What is timed."""
        return self.phase or ("answer" if self.writes else "forward")

    @property
    def steps(self) -> int:
        """The divisor of a call's time: the tokens after the first for the time per output token, else 1."""
        return self.new_tokens - 1 if self.phase == TPOT and self.new_tokens else 1

    @property
    def tokens_per_call(self) -> int | None:
        """The tokens that the timed part writes divided by `steps`; None if that is no rate of tokens."""
        if self.new_tokens is None or self.phase == TTFT:
            return None
        return self.batch if self.phase == TPOT else self.batch * self.new_tokens


@dataclass(frozen=True)
class ServiceLevel:
    """The most milliseconds that a request may take; None: no limit.

    ttft_ms: until the first token. tpot_ms: from one token to the next. e2el_ms: until the answer is done.
    """

    ttft_ms: float | None = None
    tpot_ms: float | None = None
    e2el_ms: float | None = None

    def list_limits(self) -> dict[str, float]:
        """The limits that are set, in milliseconds, by the name of the field."""
        return {name: limit for name, limit in asdict(self).items() if limit is not None}


@dataclass(frozen=True)
class Load:
    """The load on a server: `concurrency` users who wait for their answers, or requests at a rate a second.

    requests: the number in one turn of a model. blocks: the turns of each model. level: the limits that a
    good request meets.
    """

    concurrency: int | None
    request_rate: float | None
    requests: int
    blocks: int
    part: LoadPart = "answer"
    level: ServiceLevel | None = None

    @property
    def id(self) -> str:
        """c8 or r2.5, with -ttft and -tpot for its parts."""
        how = f"c{self.concurrency}" if self.request_rate is None else f"r{self.request_rate:g}"
        return how if self.part == "answer" else f"{how}-{self.part}"


_LOAD = re.compile(r"([cr])([\d.e+-]+?)(?:-(ttft|tpot))?")
_LOAD_PARTS = {None: "", "ttft": ", first token", "tpot": ", between tokens"}
_FORWARD = re.compile(r"b(\d+)(?:x(\d+))?(?:-(e2e))?")
_WRITING = re.compile(r"p(\d+)n(\d+)b(\d+)(?:-(ttft|tpot))?")
_PHASES = {None: "", "ttft": ", first token", "tpot": ", each later token"}


def format_workload(workload: str) -> str:
    """`batch 32 × 64 tokens` for the id b32x64; without tokens the rows keep their own lengths.

    `batch 1, end to end` for b1-e2e, `batch 1, prompt 128 + 64 tokens, first token` for p128n64b1-ttft,
    `8 users, first token` for c8-ttft, `2.5 requests/s` for r2.5. Other names stay as they are.
    """
    if (load := _LOAD.fullmatch(workload)) is not None:
        kind, number, part = load.groups()
        arrivals = f"{number} user{'s' * (number != '1')}" if kind == "c" else f"{number} requests/s"
        return arrivals + _LOAD_PARTS[part]
    if (writing := _WRITING.fullmatch(workload)) is not None:
        prompt, new, rows, phase = writing.groups()
        return f"batch {rows}, prompt {prompt} + {new} tokens{_PHASES[phase]}"
    match = _FORWARD.fullmatch(workload)
    if match is None:
        return workload
    batch, tokens, end_to_end = match.groups()
    call = f"batch {batch}" if tokens is None else f"batch {batch} × {tokens} tokens"
    return f"{call}, end to end" if end_to_end else call
