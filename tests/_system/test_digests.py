"""slimgate._system.digests: the parts of store keys change with what they stand for, and not otherwise."""

from __future__ import annotations

import hashlib
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.code_digests import changes_with, forget_digests

import slimgate.steps
from slimgate._system import digests
from slimgate._system.digests import digest_code, digest_folder, digest_json, file_sha256, read_versions

Digest = Callable[..., str]


PLAIN = '"""Doc."""\nX = 1\n\n\ndef f(a):\n    """Doc."""\n    return a + X\n'


@pytest.fixture
def of_slimgate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Digest]:
    """of_slimgate(source, helper): the digest of slimgate_x/mine.py as it would be with these two files.

    slimgate_x counts as slimgate's own package here, so that slimgate itself is not edited.
    """
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(digests, "OWN_PACKAGE", "slimgate_x")
    folder = tmp_path / "slimgate_x"
    folder.mkdir()

    def digest(source: str, helper: str = "Y = 1\n") -> str:
        for name, text in {"__init__": "", "helper": helper, "mine": source}.items():
            (folder / f"{name}.py").write_text(text, "utf-8")
        forget_digests()
        return digest_code("slimgate_x.mine")

    yield digest
    forget_digests()


def test_json_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_json({"a": 1, "b": [1, 2]}) == digest_json({"b": [1, 2], "a": 1})
    assert digest_json([1, 2]) != digest_json([2, 1])
    assert digest_json({}) == hashlib.sha256(b"{}").hexdigest()[:32]


@pytest.mark.parametrize(
    ("value", "error"), [(Path("x"), TypeError), (float("nan"), ValueError)], ids=["path", "nan"]
)
def test_json_digest_refuses_what_is_not_json(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        digest_json({"value": value})


def test_folder_digest_counts_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    first = digest_folder(tmp_path, ["a", "b"])
    assert digest_folder(tmp_path, ["b", "a"]) == first
    assert digest_folder(tmp_path, ["a"]) != first
    (tmp_path / "b").write_text("3")
    assert digest_folder(tmp_path, ["a", "b"]) != first
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"1").hexdigest()


def test_versions_are_those_installed_or_none() -> None:
    installed = read_versions(["numpy", "no-such-package-of-ours"])
    assert installed["no-such-package-of-ours"] is None
    assert (installed["numpy"] or "")[:1].isdigit()


@pytest.mark.parametrize(
    "same",
    [
        PLAIN.replace('"""Doc."""', '"""Other words."""'),
        PLAIN.replace("return a + X", "return (a +\n            X)  # why"),
        "# a comment\n" + PLAIN,
    ],
    ids=["docstring", "formatting", "comment"],
)
def test_code_digest_does_not_change_with_what_is_not_code(of_slimgate: Digest, same: str) -> None:
    assert of_slimgate(same) == of_slimgate(PLAIN)


READS_PROMPT = 'def ask():\n    """{}"""\n    return ask.__doc__\n'


PROMPT = 'def ask():\n    """{}"""\n'


