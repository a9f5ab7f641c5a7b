"""Every code block of README and docs/ is right, alone: commands, suites, pipelines, Python, formulas.

Pages whose blocks make a repository and run in it have a test of their own beside this file.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import doc_checks
from support.doc_blocks import LANGUAGES, PAGES, ROOT, Check, list_examples
from sybil import Example

from slimgate.errors import SuiteError

CHECKS: dict[str, Check] = {
    "console": doc_checks.check_console,
    "math": doc_checks.check_math,
    "python": doc_checks.check_python,
    "toml": doc_checks.check_toml,
    "yaml": doc_checks.check_yaml,
}
BLOCKS = [example for page in PAGES for example in list_examples(page, CHECKS)]


def place(example: Example) -> str:
    return f"{Path(example.path).relative_to(ROOT)}:{example.line}"


@pytest.mark.parametrize("example", BLOCKS, ids=place)
def test_a_block_of_the_docs_is_right(example: Example, tmp_path: Path) -> None:
    bench = tmp_path / "bench"
    bench.mkdir()
    example.namespace["bench"] = bench
    example.evaluate()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_has_a_language_that_is_known(page: Path) -> None:
    fences = re.findall(r"^```(.*)$", page.read_text("utf-8"), re.MULTILINE)
    assert set(fences[::2]) <= set(LANGUAGES)
    assert set(fences[1::2]) <= {""}


@pytest.mark.parametrize(
    ("block", "error"),
    [
        ("```console\n$ slimgate compare --no-such-option a b\n```\n", SystemExit),
        ("```console\n$ pytest bench --slimgate-no\n```\n", AssertionError),
        ("```console\n$ pytest bench/nowhere.toml\n```\n", AssertionError),
        ("```console\n$ make all\n```\n", AssertionError),
        ("```console\n$ pip install 'slimgate[modles]'\n```\n", AssertionError),
        ("```console\n$ tox -e mutant\n```\n", AssertionError),
        ("```console\n$ python -m tools.atack\n```\n", AssertionError),
        ("```console\n$ ./try benchs\n```\n", AssertionError),
        ("```math\n\\fraction{1}{2}\n```\n", AssertionError),
        ("```math\n\\frac{1\n```\n", AssertionError),
        ("```toml\nsteps = [{ int8_dynamic = { bits = 3 } }]\n```\n", ValueError),
        ('```toml\nsource = { name = "files", pth = "rows.csv" }\n```\n', ValueError),
        ('```toml\n[task]\nkind = "text_classification"\nmax_token = 16\n```\n', Exception),
        ('```toml\n[logs]\nbse = "b"\ntargets = { a = "a" }\n```\n', SuiteError),
        ("```toml\n[budgets.pooled]\ndrop_point = 1.0\n```\n", Exception),
        ("```toml\n[budgets]\naccurcy = { drop_points = 1.0 }\n```\n", Exception),
        ("```python\nfrom slimgate import Stepp\n```\n", AssertionError),
        ("```yaml\nscript:\n  - if true\n```\n", AssertionError),
    ],
    ids=[
        *(
            "option",
            "pytest",
            "file",
            "program",
            "extra",
            "environment",
            "module",
            "subcommand",
            "command of a formula",
            "brace",
        ),
        *("step", "source", "task", "logs", "pooled budget", "budget", "import", "shell"),
    ],
)
def test_a_block_that_is_wrong_is_noticed(tmp_path: Path, block: str, error: type[BaseException]) -> None:
    page = tmp_path / "page.md"
    page.write_text(block)
    [example] = list_examples(page, CHECKS)
    example.namespace["bench"] = tmp_path
    with pytest.raises(error):
        example.evaluate()


def test_most_pages_have_blocks() -> None:
    assert len(BLOCKS) > 70
    assert {example.region.evaluator for example in BLOCKS} == set(CHECKS.values())
