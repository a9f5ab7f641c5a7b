"""slimgate.data.sources.hub: folders in the hub's layout, and a local cache of the hub without a network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from fixtures.models.hub_layout import COMMIT, cache_dataset, write_dataset
from slimgate.data.parts import SplitColumns, make_pools
from slimgate.data.sources import hub
from slimgate.errors import DataError, SuiteError
from slimgate.plugins.params import Located

NAMES = ("not_duplicate", "duplicate")
OTHER = "f" * 40


def rows(count: int, *, labels: tuple[int, ...] = (0, 1), mark: str = "") -> pa.Table:
    return pa.table(
        {
            "question1": [f"how {mark}{i}" for i in range(count)],
            "question2": [f"why {mark}{i}" for i in range(count)],
            "label": [labels[i % len(labels)] for i in range(count)],
        }
    )


def glue(folder: Path, **splits: pa.Table) -> Path:
    """Pairs with a withheld test split, as GLUE has them."""
    usual = {"train": rows(6), "validation": rows(4, mark="v"), "test": rows(3, labels=(-1,), mark="t")}
    return write_dataset(folder, splits or usual, config="qqp", class_labels={"label": NAMES})


def read(tmp_path: Path, **options: Any) -> dict[str, pa.Table]:
    scratch = tmp_path / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    return dict(hub.source.read(hub.Params(**options), scratch=scratch))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HF_HOME, off-line."""
    import datasets
    from huggingface_hub import constants

    home = tmp_path / "home"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "datasets")
    return home


# --- a folder


def test_train_stays_train_and_the_gate_is_the_validation_split(tmp_path: Path, home: Path) -> None:
    tables = read(tmp_path, id=str(glue(tmp_path / "pairs")), config="qqp")
    assert {part: table.num_rows for part, table in tables.items()} == {"train": 6, "gate": 4}
    assert tables["gate"]["question1"].to_pylist() == ["how v0", "how v1", "how v2", "how v3"]
    assert not home.exists()  # a folder's rows are not kept in the user's cache


def test_class_labels_are_the_numbers_of_the_classes(tmp_path: Path) -> None:
    tables = read(tmp_path, id=str(glue(tmp_path / "pairs")), config="qqp")
    assert tables["gate"]["label"].to_pylist() == [0, 1, 0, 1]


def test_the_suite_says_which_split_is_which_part(tmp_path: Path) -> None:
    folder = str(glue(tmp_path / "pairs"))
    stated = {"train": "validation", "gate": "train"}
    tables = read(tmp_path, id=folder, config="qqp", splits=stated)
    assert {part: table.num_rows for part, table in tables.items()} == {"train": 4, "gate": 6}
    assert hub.source.parts(hub.Params(id=folder, splits=stated)) == ("train", "gate")


def test_a_withheld_test_split_is_not_taken_for_the_gate(tmp_path: Path) -> None:
    folder = glue(tmp_path / "pairs", train=rows(6), test=rows(3, labels=(-1,), mark="t"))
    assert list(read(tmp_path, id=str(folder), config="qqp")) == ["train"]


def test_a_labelled_test_split_is_the_gate_by_default(tmp_path: Path) -> None:
    folder = glue(tmp_path / "pairs", train=rows(6), test=rows(3, mark="t"))
    assert list(read(tmp_path, id=str(folder), config="qqp")) == ["train", "gate"]


def test_an_unlabelled_gate_split_is_one_clear_error(tmp_path: Path) -> None:
    stated = {"train": "train", "gate": "test"}
    tables = read(tmp_path, id=str(glue(tmp_path / "pairs")), config="qqp", splits=stated)
    with pytest.raises(
        DataError, match=r"^part gate is unlabelled: label column label is null, empty, nan or -1 in 3"
    ):
        make_pools(tables, SplitColumns(("question1",), "label", None))


def test_a_split_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    folder = str(glue(tmp_path / "pairs"))
    message = r'splits.gate = "validaton": no such split\. Did you mean validation\?$'
    with pytest.raises(DataError, match=message):
        read(tmp_path, id=folder, config="qqp", splits={"gate": "validaton"})


def test_splits_of_unusual_names_must_be_stated(tmp_path: Path) -> None:
    folder = glue(tmp_path / "pairs", dev=rows(4))
    with pytest.raises(DataError, match=r"has splits dev; state their roles with splits = "):
        read(tmp_path, id=str(folder), config="qqp")


def test_an_unknown_configuration_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read: ValueError: .*'qpp' not found.*'qqp'") as raised:
        read(tmp_path, id=str(glue(tmp_path / "pairs")), config="qpp")
    assert "\n" not in str(raised.value)


def test_csv_files_without_a_card_are_read_by_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    for name in ("train", "test"):
        (folder / f"{name}.csv").write_text(f"text,label\nfine {name},pos\n", "utf-8")
    tables = read(tmp_path, id=str(folder))
    assert tables["gate"].to_pylist() == [{"text": "fine test", "label": "pos"}]


