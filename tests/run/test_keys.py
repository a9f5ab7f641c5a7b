"""slimgate.run.keys: each input changed in turn changes the key, and what never counts does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.tiny_suite import make_tiny_run

from slimgate._system import digests
from slimgate._system.digests import digest_code, file_sha256, list_files_below
from slimgate.errors import DataError
from slimgate.plugins.models import ModelRef
from slimgate.results.checks import TEACHER
from slimgate.run import contents, keys
from slimgate.run.rows import check_task
from slimgate.runtimes.endpoint import EndpointTable, StartedEndpoint

COUNTS = (
    "model.safetensors",
    "config.json",
    "generation_config.json",
    "chat_template.jinja",
    "additional_chat_templates/tool.jinja",
    "tokenizer.json",
    "added_tokens.json",
    "tokenizer.model",
    "source.spm",
    "tekken.tiktoken",
    "adapter_config.json",
    "adapter_model.safetensors",
    "preprocessor_config.json",
    "modeling_own.py",
    "model.onnx",
    "model.onnx_data",
    "weights/part.data",
    "openvino_model.xml",
    "something.new",
)
NEVER = (
    "README.md",
    "LICENSE",
    ".gitattributes",
    ".git/HEAD",
    "train.log",
    "optimizer.pt",
    "checkpoint-500/model.bin",
)


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name in (*COUNTS, *NEVER):
        write(tmp_path / "m", name, "before")
    return tmp_path / "m"


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("how", ["edited", "removed", "renamed"])
def test_each_file_of_a_model_counts(model: Path, name: str, how: str) -> None:
    before = contents.digest_model_files(ModelRef("m", model))
    if how == "edited":
        (model / name).write_text("after!")
    elif how == "removed":
        (model / name).unlink()
    else:
        (model / name).rename(model / f"{name}2")
    assert contents.digest_model_files(ModelRef("m", model)) != before


@pytest.mark.parametrize("name", NEVER)
def test_what_is_on_the_short_list_does_not_count(model: Path, name: str) -> None:
    before = contents.digest_model_files(ModelRef("m", model))
    (model / name).write_text("after!")
    assert contents.digest_model_files(ModelRef("m", model)) == before


def test_files_behind_links_count_and_a_circle_ends(tmp_path: Path, model: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere", "more.bin", "1")
    (model / "linked").symlink_to(elsewhere.parent)
    (model / "single.bin").symlink_to(elsewhere)
    (model / "circle").symlink_to(model)
    before = contents.digest_model_files(ModelRef("m", model))
    assert {"linked/more.bin", "single.bin"} <= set(list_files_below(model))
    elsewhere.write_text("22")
    assert contents.digest_model_files(ModelRef("m", model)) != before


def test_a_gguf_file_counts_with_what_lies_beside_it(model: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        write(model, name, "before")
    ref = ModelRef("a", model, file="a.gguf")
    before = contents.digest_model_files(ref)
    (model / "b.gguf").write_text("another model")
    assert contents.digest_model_files(ref) == before
    (model / "chat_template.jinja").write_text("other")
    assert contents.digest_model_files(ref) != before


def test_a_file_that_is_written_again_at_once_has_another_digest(tmp_path: Path) -> None:
    file = write(tmp_path, "a", "1")
    before = file_sha256(file)
    file.write_text("2")
    assert file_sha256(file) != before


def started(*command: str) -> StartedEndpoint:
    return StartedEndpoint.model_validate(
        {"url": "http://localhost:8000/v1", "model": "m", "server": {"command": command}}, strict=False
    )


COMMANDS: dict[str, tuple[str, ...]] = {
    "argument": ("python3", "serve.py", "W/m.gguf"),
    "option": ("python3", "serve.py", "--model=W/m.gguf"),
    "relative": ("python3", "serve.py", "weights/m.gguf"),
    "folder": ("python3", "serve.py", "W"),
    "name=path": ("python3", "serve.py", "--lora", "x=weights/m.gguf"),
    "json": ("python3", "serve.py", '{"model": "weights/m.gguf"}'),
    "shell": ("bash", "-c", "MODEL=weights/m.gguf exec python3 serve.py"),
    "env": ("env", "MODEL=weights/m.gguf", "python3", "serve.py"),
    "script": ("bash", "serve.sh"),
    "settings": ("python3", "serve.py", "--config", "serve.yaml"),
}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "serve.py", "def main():\n    import lazily\n")
    write(tmp_path, "lazily.py", "X = 1\n")
    write(tmp_path, "serve.sh", "exec llama-server -m weights/m.gguf\n")
    write(tmp_path, "serve.yaml", "model: weights/m.gguf\n")
    write(tmp_path, "weights/m.gguf", "good")
    return tmp_path


@pytest.mark.parametrize("how", COMMANDS)
def test_a_file_that_a_servers_command_names_counts(served: Path, how: str) -> None:
    params = started(*(word.replace("W", str(served / "weights")) for word in COMMANDS[how]))
    before = contents.digest_server_files(params, served)
    contents.check_server(params, served, before)
    (served / "weights/m.gguf").write_text("bad!")
    assert contents.digest_server_files(params, served) != before
    with pytest.raises(DataError, match=r"weights.* changed while the server ran"):
        contents.check_server(params, served, before)


def test_what_a_servers_script_imports_counts(served: Path) -> None:
    commands = [
        started("python3", "serve.py"),
        started("python3", "-m", "serve"),
        started("uvicorn", "serve:app"),
    ]
    before = [contents.digest_server_files(command, served) for command in commands]
    (served / "lazily.py").write_text("X = 2\n")
    after = [contents.digest_server_files(command, served) for command in commands]
    assert all(old != new for old, new in zip(before, after, strict=True))


def test_variables_of_a_servers_command_count(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = started("bash", "-c", "exec llama-server -m $MODEL")
    monkeypatch.setenv("MODEL", "weights/m.gguf")
    before = contents.digest_server_files(params, served)
    (served / "weights/m.gguf").write_text("bad!")
    changed = contents.digest_server_files(params, served)
    monkeypatch.setenv("VLLM_USE_V1", "0")
    assert (
        len({str(digest) for digest in (before, changed, contents.digest_server_files(params, served))}) == 3
    )


def test_a_server_that_slimgate_does_not_start_is_unknown() -> None:
    params = EndpointTable(url="http://localhost:8000/v1", model="m")
    assert contents.is_unknown_server(params)
    assert not contents.is_unknown_server(started("bash"))
    assert contents.digest_server_files(params, Path.cwd()) == {}


def test_an_option_that_names_a_file_counts_by_its_content(tmp_path: Path) -> None:
    file = write(tmp_path, "data/calib.txt", "1")
    options: Any = {
        "bits": 4,
        "file": str(file),
        "all": [{"folder": str(tmp_path / "data")}],
        "text": "plain",
    }
    before = contents.digest_option_files(options)
    assert set(before) == {".file", ".all[0].folder"}
    file.write_text("22")
    assert all(before[place] != digest for place, digest in contents.digest_option_files(options).items())


def test_options_name_bare_files_and_files_of_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("labels", "words.txt", "train/rows.csv"):
        write(tmp_path, name, "1")
    options: Any = {"labels": "labels", "words": "~/words.txt", "split": "train", "user": "~nobody-here/x"}
    assert set(contents.digest_option_files(options)) == {".labels", ".labels (name)", ".words"}


def test_a_task_folder_counts_without_suites(tmp_path: Path) -> None:
    for name in ("mine.yaml", "base.yaml", "utils.py", "docs.jsonl", "inner/words.txt"):
        write(tmp_path, name, "x = 1")
    write(tmp_path, "s.toml", "[suite]\n")
    before = contents.digest_task_folder(tmp_path)
    (tmp_path / "s.toml").write_text("[suite]\ntitle = 'other'\n")
    assert contents.digest_task_folder(tmp_path) == before
    for name in ("mine.yaml", "base.yaml", "utils.py", "docs.jsonl", "inner/words.txt"):
        (tmp_path / name).write_text("x = 22")
        assert contents.digest_task_folder(tmp_path) != before
        before = contents.digest_task_folder(tmp_path)


# Code and versions


def install(site: Path, name: str, version: str, requires: str = "", origin: str = "") -> None:
    about = site / f"{name}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    write(about, "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
    write(about, "RECORD", f"{name}/__init__.py,{version},\n")
    write(site, f"{name}/__init__.py", "")
    if origin:
        write(about, "direct_url.json", origin)
    digests.forget()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "own")
    install(tmp_path / "site", "deeplib", "1.0")
    install(tmp_path / "site", "scorelib", "1.0", requires="deeplib>=1")
    yield tmp_path / "site"
    digests.forget()


@pytest.mark.parametrize(
    "code",
    [
        "import scorelib\n",
        "def score(a, b):\n    from scorelib import f\n",
        "import helper_of_mine\n",
        "from importlib import import_module\nM = import_module('scorelib')\n",
        "NAME = 'scorelib'\nM = __import__(NAME)\n",
    ],
    ids=["import", "inside a function", "through a module", "by a name", "by a constant"],
)
@pytest.mark.parametrize("upgraded", ["scorelib", "deeplib"])
def test_an_upgrade_of_what_a_score_imports_counts(site: Path, code: str, upgraded: str) -> None:
    write(site.parent / "own", "score_of_mine.py", code)
    write(site.parent / "own", "helper_of_mine.py", "import scorelib\n")
    digests.forget()
    before = digest_code("score_of_mine")
    digests.forget()
    assert digest_code("score_of_mine") == before
    install(site, upgraded, "2.0", requires="deeplib>=1" if upgraded == "scorelib" else "")
    assert digest_code("score_of_mine") != before


def test_a_package_of_a_folder_counts_by_its_files_too(site: Path) -> None:
    write(site.parent / "own", "score_of_mine.py", "import locallib\n")
    origin = '{"url": "file:///src", "dir_info": {}}'
    install(site, "locallib", "1.0", origin=origin)
    before = digest_code("score_of_mine")
    write(site / "locallib.dist-info", "RECORD", "locallib/__init__.py,sha256=other,\n")
    digests.forget()
    assert digest_code("score_of_mine") != before


@pytest.mark.parametrize(
    "code", ["x = 1\n", f"x = {'+'.join('1' * 5000)}\n"], ids=["short", "nested too deeply"]
)
def test_a_package_installed_in_place_counts_by_its_code(site: Path, code: str) -> None:
    folder = site.parent / "checkout"
    write(site.parent / "own", "score_of_mine.py", "import placelib\n")
    write(folder, "placelib/__init__.py", code)
    install(
        site, "placelib", "1.0", origin=f'{{"url": "{folder.as_uri()}", "dir_info": {{"editable": true}}}}'
    )
    before = digest_code("score_of_mine")
    write(folder, "placelib/__init__.py", f"{code}y = 2\n")
    digests.forget()
    assert digest_code("score_of_mine") != before


@pytest.mark.parametrize(
    "code",
    ['open("words.txt")\n', 'F = HERE / "data" / "words.txt"\n', 'F = join(HERE, "data", "words.txt")\n'],
)
def test_a_file_that_a_users_module_names_counts(site: Path, code: str) -> None:
    folder = site.parent / "own"
    write(folder, "score_of_mine.py", code)
    files = [write(folder, "words.txt", "a"), write(folder, "data/words.txt", "a")]
    digests.forget()
    before = digest_code("score_of_mine")
    for file in files:
        file.write_text("bb")
    digests.forget()
    assert digest_code("score_of_mine") != before


# Keys of a whole suite


def all_keys(run: Any) -> dict[str, str]:
    """The keys of artifacts, of outcomes and of results, by what they are of."""
    from slimgate.run.result_keys import _make_answer_keys, digest_inputs

    keys_by_name = {f"answers {name}": key for name, key in _make_answer_keys(run.suite, run).items()}
    digests_by_name = digest_inputs(run, threads=run.suite.threads)
    keys_by_name |= {
        f"{name} {kind}": key for name, digests in digests_by_name.items() for kind, key in digests.items()
    }
    return {"splits": keys.make_splits_key(run.suite), **keys_by_name}


def test_each_file_of_a_suites_model_changes_every_key_of_it(tmp_path: Path) -> None:
    before = all_keys(make_tiny_run(tmp_path))
    assert len(before) > 30
    assert all_keys(make_tiny_run(tmp_path)) == before
    for name in [*list_files_below(tmp_path / "hub"), "chat_template.jinja"]:
        file = tmp_path / "hub" / name
        content = file.read_bytes() if file.is_file() else b"{{ messages }}"
        file.write_bytes(content + b" ")
        try:
            after = all_keys(make_tiny_run(tmp_path))
        finally:
            file.write_bytes(content)
        assert {key for key in before if before[key] == after.get(key)} == {"splits"}, name
        before = all_keys(make_tiny_run(tmp_path))


def test_a_setting_of_arithmetic_changes_every_key_but_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = all_keys(make_tiny_run(tmp_path))
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
    after = all_keys(make_tiny_run(tmp_path))
    assert {key for key in before if before[key] == after[key]} == {"splits"}


def test_a_task_that_changes_during_a_run_is_refused(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path)
    task = run.suite.setup.task
    check_task(task, run.rows.task)
    with pytest.raises(DataError, match="its environment changed during this run"):
        check_task(task, {**run.rows.task, "environment": {"utils.py": "other"}})


def test_a_users_task_whose_environment_is_not_json_is_refused(tmp_path: Path) -> None:
    task = make_tiny_run(tmp_path).suite.setup.task

    class Dated(type(task.object)):  # type: ignore[misc]
        def environment(self, _params: object) -> dict[str, object]:
            return {"folders": {tmp_path}}

    with pytest.raises(
        DataError, match=r'task "own:dated": TypeError: its environment returned .* JSON values'
    ):
        keys.make_task_key(replace(task, name="own:dated", object=Dated()))


def test_what_steps_share_depends_on_teacher_task_and_code(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path)
    artifact: Any = SimpleNamespace(digest="a")
    other: Any = SimpleNamespace(digest="b")
    shared = keys.list_shared_inputs(artifact, run.rows.task, "cpu")

    def fill(_folder: Path) -> dict[str, Any]:
        return {}

    before = keys.make_shared_key(shared, {"inputs": 1}, fill)
    changed = [
        keys.make_shared_key(keys.list_shared_inputs(other, run.rows.task, "cpu"), {"inputs": 1}, fill),
        keys.make_shared_key(keys.list_shared_inputs(artifact, {"name": "x"}, "cpu"), {"inputs": 1}, fill),
        keys.make_shared_key(keys.list_shared_inputs(artifact, run.rows.task, "cuda"), {"inputs": 1}, fill),
        keys.make_shared_key(shared, {"inputs": 2}, fill),
        keys.make_shared_key(shared, {"inputs": 1}, file_sha256),  # type: ignore[arg-type]
    ]
    assert before not in changed
    assert run.suite.model(TEACHER).name == TEACHER


def test_no_other_module_composes_a_digest_of_code() -> None:
    root = Path(keys.__file__).parents[1]
    users = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "digest_code(" in path.read_text("utf-8")
    }
    assert users == {"_system/digests.py", "run/keys.py", "run/result_keys.py"}
