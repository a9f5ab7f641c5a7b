"""The code blocks of README and docs/, found by sybil."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

ROOT = Path(__file__).parents[2]
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "bench/README.md"))]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
LANGUAGES = ("console", "math", "python", "text", "toml", "yaml")
# The end of the text before a block: the name of the block's file in back quotes, and a colon.
NAMED = re.compile(r"`([\w/]+\.(?:py|toml))`[^`]*:\s*\Z")

Check = Callable[[Example], None]


@dataclass(frozen=True)
class Block:
    """A code block. file: the path that the sentence before it names; None if it names none."""

    text: str
    file: str | None


def list_examples(page: Path, checks: Mapping[str, Check]) -> list[Example]:
    """The blocks of a page in their order, each with the check of its language."""
    parsers = [CodeBlockParser(language, check) for language, check in checks.items()]
    return list(Sybil(parsers).parse(page).examples())


def list_blocks(page: str, language: str) -> list[Block]:
    """The blocks of a page of the repository in one language."""
    examples = list_examples(ROOT / page, {language: _check_nothing})
    return [Block(str(example.parsed), _find_file(example.document, example.start)) for example in examples]


def read_files(page: str) -> dict[str, str]:
    """Path -> text of the Python and TOML files that a page shows."""
    shown = (*list_blocks(page, "python"), *list_blocks(page, "toml"))
    return {block.file: block.text for block in shown if block.file}


def list_commands(page: str) -> list[str]:
    """The commands of a page's console blocks."""
    return [command for block in list_blocks(page, "console") for command in split_commands(block.text)]


def split_commands(text: str) -> list[str]:
    """The commands of a console block, without comments; `a && b` is two."""
    lines = [re.sub(r"\s+# .*$", "", line[2:]) for line in text.splitlines() if line.startswith("$ ")]
    return [command.strip() for line in lines for command in line.split(" && ")]


def read_prose(page: Path) -> str:
    """A page's text without its blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def _find_file(document: Document, start: int) -> str | None:
    named = NAMED.search(document.text[:start])
    return named[1] if named else None


def _check_nothing(example: Example) -> None:
    """Checks nothing, because `list_blocks` only reads the blocks."""
