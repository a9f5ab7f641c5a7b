"""What slimgate exports: light to import, documented, and enough for everything that the docs show."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import slimgate
from slimgate._system.digests import digest_code

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "datasets", "evaluate", "sklearn", "scipy", "pyarrow", "pydantic")


def test_importing_it_loads_nothing_heavy() -> None:
    code = f"import sys, slimgate; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", sorted(slimgate.HOMES))
def test_every_name_is_there_and_documented(name: str) -> None:
    exported = getattr(slimgate, name)
    if callable(exported):
        assert exported.__doc__ or sys.modules[exported.__module__].__doc__, name
    assert name in dir(slimgate)


def test_type_checkers_see_the_names_that_are_loaded() -> None:
    tree = ast.parse(Path(slimgate.__file__).read_text("utf-8"))
    typed = {
        alias.asname or alias.name: f"{node.module}:{alias.name}" if alias.asname else node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("slimgate.")
        for alias in node.names
    }
    assert typed == slimgate.HOMES
    assert sorted(slimgate.__all__) == sorted({*slimgate.HOMES, "__version__"})


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'slimgate' has no attribute 'blok'"):
        _ = slimgate.blok


def _imports(source: str) -> set[str]:
    imports = re.findall(
        r"^\s*(?:from (slimgate[\w.]*) import|import (slimgate[\w.]*))", source, re.MULTILINE
    )
    return {module or other for module, other in imports}


@pytest.mark.parametrize(
    "file",
    [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", *(ROOT / "fixtures/own").glob("*.py")],
    ids=lambda file: file.name,
)
def test_docs_and_their_examples_use_what_is_exported(file: Path) -> None:
    assert _imports(file.read_text("utf-8")) <= {"slimgate"}


def test_the_key_of_a_users_step_follows_the_code_that_it_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the exported name to the module that holds it, and to no other."""
    texts = {
        "api_direct": "from slimgate.models.linear_layers import cut_linear\n",
        "api_named": "from slimgate import cut_linear\n",
        "api_other": "from slimgate import mean_of\n",
        "api_whole": "import slimgate\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    from slimgate._system import digests

    reached = {name: digests._find_counted_modules(name) - {name} for name in texts}
    assert reached["api_named"] == reached["api_direct"] >= {"slimgate.models.linear_layers"}
    assert "slimgate.models.linear_layers" not in reached["api_other"]
    assert "slimgate.report" not in reached["api_named"]
    assert reached["api_whole"] >= reached["api_named"] | reached["api_other"]
    assert digest_code("api_named") != digest_code("api_other")
