"""The reasons why an answer ended, as servers and libraries write them, in lower case."""

from __future__ import annotations

# At the length limit.
CUT_OFF = ("length", "max_tokens", "max_output_tokens", "model_length")
ENDED = (
    *("stop", "eos", "eos_token", "end_turn", "stop_sequence", "tool_calls", "tool_use", "function_call"),
    "content_filter",
)


def is_cut_off(reason: object) -> bool | None:
    """Whether the answer ended at the length limit; None if there is no reason."""
    return None if reason is None else str(reason).lower() in CUT_OFF
