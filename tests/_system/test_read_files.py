"""slimgate._system.read_files: what a user's code reads counts, however the code finds the file."""

import sys
from pathlib import Path

import pytest
from support.code_digests import forget_digests

from slimgate._system.read_files import are_unchanged, describe_read_files, watch_reads

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
    return tmp_path


def run_code(body: str, folder: Path, *, imports: str = "") -> dict[str, str]:
    """Imports a module with a function of this body, calls it, and returns what it has read."""
    for name in (MODULE, "reading_helper"):
        sys.modules.pop(name, None)
    forget_digests()
    file = folder / f"{MODULE}.py"
    file.write_text(f"{IMPORTS}{imports}\n\ndef run():\n    {body}\n")
    __import__(MODULE).run()
    return describe_read_files([MODULE], folder / "store")


@pytest.mark.parametrize("reader", READERS)
def test_a_file_counts_however_its_name_is_formed(project: Path, reader: str) -> None:
    states = run_code(READERS[reader], project)
    assert "lists/a.txt" in states
    assert are_unchanged(states)
    (project / "lists/a.txt").write_text("two words\n")
    assert not are_unchanged(states)


@pytest.mark.parametrize("reader", ["glob", "iterdir", "os.walk"])
def test_a_new_file_in_a_listed_folder_counts(project: Path, reader: str) -> None:
    states = run_code(READERS[reader], project)
    (project / "lists/b.txt").write_text("two\n")
    assert not are_unchanged(states)


def test_a_file_that_was_missing_counts(project: Path) -> None:
    states = run_code("return run_path(f'{chr(97)}.cfg')", project, imports=TRY_TO_READ)
    assert states == {"a.cfg": "missing"}
    (project / "a.cfg").write_text("x")
    assert not are_unchanged(states)


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
    assert states == describe_read_files([MODULE], project / "store") == {}
