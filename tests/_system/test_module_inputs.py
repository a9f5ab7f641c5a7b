"""What the digest of a user's module depends on: imports, files and variables that its code names."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.code_digests import changes_with, forget_digests

from slimgate._system.digests import digest_code, digest_code_parts, list_imports, list_sources
from slimgate._system.source_code import strip_code


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
    forget_digests()
    assert "slimgate.models.seeding" in digest_code_parts("seeded_step")["code"]
    assert list(list_sources("seeded_step")) == ["seeded_step"]
    forget_digests()


def test_a_module_counts_as_this_process_first_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python imports it once too."""
    file = tmp_path / "read_once.py"
    file.write_text("K = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    forget_digests()
    before = digest_code("read_once")
    file.write_text("K = 2\n")
    assert digest_code("read_once") == before
    forget_digests()
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
        ('os.environ.pop("OWN_MODE", None)', True),
        ('dict(os.environ)["OWN_MODE"]', True),
        ('environ["OWN_MODE"]\n\n\nenviron = os.environ', True),
        ('E["OWN_MODE"]\n\n\nfrom os import environ as E', True),
        ('read("OWN_MODE")\n\n\nfrom os import getenv as read', True),
        ('os.environ[f"OWN_{1}"]', True),
        ('[v for k, v in os.environ.items() if k.startswith("OWN_")]', True),
        ('os.environ.update({"OWN_MODE": "fast"})', False),
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
        forget_digests()
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
    forget_digests()
    before = digest_code("own_mode")
    monkeypatch.setenv("OWN_MODE", "fast")
    forget_digests()
    assert digest_code("own_mode") == before
    monkeypatch.setenv("OWN_MODE", "exact")
    forget_digests()
    assert (digest_code("own_mode") != before) is counts


def test_a_file_named_by_its_suffix_alone_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = 'from pathlib import Path\nWORDS = Path(__file__).with_suffix(".json").read_text()\n'
    (tmp_path / "suffix_own.py").write_text(code)
    (tmp_path / "suffix_own.json").write_text("[1]")
    monkeypatch.syspath_prepend(tmp_path)
    assert changes_with("suffix_own", tmp_path / "suffix_own.json", "[2]")
