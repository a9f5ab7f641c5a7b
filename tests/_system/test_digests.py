"""slimgate._system.digests: the parts of store keys change with what they stand for, and not otherwise."""

from __future__ import annotations

import hashlib
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import slimgate.steps
from slimgate._system import digests
from slimgate._system.digests import (
    digest_code,
    digest_folder,
    digest_json,
    file_sha256,
    list_imports,
    read_versions,
)
from slimgate._system.source_code import strip_code

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
        _forget()
        return digest_code("slimgate_x.mine")

    yield digest
    _forget()


def _forget() -> None:
    """Digests are kept for a process, as are packages; a test writes the same file twice."""
    sys.modules.pop("slimgate_x", None)
    digests.forget()


def changes_with(module: str, file: Path, text: str) -> bool:
    """Whether the digest of a module changes when a file gets this text."""
    _forget()
    before = digest_code(module)
    file.write_text(text)
    _forget()
    changed = digest_code(module) != before
    _forget()
    return changed


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
        _forget()
        return digest_code("mine_own")

    yield digest
    _forget()


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


def test_the_digest_of_a_module_that_is_installed_is_stable() -> None:
    assert digest_code("slimgate.models.seeding") == digest_code("slimgate.models.seeding")
    assert len(digest_code("slimgate.models.seeding")) == 32


