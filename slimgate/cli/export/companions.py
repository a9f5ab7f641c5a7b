"""The files that accompany an exported model: config.json, and a tokenizer that cuts where the task did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimgate.cli.export.forms import TRANSFORMERS, Written
from slimgate.cli.export.snippets import may_call_tokenizers
from slimgate.cli.export.tokenizer_file import is_enough, store_length_rules
from slimgate.models.saved_files import DESCRIPTION, save_tokenizer
from slimgate.plugins.loading import find_form
from slimgate.plugins.task import Task

if TYPE_CHECKING:
    from slimgate.plugins.base import Json


def write_companions(
    written: Written,
    task: Task[Any] | type[Task[Any]],
    params: Json,
    columns: Sequence[Sequence[str]],
    folder: Path,
) -> Written:
    """Writes config.json for graphs without one, and the tokenizer's files.

    Args:
        written: the content of the folder.
        task: the task that the model was judged on.
        params: the options of the task.
        columns: texts on which the tokenizer's file is compared, one sequence for each text column.
        folder: the exported folder.

    Returns:
        `written`, which then says whether the tokenizer's file is enough.
    """
    (folder / DESCRIPTION).unlink(missing_ok=True)
    form, tokenizer = find_form(written.form), written.tokenizer
    if written.form != TRANSFORMERS and not form.own_config:
        written.config.save_pretrained(folder)
    if params.get("max_tokens"):
        tokenizer.model_max_length = int(params["max_tokens"])
    for name, value in task.tokenizer_settings.items():
        setattr(tokenizer, name, value)
    save_tokenizer(tokenizer, folder)
    if not may_call_tokenizers(form, task.snippet_tail):
        return written
    store_length_rules(tokenizer, folder)
    return replace(written, tokenizer_is_enough=is_enough(tokenizer, folder, columns))
