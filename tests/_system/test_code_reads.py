"""slimgate._system.code_reads: what a user's code reads counts, however the code finds its name."""

import hashlib
import os
import sys
from pathlib import Path

import pytest
from support.code_digests import forget_digests

from slimgate._system.code_reads import (
    describe_code_reads,
    list_changed_reads,
    stop_watching_variables,
    watch_reads,
    watch_variables,
)

MODULE = "reading_step"
READERS = {
    "glob": "return [path.read_text() for path in sorted(Path('lists').glob('*.txt'))]",
    "iterdir": "return [path.read_text() for path in Path('lists').iterdir()]",
    "os.walk": "return [Path(top, name).read_text() for top, _, names in os.walk('lists') for name in names]",
    "f-string": "return Path(f'lists/{chr(97)}.txt').read_text()",
    "os.open": "return os.close(os.open(f'lists/{chr(97)}.txt', os.O_RDONLY))",
    "numpy": "return np.loadtxt(f'lists/{chr(97)}.txt', dtype=str)",
    "settings": "return Path(Path('settings').read_text()).read_text()",
    "thread": "return ThreadPoolExecutor().submit(Path(f'lists/{chr(97)}.txt').read_text).result()",
    "helper": "return reading_helper.read()",
    "mkdir": "os.makedirs('lists', exist_ok=True); return Path(f'lists/{chr(97)}.txt').read_text()",
}
IMPORTS = """
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import reading_helper
"""


TRY_TO_READ = """
def run_path(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files to read, which is the current folder and on sys.path."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/a.txt").write_text("one\n")
    (tmp_path / "settings").write_text("lists/a.txt")
    (tmp_path / "reading_helper.py").write_text(
        "from pathlib import Path\ndef read():\n    return Path(f'lists/{chr(97)}.txt').read_text()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    watch_reads()
    watch_variables()  # a test before may have compiled a model
    return tmp_path


def run_code(body: str, folder: Path, *, imports: str = "") -> dict[str, str]:
    """Imports a module with a function of this body, calls it, and returns what it has read."""
    for name in (MODULE, "reading_helper"):
        sys.modules.pop(name, None)
    forget_digests()
    file = folder / f"{MODULE}.py"
    file.write_text(f"{IMPORTS}{imports}\n\ndef run():\n    {body}\n")
    __import__(MODULE).run()
    return describe_code_reads([MODULE], folder / "store")


@pytest.mark.parametrize("reader", READERS)
def test_a_file_counts_however_its_name_is_formed(project: Path, reader: str) -> None:
    states = run_code(READERS[reader], project)
    assert "lists/a.txt" in states
    assert list_changed_reads(states) == []
    (project / "lists/a.txt").write_text("two words\n")
    assert list_changed_reads(states) == ["lists/a.txt"]


@pytest.mark.parametrize("reader", ["glob", "iterdir", "os.walk"])
def test_a_new_file_in_a_listed_folder_counts(project: Path, reader: str) -> None:
    states = run_code(READERS[reader], project)
    (project / "lists/b.txt").write_text("two\n")
    assert list_changed_reads(states) == ["lists"]


def test_of_the_current_folder_files_count_and_folders_do_not(project: Path) -> None:
    states = run_code("return os.listdir()", project)
    (project / "reports").mkdir()
    assert list_changed_reads(states) == []
    (project / "b.txt").write_text("two")
    assert list_changed_reads(states) == ["."]


def test_a_file_that_was_missing_counts(project: Path) -> None:
    states = run_code("return run_path(f'{chr(97)}.cfg')", project, imports=TRY_TO_READ)
    assert states == {"a.cfg": "missing"}
    (project / "a.cfg").write_text("x")
    assert list_changed_reads(states) == ["a.cfg"]


def test_a_file_that_was_read_at_import_counts(project: Path) -> None:
    states = run_code("return WORDS", project, imports="WORDS = Path(f'lists/{chr(97)}.txt').read_text()")
    assert list(states) == ["lists/a.txt"]


@pytest.mark.parametrize(
    "body",
    [
        "Path(f'made-{1}').write_text('x'); return Path(f'made-{1}').read_text()",
        "os.mkdir('made'); Path('made/x').write_text('x'); return os.listdir('made')",
        "Path('x.tmp').write_text('x'); os.rename('x.tmp', 'made'); return Path('made').read_text()",
        "os.makedirs('store/artifacts'); os.listdir('store'); return os.listdir('store/artifacts')",
        "return Path('/proc/self/stat').read_text()",
        "return Path(np.__file__).read_text()",
        "return 1",
    ],
    ids=["file", "folder", "renamed", "store", "system", "package", "nothing"],
)
def test_what_is_no_input_does_not_count(project: Path, body: str) -> None:
    assert run_code(body, project) == {}


def test_another_modules_reads_do_not_count(project: Path) -> None:
    states = run_code("return 1", project)
    (project / "lists/a.txt").read_text()  # this test reads, and not the module
    assert states == describe_code_reads([MODULE], project / "store") == {}


# Each reads the variable whose name is computed: the code does not contain it.
VARIABLE_READERS = {
    "subscript": "return os.environ[chr(65) + 'X']",
    "get": "return os.environ.get(chr(65) + 'X')",
    "getenv": "return os.getenv(chr(65) + 'X')",
    "in": "return chr(65) + 'X' in os.environ",
    "expandvars": "return os.path.expandvars('$' + chr(65) + 'X')",
    "after a copy": "dict(os.environ); return os.environ[chr(65) + 'X']",
    "helper": "return reading_helper.read_variable(chr(65) + 'X')",
}
HELPER = "import os\ndef read_variable(name):\n    return os.environ[name]\n"


@pytest.mark.parametrize("reader", VARIABLE_READERS)
def test_a_variable_counts_however_it_is_read(
    project: Path, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    (project / "reading_helper.py").write_text(HELPER)
    monkeypatch.setenv("AX", "strict")
    states = run_code(VARIABLE_READERS[reader], project)
    assert states == {"$AX": hashlib.sha256(b"strict").hexdigest()}
    monkeypatch.setenv("AX", "lenient")
    assert list_changed_reads(states) == ["$AX"]
    monkeypatch.delenv("AX")
    assert list_changed_reads(states) == ["$AX"]


def test_a_variable_that_was_not_set_counts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AX", raising=False)
    states = run_code("return os.environ.get(chr(65) + 'X')", project)
    assert states == {"$AX": "missing"}
    monkeypatch.setenv("AX", "")
    assert list_changed_reads(states) == ["$AX"]


@pytest.mark.parametrize(
    "body",
    [
        "return dict(os.environ)",
        "return {**os.environ}",
        "return os.environ.copy() | os.environ",
        "return list(os.environ.items()) + list(os.environ.values())",
        "os.environ[chr(65) + 'X'] = 'x'; return os.environ[chr(65) + 'X']",
        "return os.environ.get('API_KEY'), os.environ.get('PYTEST_' + 'CURRENT_TEST')",
        "return tempfile.gettempdir()",
    ],
    ids=["dict", "unpacked", "copies", "items", "set", "secrets", "library"],
)
def test_a_variable_that_is_no_input_does_not_count(
    project: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setenv("AX", "strict")
    monkeypatch.setattr("tempfile.tempdir", None)  # so that tempfile reads TMPDIR
    imports = "import tempfile\n"
    states = run_code(body, project, imports=imports)
    assert [name for name in states if name.startswith("$")] == []


def test_after_a_compilation_no_variable_is_noted(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AX", "1")
    stop_watching_variables()
    assert type(os.environ) is os._Environ
    assert run_code("return os.environ[chr(65) + 'X']", project) == {}