@pytest.mark.parametrize("how", ["from mytools.inner.helpers import half", "from .inner.helpers import half"])
def test_a_users_module_counts_with_its_own_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    package = tmp_path / "mytools" / "inner"
    package.mkdir(parents=True)
    (package / "helpers.py").write_text("half = 0.5\n")
    (package.parent / "rounding.py").write_text(f"{how}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert changes_with("mytools.rounding", package / "helpers.py", "half = 0.6\n")


def test_a_users_module_counts_with_the_modules_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine_top.py").write_text("import json\nfrom mine_beside import K\n")
    (tmp_path / "mine_beside.py").write_text("K = 1\n")
    assert changes_with("mine_top", tmp_path / "mine_beside.py", "K = 2\n")


@pytest.mark.parametrize(
    "code",
    [
        'import_module("mytools.helper")',
        'import_module(name="mytools.helper")',
        'import_module(".helper", __package__)',
        "import_module(NAME)",
        "import_module(OTHER)",
        "[import_module(OTHER) for OTHER in NAMES]",
        'load("mytools.helper")',
        'pkgutil.resolve_name("mytools.helper")',
        'pkgutil.resolve_name("mytools.helper:K")',
        'pkgutil.resolve_name("mytools.helper.K")',
        "import_module(JSON)",
        "import_module(BOUND)",
        'list(map(import_module, ["mytools.helper"]))',
        'getattr(importlib, "import_module")("mytools.helper")',
        '__import__("mytools", fromlist=["helper"])',
    ],
)
def test_a_module_that_a_call_imports_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    package = tmp_path / "mytools"
    package.mkdir()
    head = "import importlib, pkgutil\nfrom json import dumps as BOUND\n"
    head += "from importlib import import_module, import_module as load\n"
    names = 'NAME = "mytools.helper"\nNAMES = [NAME]\nJSON = "json"\nOTHER = "json"\nBOUND = "json"\n'
    changed = 'if NAMES:\n    JSON = OTHER = "mytools.helper"\n'
    (package / "step.py").write_text(f"{head}{names}{changed}def use():\n    return {code}\n")
    (package / "helper.py").write_text("K = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert changes_with("mytools.step", package / "helper.py", "K = 2\n")


@pytest.mark.parametrize(
    "code",
    [
        'NAME: str = "othertools.helper"\nload(NAME)',
        'for name in ("othertools.helper",):\n    load(name)',
        'def use(name="othertools.helper"):\n    return load(name)',
        'def use(name):\n    return load(f"othertools.{name}")',
        'PACKAGE = "othertools"\ndef use(name):\n    return load(f"{PACKAGE}.{name}")',
        'spec = spec_from_file_location("script", Path(__file__).with_name("script.py"))',
    ],
    ids=["annotated", "loop", "default", "f-string", "package", "script"],
)
def test_a_module_counts_if_a_string_of_its_importer_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    for folder in ("sometools", "othertools"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    head = "from importlib import import_module as load\nfrom importlib.util import spec_from_file_location\n"
    (tmp_path / "sometools/step.py").write_text(f"from pathlib import Path\n{head}{code}\n")
    if "script" in code:
        (tmp_path / "sometools/script.py").write_text("import othertools.helper\n")
    helper = tmp_path / "othertools/helper.py"
    helper.write_text("K = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert changes_with("sometools.step", helper, "K = 2\n")


def test_a_module_of_slimgate_that_a_string_names_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = 'from importlib import import_module as load\nNAME = "slimgate.models.seeding"\nload(NAME)\n'
    (tmp_path / "seeded_step.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    _forget()
    assert "slimgate.models.seeding" in digests.digest_code_parts("seeded_step")["code"]
    assert list(digests.list_sources("seeded_step")) == ["seeded_step"]
    _forget()


def test_a_module_counts_as_this_process_first_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python imports it once too."""
    file = tmp_path / "read_once.py"
    file.write_text("K = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    _forget()
    before = digest_code("read_once")
    file.write_text("K = 2\n")
    assert digest_code("read_once") == before
    _forget()
    assert digest_code("read_once") != before


def test_a_module_of_another_package_counts_by_its_relative_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("mytools", "mytools/steps", "mytools/common"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    call = 'import_module("..common.helper", __package__)'
    code = f"from importlib import import_module\ndef use():\n    return {call}\n"
    (tmp_path / "mytools/steps/own.py").write_text(code)
    helper = tmp_path / "mytools/common/helper.py"
    helper.write_text("K = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert changes_with("mytools.steps.own", helper, "K = 2\n")


@pytest.mark.parametrize(
    "code",
    [
        'Path("data").joinpath("words.txt")',
        'Path("data") / "words.txt"',
        'files("own_words") / "data" / "words.txt"',
        'files("own_words").joinpath("data", "words.txt")',
    ],
)
def test_a_file_that_a_module_names_in_parts_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/words.txt").write_text("one\n")
    (tmp_path / "own_words.py").write_text(f"from pathlib import Path\nWORDS = {code}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert changes_with("own_words", tmp_path / "data/words.txt", "two words\n")


def test_words_and_files_of_the_kernel_are_no_inputs_of_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that writes "built", or reads its own memory, does not change its own key."""
    (tmp_path / "own_notes.py").write_text('DONE, MEMORY, WORDS = "built", "/proc/self/statm", "words.txt"\n')
    (tmp_path / "words.txt").write_text("one\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert not changes_with("own_notes", tmp_path / "built", "one\n")
    assert changes_with("own_notes", tmp_path / "words.txt", "two words\n")


@pytest.mark.parametrize(
    ("code", "counts"),
    [
        ('(HERE / "log.txt").open("a")', False),
        ('open(HERE / "log.txt", mode="w")', False),
        ('HERE.joinpath("log.txt").write_text("done")', False),
        ('open(HERE / "log.txt", "r+")', True),
        ('open("log.txt")', True),
        ('HERE.joinpath("other.txt").write_text((HERE / "log.txt").read_text())', True),
        ('(HERE / "log.txt").open("a"), (HERE / "log.txt").read_text()', True),
    ],
)
def test_a_file_that_a_module_only_writes_is_no_input_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, counts: bool
) -> None:
    (tmp_path / "own_log.py").write_text(f"def prune(HERE):\n    {code}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert changes_with("own_log", tmp_path / "log.txt", "pruned\n") is counts


@pytest.mark.parametrize("code", ["import (", "x = 1\0", f"import json\nx = {'+'.join('1' * 5000)}\n"])
def test_code_that_cannot_be_parsed_has_no_imports(tmp_path: Path, code: str) -> None:
    (tmp_path / "own.py").write_text(code)
    assert list_imports(tmp_path / "own.py") == frozenset()


DEEP = "import json\nif json: pass\n" + 300 * "elif json: pass\n"


def test_code_of_many_levels_has_its_imports(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(DEEP)
    assert list_imports(tmp_path / "own.py") == {"json"}


def test_a_module_of_many_levels_counts_by_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_levels.py").write_text(DEEP)
    assert changes_with("own_levels", tmp_path / "own_levels.py", f"{DEEP}else: pass\n")


def test_a_digest_does_not_depend_on_the_callers_frames() -> None:
    def read_codes(frames: int) -> list[bytes]:
        if frames:
            return read_codes(frames - 1)
        return [strip_code(b"if a: pass\n" + levels * b"elif a: pass\n") for levels in range(80, 300)]

    assert read_codes(0) == read_codes(300)


def test_the_packages_around_a_module_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python executes their __init__.py, and `import a.b` also binds a."""
    for folder in ("around_own", "around_other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("LIMIT = 1\n")
    (tmp_path / "around_own/step.py").write_text(
        "import around_other.words\ndef use(): return around_other.LIMIT\n"
    )
    (tmp_path / "around_other/words.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for folder in ("around_own", "around_other"):
        assert changes_with("around_own.step", tmp_path / folder / "__init__.py", "LIMIT = 2\n")


@pytest.mark.parametrize(
    ("code", "counts"),
    [
        ('os.environ["OWN_MODE"]', True),
        ('os.environ.get("OWN_MODE", "fast")', True),
        ('os.getenv("OWN_MODE")', True),
        ('getenv("OWN_MODE")', True),
        ('os.getenv(key="OWN_MODE")', True),
        ('"OWN_MODE" in os.environ', True),
        ("environ[NAME]", True),
        ('os.environ.get("OTHER"), "OWN_MODE"', False),
        ('table["OWN_MODE"], table.get("OWN_MODE")', False),
        ('os.environ.get("OWN_MODE_KEY")', False),
        ('os.environ.get("PYTEST_OWN")', False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_variable_of_the_environment_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, counts: bool
) -> None:
    """A step that was `MODE=fast pytest` before is another one with `MODE=exact pytest`."""
    (tmp_path / "own_mode.py").write_text(f'NAME = "OWN_MODE"\n\n\ndef f():\n    return {code}\n')
    monkeypatch.syspath_prepend(tmp_path)
    digests_by_value = []
    for value in (None, "fast", "exact"):
        for name in ("OWN_MODE", "OWN_MODE_KEY", "PYTEST_OWN"):
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
        _forget()
        digests_by_value.append(digest_code("own_mode"))
    assert len(set(digests_by_value)) == (3 if counts else 1)


@pytest.mark.parametrize(
    ("code", "counts"),
    [('environ["OWN_MODE"] = "fast"', False), ('environ.setdefault("OWN_MODE", "fast")', True)],
    ids=["assigned", "default"],
)
def test_a_variable_that_a_module_sets_counts_if_it_is_a_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, counts: bool
) -> None:
    """The digest is the same before and after the module is imported; "exact" comes from the user."""
    (tmp_path / "own_mode.py").write_text(f'import os\n\nos.{code}\nMODE = os.environ["OWN_MODE"]\n')
    monkeypatch.syspath_prepend(tmp_path)
    _forget()
    before = digest_code("own_mode")
    monkeypatch.setenv("OWN_MODE", "fast")
    _forget()
    assert digest_code("own_mode") == before
    monkeypatch.setenv("OWN_MODE", "exact")
    _forget()
    assert (digest_code("own_mode") != before) is counts


def test_a_file_named_by_its_suffix_alone_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = 'from pathlib import Path\nWORDS = Path(__file__).with_suffix(".json").read_text()\n'
    (tmp_path / "suffix_own.py").write_text(code)
    (tmp_path / "suffix_own.json").write_text("[1]")
    monkeypatch.syspath_prepend(tmp_path)
    assert changes_with("suffix_own", tmp_path / "suffix_own.json", "[2]")


def test_variables_and_docstrings_of_slimgate_never_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a checkout, slimgate's modules look like a user's."""
    module = "slimgate._system.processor"
    before = digests.digest_code_parts(module)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert digests.digest_code_parts(module) == before
    assert not {"variables", "texts"} & set(before)
