"""A tiny decoder as teacher, and a smaller decoder as student, on prompts with answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fixtures.models.architectures import write_tiny
from fixtures.models.building import load_tiny, make_tiny_context
from slimgate.tasks import text_generation

WITH_REFERENCE = text_generation.Params(prompt="text", reference="label", max_new_tokens=6)
WITHOUT_REFERENCE = text_generation.Params(prompt="text", max_new_tokens=6)


def write_teacher_and_student(root: Path) -> dict[str, Path]:
    """Writes both models. Returns their folders as `teacher` and `student`."""
    wide = {"causal": True, "initializer_range": 0.2}
    return {
        "teacher": write_tiny(root / "teacher", "llama", **wide),
        "student": write_tiny(root / "student", "llama", seed=1, num_hidden_layers=2, **wide),
    }


def make_answer_context(scratch: Path, folders: dict[str, Path]) -> Any:
    """The context of a step that trains on answers with references."""
    context = make_tiny_context(scratch, task=text_generation.task, params=WITH_REFERENCE)
    context.load_teacher = lambda: load_tiny(folders["teacher"], context)
    return context