@pytest.mark.parametrize(
    ("mine", "helper", "counts"),
    [
        (READS_PROMPT, "X = 1\n", True),
        (PROMPT, "def read(function):\n    return function.__doc__\n", True),
        (PROMPT, "from inspect import getdoc\n", True),
        (PROMPT, "from transformers.utils import get_json_schema\n", True),
        (PROMPT, "X = 1\n", False),
    ],
    ids=["its own", "a helper's", "getdoc", "schema of a tool", "unread"],
)
def test_a_docstring_counts_if_a_users_code_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mine: str, helper: str, counts: bool
) -> None:
    """A task or a score may take its prompt from there."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "prompt_helper.py").write_text(helper)
    module = tmp_path / "prompt_mine.py"
    module.write_text("import prompt_helper\n" + mine.format("Is it good?"))
    changed = "import prompt_helper\n" + mine.format("Is it bad?")
    assert changes_with("prompt_mine", module, changed) is counts


OPTIONS = '''
class Params:
    bits: int = 4
    """Bits of a weight."""


if Params:
    "why"
    Y = 2
'''


def test_code_digest_ignores_the_string_under_a_field(of_slimgate: Digest) -> None:
    better = OPTIONS.replace("Bits of a weight", "Bits of a weight in linear layers").replace(
        '"why"', '"how"'
    )
    assert of_slimgate(better) == of_slimgate(OPTIONS)
    assert of_slimgate(OPTIONS.replace('    """Bits of a weight."""\n', "")) == of_slimgate(OPTIONS)
    assert of_slimgate(OPTIONS.replace("int = 4", "int = 8")) != of_slimgate(OPTIONS)
    assert of_slimgate(OPTIONS.replace("Y = 2", 'Y = "2"')) != of_slimgate(
        OPTIONS.replace("Y = 2", 'Y = "3"')
    )


@pytest.mark.parametrize("other", ["return a - X", "return X + a", "return a + X + 0"])
def test_code_digest_changes_with_code(of_slimgate: Digest, other: str) -> None:
    assert of_slimgate(PLAIN.replace("return a + X", other)) != of_slimgate(PLAIN)


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    from slimgate_x.helper import Y\n    return Y\n",
        "import slimgate_x.helper\n",
        "from slimgate_x import helper\n",
    ],
    ids=["inside a function", "import", "from package"],
)
def test_code_digest_has_the_imported_modules_of_slimgate(of_slimgate: Digest, source: str) -> None:
    assert of_slimgate(source, "Y = 1\n") == of_slimgate(source, "Y = 1  # one\n")
    assert of_slimgate(source, "Y = 1\n") != of_slimgate(source, "Y = 2\n")
    assert of_slimgate("import json\n", "Y = 1\n") == of_slimgate("import json\n", "Y = 2\n")


@pytest.mark.parametrize("test", ["TYPE_CHECKING", "typing.TYPE_CHECKING"])
def test_code_digest_leaves_out_imports_for_types(of_slimgate: Digest, test: str) -> None:
    typed = f"import typing\nfrom typing import TYPE_CHECKING\n\nif {test}:\n    import slimgate_x.helper\n"
    assert of_slimgate(typed, "Y = 1\n") == of_slimgate(typed, "Y = 2\n")
    assert of_slimgate(typed, "Y = 1\n") == of_slimgate(typed.replace("x.helper", "x.other"), "Y = 1\n")
    runs = f"{typed}else:\n    import slimgate_x.helper\n"
    assert of_slimgate(runs, "Y = 1\n") != of_slimgate(runs, "Y = 2\n")


def test_code_of_an_imported_module_counts_through_others() -> None:
    closure = digests._find_counted_modules("slimgate.steps.finetune.fine_tune")
    assert {
        "slimgate.steps.training.trainer",
        "slimgate.models.seeding",
        "slimgate.steps.training.scoring",
    } <= closure
    assert "slimgate.steps.finetune.distill" not in closure


STEPS = sorted(
    module.name
    for module in pkgutil.walk_packages(slimgate.steps.__path__, "slimgate.steps.")
    if not module.ispkg
)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_does_not_count_the_code_that_judges_and_reports(step: str) -> None:
    """A change of a verdict or a report would build every student again."""
    counted = {name.split(".")[1] for name in digests._find_counted_modules(step)}
    assert counted.isdisjoint({"cli", "plugin", "record", "report", "run", "suite"})


def test_digests_of_code_load_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from slimgate._system.digests import digest_code\n"
        "for name in ('steps.finetune.distill', 'tasks.text_classification', 'data.splits'):\n"
        "    digest_code('slimgate.' + name)\n"
        "assert not {'torch', 'transformers', 'sklearn'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def of_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Digest]:
    """of_user(source, helper): the digest of a user's module `mine_own`, which may import `mine_helper`."""
    monkeypatch.syspath_prepend(tmp_path)

    def digest(source: str, helper: str = "") -> str:
        (tmp_path / "mine_own.py").write_text(source, "utf-8")
        (tmp_path / "mine_helper.py").write_text(helper, "utf-8")
        forget_digests()
        return digest_code("mine_own")

    yield digest
    forget_digests()


def test_a_declared_version_replaces_the_code_of_a_module(of_user: Digest) -> None:
    version = 'slimgate_version = "1"\n'
    assert of_user(f"{version}def f():\n    return 1\n") == of_user(f"{version}def f():\n    return 2\n")
    assert of_user(version) != of_user('slimgate_version = "2"\n')
    assert of_user('slimgate_version: str = "1"\nX = 1\n') == of_user(f"{version}X = 2\n")
    assert of_user("def f():\n    slimgate_version = 1\n") != of_user(
        "def f():\n    slimgate_version = 2 - 1\n"
    )


@pytest.mark.parametrize("name", ["version", "__version__", "VERSION"])
def test_no_other_name_of_a_version_hides_a_changed_line(of_user: Digest, name: str) -> None:
    stated = f'{name} = "1.0"\n'
    assert of_user(f"{stated}X = 1\n") != of_user(f"{stated}X = 2\n")
    importing = "from mine_helper import Y\n"
    assert of_user(importing, f"{stated}Y = 1\n") != of_user(importing, f"{stated}Y = 2\n")


def test_the_version_of_one_module_leaves_the_code_of_another(of_user: Digest) -> None:
    stated = 'slimgate_version = "1"\n'
    importing = f"{stated}from mine_helper import Y\n"
    assert of_user(importing, "Y = 1\n") != of_user(importing, "Y = 2\n")
    plain = "from mine_helper import Y\n"
    assert of_user(f"{plain}X = 1\n", f"{stated}Y = 1\n") != of_user(f"{plain}X = 2\n", f"{stated}Y = 1\n")


@pytest.mark.parametrize("name", ["version", "slimgate_version"])
def test_slimgates_own_modules_always_count_by_their_code(of_slimgate: Digest, name: str) -> None:
    assert of_slimgate(f'{name} = "1"\nX = 1\n') != of_slimgate(f'{name} = "1"\nX = 2\n')


def test_variables_and_docstrings_of_slimgate_never_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a checkout, slimgate's modules look like a user's."""
    module = "slimgate._system.processor"
    before = digests.digest_code_parts(module)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert digests.digest_code_parts(module) == before
    assert not {"variables", "texts"} & set(before)
