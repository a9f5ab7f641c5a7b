"""What stands beside a graph in its artifact's folder: configuration, tokenizer, and slimgate.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slimgate.models.tokenizer_files import save_tokenizer

DESCRIPTION = "slimgate.json"
Json = dict[str, Any]


def save_beside(folder: Path, model: Any, **more: Any) -> None:
    """Writes them. model: has config, tokenizer and kind; more: further entries of slimgate.json."""
    model.config.save_pretrained(folder)
    save_tokenizer(model.tokenizer, folder)
    description = {"kind": model.kind, **more}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), "utf-8")


def load_beside(folder: Path) -> Json:
    """The tokenizer and the config of a graph, of an artifact or of an exported folder."""
    from transformers import AutoConfig, AutoTokenizer

    return {
        "tokenizer": AutoTokenizer.from_pretrained(folder, trust_remote_code=False),
        "config": AutoConfig.from_pretrained(folder, trust_remote_code=False),
    }


def read_description(folder: Path) -> Json:
    """slimgate.json alone."""
    description: Json = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    return description