def test_an_id_that_starts_again_in_each_split_is_renamed(tmp_path: Path) -> None:
    tables = {
        name: rows(2, mark=name).append_column("id", pa.array([0, 1])) for name in ("train", "validation")
    }
    folder = write_dataset(tmp_path / "pairs", tables)
    read_tables = read(tmp_path, id=str(folder))
    assert read_tables["gate"].column_names == ["question1", "question2", "label", "hub_id"]


@pytest.mark.parametrize("value", ["[0]", '{"a": 0}'], ids=["list", "object"])
def test_an_id_of_lists_or_objects_is_renamed(tmp_path: Path, value: str) -> None:
    folder = tmp_path / "pairs"
    folder.mkdir()
    lines = [f'{{"id": {value}, "text": "{text}"}}' for text in ("fine", "bad")]
    (folder / "train.jsonl").write_text("\n".join(lines), "utf-8")
    assert read(tmp_path, id=str(folder))["train"].column_names == ["hub_id", "text"]


def test_an_id_of_the_whole_is_kept(tmp_path: Path) -> None:
    tables = {"train": rows(2).append_column("id", pa.array(["a", "b"]))}
    assert "id" in read(tmp_path, id=str(write_dataset(tmp_path / "pairs", tables)))["train"].column_names


def test_a_folder_is_seen_from_the_suite_file(tmp_path: Path) -> None:
    folder = glue(tmp_path / "pairs")
    for text in ("./pairs", "pairs"):
        assert hub.Params(id=Located.at(text, tmp_path)).folder == folder


def test_a_missing_folder_is_reported_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"/pears: no such folder$"):
        hub.source.columns(hub.Params(id=Located.at("./pears", tmp_path)))
    assert hub.source.columns(hub.Params(id="nyu-mll/glue")) is None


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    with pytest.raises(
        SuiteError, match=r"^revision = main was given, but a folder has no revisions; leave it out$"
    ):
        hub.source.columns(hub.Params(id=str(glue(tmp_path / "pairs")), revision="main"))


def test_what_is_no_name_of_the_hub_is_an_error_of_the_suite() -> None:
    with pytest.raises(ValidationError, match=r"expected a name of the hub, such as"):
        hub.Params(id="a/b/c")


def test_the_digest_of_a_folder_follows_its_bytes_only(tmp_path: Path) -> None:
    first, second = glue(tmp_path / "a"), glue(tmp_path / "b")
    digest = hub.source.digest(hub.Params(id=str(first), config="qqp"))
    assert hub.source.digest(hub.Params(id=str(second), config="qqp")) == digest
    assert hub.source.digest(hub.Params(id=str(second), config="qqp", splits={"train": "train"})) != digest
    glue(second, train=rows(5))
    assert hub.source.digest(hub.Params(id=str(second), config="qqp")) != digest


# --- the local cache of the hub


def cached(tmp_path: Path, home: Path, **options: Any) -> Path:
    return cache_dataset(home, "team/pairs", glue(tmp_path / "pairs"), config="qqp", **options)


def test_rows_in_the_cache_need_no_network(
    tmp_path: Path, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cached(tmp_path, home)
    capfd.readouterr()
    tables = read(tmp_path, id="team/pairs", config="qqp")
    assert {part: table.num_rows for part, table in tables.items()} == {"train": 6, "gate": 4}
    assert capfd.readouterr() == ("", "")  # no progress bars, no notices


def test_a_cached_commit_is_used_and_no_other(tmp_path: Path, home: Path) -> None:
    cached(tmp_path, home)
    for revision in (COMMIT, "main"):
        assert read(tmp_path, id="team/pairs", config="qqp", revision=revision)["gate"].num_rows == 4
    for revision in (OTHER, "v2"):
        with pytest.raises(
            DataError, match=rf"at {revision}: not in the local cache .* has the commit {COMMIT}\)$"
        ):
            read(tmp_path, id="team/pairs", config="qqp", revision=revision)


@pytest.mark.usefixtures("home")
def test_rows_that_are_not_cached_are_one_clear_error_offline(tmp_path: Path) -> None:
    message = (
        r"^team/unknown \(qqp\): not in the local cache of the hub, and the hub cannot be reached; download "
        r'it once with datasets\.load_dataset\("team/unknown", "qqp"\), or use files$'
    )
    with pytest.raises(DataError, match=message):
        read(tmp_path, id="team/unknown", config="qqp")


def test_the_digest_of_the_hub_is_that_of_the_commit(tmp_path: Path, home: Path) -> None:
    params = hub.Params(id="team/pairs", config="qqp")
    before = hub.source.digest(params)
    cached(tmp_path, home)
    assert hub.source.digest(params) != before
    assert hub.source.digest(params) == hub.source.digest(
        hub.Params(id="team/pairs", config="qqp", revision=COMMIT)
    )
