"""slimgate.data.sources.files: Params, columns without loading, digests, and the rows of every format."""

from __future__ import annotations

import gzip
import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from slimgate.data.sources import files
from slimgate.errors import DataError, SuiteError
from slimgate.plugins.params import Located

DATA = Path(__file__).parents[3] / "../shared/data"


def data_folder(name: str) -> Path:
    folder = (DATA / name).resolve()
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: this test reads real data")
    return folder


def params_of(**options: Any) -> files.Params:
    return files.Params(**options)


def read(tmp_path: Path, **params: Any) -> dict[str, dict[str, list[Any]]]:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    tables = files.source.read(params_of(**params), scratch=scratch)
    return {name: table.to_pydict() for name, table in tables.items()}


def write(path: Path, content: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


# --- Params


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "none of them given"),
        ({"path": "a.csv", "train": "b.csv"}, "path and train given"),
        ({"path": "a.csv", "by_label": {"x": "a.txt", "y": "b.txt"}}, "path and by_label given"),
        ({"by_label": {"x": "a.txt"}}, "at least two labels; found x"),
        ({"by_label": {"x": "a.txt", "y": "b.txt"}, "format": "csv"}, 'and format = "csv" was given'),
        ({"path": "a.csv", "split_column": "split"}, "split_column needs path and splits"),
        ({"path": "a.csv", "splits": {"gate": "test"}}, "split_column needs path and splits"),
        (
            {"train": "a.csv", "split_column": "split", "splits": {"gate": "test"}},
            "split_column needs path and splits",
        ),
        (
            {"path": "a.csv", "split_column": "split", "splits": {"gate": "test", "train": ["test"]}},
            'splits names the value "test" twice',
        ),
        ({"path": "a.xlsx"}, "suffix .xlsx does not show the format; known: .csv"),
        ({"train": "a.csv", "gate": "a.csv"}, "occurs twice, in train and in gate"),
        ({"path": "a.csv", "encoding": "utf-9"}, "encoding utf-9 is not known"),
        ({"path": []}, "at least 1 item"),
        ({"path": 3}, "path"),
        ({"path": "a.csv", "trian": "b.csv"}, "unknown key trian. Did you mean train?"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_wrong_params_say_what_came_and_what_was_expected(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        params_of(**params)
    assert message in str(caught.value)


def test_paths_are_relative_to_the_file_that_states_them(tmp_path: Path) -> None:
    path = Located.at("rows.csv", tmp_path)
    params = params_of(train=path, gate=[Located.at("gate.csv", tmp_path)])
    assert params.train == (tmp_path / "rows.csv",)
    assert params.gate == (tmp_path / "gate.csv",)


def test_the_json_schema_offers_one_path_or_a_list() -> None:
    choices = files.Params.model_json_schema()["properties"]["gate"]["anyOf"]
    assert {"type": "string"} in choices
    assert {"type": "array", "items": {"type": "string"}, "minItems": 1} in choices


def test_parts_are_all_or_those_that_are_named() -> None:
    assert files.source.parts(params_of(path="a.csv")) == ("all",)
    assert files.source.parts(params_of(by_label={"x": "a.pos", "y": "a.neg"})) == ("all",)
    assert files.source.parts(params_of(gate="b.csv", train=["a.csv", "c.csv"])) == ("train", "gate")


def test_rows_are_real_unless_the_suite_says_otherwise() -> None:
    assert files.source.is_real(params_of(path="a.csv"))
    assert not files.source.is_real(params_of(path="a.csv", real=False))


# --- columns


def test_columns_come_from_the_head_of_each_format(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "label": [1]}), tmp_path / "a.parquet")
    paths = [
        write(tmp_path / "a.csv", '\ufeff"text",label\nx,y\n'),
        write(tmp_path / "a.tsv", "text\tlabel\n"),
        write(tmp_path / "a.jsonl", '\n{"text": "x", "label": 1}\n'),
        write(tmp_path / "a.json", '[{"text": "x"}, {"text": "y", "label": 1}]'),
        str(tmp_path / "a.parquet"),
    ]
    assert [files.source.columns(params_of(path=path)) for path in paths] == [("text", "label")] * 5
    assert files.source.columns(params_of(path=write(tmp_path / "a.txt", "x\n"))) == ("text",)
    assert files.source.columns(params_of(by_label={"x": paths[0], "y": paths[1]})) == ("text", "label")


def test_columns_of_parts_are_those_that_any_part_has(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", "text,label\n")
    gate = write(tmp_path / "gate.csv", "text,source\n")
    assert files.source.columns(params_of(train=train, gate=gate)) == ("text", "label", "source")


def test_a_missing_file_names_its_nearest_neighbour(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "text\nx\n")
    with pytest.raises(SuiteError, match=r"trian\.csv: no such file\. Did you mean train\.csv\?"):
        files.source.columns(params_of(path=str(tmp_path / "trian.csv")))
    with pytest.raises(SuiteError, match="is a folder, expected a file of rows"):
        files.source.columns(params_of(path=str(tmp_path), format="csv"))
    with pytest.raises(SuiteError, match="and no folder"):
        files.source.columns(params_of(path=str(tmp_path / "none" / "a.csv")))
    with pytest.raises(SuiteError, match="no such file"):
        files.source.columns(
            params_of(by_label={"x": str(tmp_path / "train.csv"), "y": str(tmp_path / "b.txt")})
        )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "is empty, expected rows as csv"),
        ("a.csv", "text,text\n", "column 'text' twice"),
        (
            "a.csv",
            "text,,label\n",
            'a column without a name, expected a different name for each column, found: text, "", label',
        ),
        (
            "a.csv",
            ",text,label\n",
            r'found: "", text, label; pandas writes an index like this, and to_csv\(index=False\)',
        ),
        ("a.parquet", "hello", "is not parquet"),
        ("a.json", '[{"text": "x"},\n {"text" "y"}]', "line 2 is not JSON"),
        ("a.json", '[{"text": "x"}, 3]', "item 2 is 3, expected an object"),
        ("a.jsonl", '{"text": "x"}\n\n{"text":\n', "line 3 is not JSON"),
        (
            "a.jsonl",
            '{"text": "x", "\\ud800": 1}\n',
            r'line 1: the key "\\ud800" contains half of a surrogate pair',
        ),
        ("a.jsonl", '{"text": "x"}\n["y"]\n', r"line 2 is \[.y.\], expected an object"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        files.source.columns(params_of(path=write(tmp_path / name, content)))


def test_files_of_one_part_must_have_the_same_columns(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.csv", "text,label\nx,1\n"), write(tmp_path / "b.csv", "text,lable\nx,1\n")
    for ask in (files.source.columns, lambda params: files.source.read(params, scratch=tmp_path)):
        with pytest.raises(
            DataError, match=r"b\.csv has columns text, lable, expected text, label as in a\.csv"
        ):
            ask(params_of(path=[a, b]))


def test_import_and_columns_load_neither_datasets_nor_torch(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\nx,1\n")
    code = (
        "import sys; from slimgate.data.sources import files; "
        f"p = files.Params(path={path!r}); files.source.columns(p); files.source.digest(p); "
        "sys.exit(' '.join({'datasets', 'pandas', 'torch', 'transformers'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=DATA.parents[2], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# --- digest


def test_the_digest_follows_content_and_options_not_folders(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.txt", "x\n"), write(tmp_path / "b.txt", "y\n")
    moved = write(tmp_path / "moved" / "other.txt", "x\n")
    first = files.source.digest(params_of(by_label={"p": a, "n": b}))
    assert files.source.digest(params_of(by_label={"p": moved, "n": b})) == first
    assert files.source.digest(params_of(by_label={"p": a, "n": b}, real=False)) == first
    digests = [
        files.source.digest(params_of(by_label={"p": b, "n": a})),
        files.source.digest(params_of(by_label={"p": a, "q": b})),
        files.source.digest(params_of(by_label={"p": a, "n": b}, encoding="latin-1")),
        files.source.digest(params_of(train=a, gate=b)),
        files.source.digest(params_of(path=[a, b])),
        files.source.digest(params_of(path=[a, b], format="csv")),
    ]
    write(tmp_path / "b.txt", "z\n")
    digests.append(files.source.digest(params_of(by_label={"p": a, "n": b})))
    assert len({first, *digests}) == 8


# --- read


def test_csv_values_stay_as_they_are_written(tmp_path: Path) -> None:
    rows = '\ufefftext,label\n"a ""q"", b\nnew",01\nNA,None\n\nx\u0085y,\n'
    assert read(tmp_path, path=write(tmp_path / "a [1]*.csv", rows)) == {
        "all": {"text": ['a "q", b\nnew', "NA", "x\u0085y"], "label": ["01", "None", ""]}
    }


def test_csv_columns_have_one_type_in_every_part(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", "text,label\na,1\nb,2\n")
    gate = write(tmp_path / "gate.csv", "label,text\nother,c\n")
    assert read(tmp_path, train=train, gate=gate) == {
        "train": {"text": ["a", "b"], "label": ["1", "2"]},
        "gate": {"label": ["other"], "text": ["c"]},
    }


def test_a_label_is_the_same_type_in_a_csv_part_and_a_jsonl_part(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", "text,label\na,1\n")
    gate = write(tmp_path / "gate.jsonl", '{"text": "b", "label": 1}\n')
    parts = read(tmp_path, train=train, gate=gate)
    assert parts["train"]["label"] == parts["gate"]["label"] == ["1"]


def test_quotes_can_be_plain_characters(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'text\tlabel\n"open\t1\nclose"\t2\n')
    assert read(tmp_path, path=path, quotes=False)["all"] == {
        "text": ['"open', 'close"'],
        "label": ["1", "2"],
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label\n", "has no rows"),
        ("a.jsonl", "\n\n", "has no rows"),
        ("a.json", "[]", "has no rows"),
        ("a.txt", "\n \n", "has no rows"),
        ("a.csv", "text,label\nx,1\ny,1,3\n", "Expected 2 fields in line 3, saw 3"),
        ("a.csv", "text,label\nx,1,7\ny,1,3\n", "cannot be read as csv: Length of header or names"),
        ("a.csv", 'text,label\n"x,1\ny,2\n', "EOF inside string"),
        ("a.jsonl", '{"text": "x"}\n{"text": "y"\n', r"a\.jsonl: line 2 is not JSON"),
        ("a.jsonl", '{"text": ["x"]}\n{"text": "y"}\n', "text: lists or objects are mixed with"),
    ],
)
def test_rows_that_cannot_be_read_say_why(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, path=write(tmp_path / name, content))


def test_a_parquet_file_of_too_many_rows_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "many.parquet"
    pq.write_table(pa.table({"text": ["a", "b", "c", "d"]}), path)
    monkeypatch.setattr("slimgate.data.row_files.MOST_ROWS", 3)
    with pytest.raises(
        DataError, match=r"many\.parquet has 4 rows, but at most 3 can be read; use a sample of the rows"
    ):
        read(tmp_path, path=str(path))


def test_a_parquet_file_without_rows_says_so(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet has no rows"):
        read(tmp_path, path=str(tmp_path / "a.parquet"))


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.jsonl"])
def test_bytes_that_do_not_decode_are_named_with_their_offset(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, b"text\nna\xefve\n")
    with pytest.raises(DataError, match=r'byte 7 \(0xef\) is not utf-8; add encoding = "latin-1"'):
        read(tmp_path, path=path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param(
            "a.csv.gz", gzip.compress(b"text,label\na,b\n"), "compressed by gzip: unpack or", id="gz"
        ),
        pytest.param("a.ndjson", b'{"text": "a"}\n', "; rename the file, or set format in", id="ndjson"),
    ],
)
def test_a_suffix_that_shows_no_format_has_a_remedy(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        params_of(path=write(tmp_path / name, content))


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_an_object_of_columns_is_refused(tmp_path: Path, name: str) -> None:
    columns = {"text": {"0": "a", "1": "b"}, "label": {"0": "x", "1": "y"}}
    path = write(tmp_path / name, json.dumps(columns).encode())
    with pytest.raises(DataError, match=r'one object of columns.*to_json\(orient="records"\)'):
        read(tmp_path, path=path)
    message = write(tmp_path / f"b{name}", b'{"text": {"role": "user"}, "label": {"name": "x"}}')
    assert len(read(tmp_path, path=message)["all"]["text"]) == 1


SPLIT_ROWS = "text,split\na,train\nb,dev\nc,test\nd,train\n"


def test_a_column_names_the_split_of_each_row(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", SPLIT_ROWS)
    options = {"path": path, "split_column": "split", "splits": {"gate": ["dev", "test"], "train": "train"}}
    assert read(tmp_path, **options) == {"train": {"text": ["a", "d"]}, "gate": {"text": ["b", "c"]}}
    params = params_of(**options)
    assert files.source.parts(params) == ("train", "gate")
    assert files.source.columns(params) == ("text",)
    swapped = params_of(**{**options, "splits": {"gate": "train", "train": ["dev", "test"]}})
    assert files.source.digest(swapped) != files.source.digest(params)


@pytest.mark.parametrize(
    ("column", "splits", "message"),
    [
        ("split", {"train": "train", "gate": "test"}, 'row 2 has "dev" in split_column split, expected one'),
        (
            "splitt",
            {"train": "train"},
            "split_column splitt is not a column of the rows. Did you mean split?",
        ),
        (
            "split",
            {"train": ["train", "dev", "test"], "gate": "gate"},
            "no row is in part gate: split_column split never has gate; its values are train, dev, test",
        ),
    ],
    ids=["value without a part", "unknown column", "part without rows"],
)
def test_split_values_and_parts_must_agree(
    tmp_path: Path, column: str, splits: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "rows.csv", SPLIT_ROWS)
    with pytest.raises(DataError, match=re.escape(message)):
        read(tmp_path, path=path, split_column=column, splits=splits)


def test_a_row_without_a_split_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", '{"text": "a", "split": "train"}\n{"text": "b"}\n')
    with pytest.raises(DataError, match="row 2 has nothing in split_column split"):
        read(tmp_path, path=path, split_column="split", splits={"train": "train"})


def test_other_encodings_are_read_where_the_suite_names_them(tmp_path: Path) -> None:
    latin = write(tmp_path / "a.csv", "text,label\nnaïve,é\n".encode("latin-1"))
    assert read(tmp_path, path=latin, encoding="latin-1")["all"] == {"text": ["naïve"], "label": ["é"]}
    wide = write(tmp_path / "b.csv", "text,label\nnaïve,é\n".encode("utf-16"))
    assert read(tmp_path, path=wide, encoding="utf-16")["all"] == {"text": ["naïve"], "label": ["é"]}
    with pytest.raises(DataError, match='add encoding = "utf-16"'):
        read(tmp_path, path=wide)
    utf_8 = write(tmp_path / "c.csv", "text,label\nnaïve,é\n".encode())
    with pytest.raises(DataError, match='is not ascii; add encoding = "utf-8"'):
        read(tmp_path, path=utf_8, encoding="ascii")
    cut_off = write(tmp_path / "d.csv", "text,label\nnaïve,é\n".encode("utf-16")[:-1])
    with pytest.raises(DataError, match="is not utf-16; the file is damaged or incomplete"):
        read(tmp_path, path=cut_off, encoding="utf-16")
    with pytest.raises(DataError, match=r"d\.csv is not utf-7: .* surrogates not allowed"):
        read(tmp_path, path=write(tmp_path / "d.csv", b"text,label\n+2AA-,a\n"), encoding="utf-7")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_utf_16_that_does_not_say_which_is_one_line(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, '{"text": "x"}\n'.encode("utf-16-le"))
    with pytest.raises(
        DataError, match=r"does not start with BOM; .* state the byte order: utf-16-le, or utf-16-be"
    ):
        read(tmp_path, path=path, encoding="utf-16")


def test_a_text_row_ends_at_a_line_feed_and_nowhere_else(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\ufeffa\u0085b\u0091\r\n\n  \nc\rd\u2028e\x0cf\nlast")
    assert read(tmp_path, path=path)["all"] == {"text": ["a\u0085b\u0091", "c\rd\u2028e\x0cf", "last"]}


def test_by_label_reads_lines_of_files_with_any_suffix(tmp_path: Path) -> None:
    pos = [write(tmp_path / "a.pos", "good\n"), write(tmp_path / "b.pos", "fine\n")]
    neg = write(tmp_path / "a.neg", "bad\n")
    assert read(tmp_path, by_label={"1": pos, "0": neg}) == {
        "all": {"text": ["good", "fine", "bad"], "label": ["1", "1", "0"]}
    }


def test_json_keeps_dates_as_text_and_mixed_labels_as_they_are(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        '{"text": "2020-01-01", "label": 1}\n\n{"text": "a\u0085b", "label": "x"}\n{"text": "c"}\n',
    )
    assert read(tmp_path, path=path)["all"] == {
        "text": ["2020-01-01", "a\u0085b", "c"],
        "label": ["1", "x", None],
    }


def test_json_is_a_list_of_objects_or_an_object_a_line(tmp_path: Path) -> None:
    listed = write(tmp_path / "a.json", '\n[\n {"text": "x",\n  "label": 1},\n {"text": "y", "label": 2}]')
    lines = write(tmp_path / "b.json", '{"text": "z", "label": 3}\n')
    rows = read(tmp_path, path=[listed, lines])["all"]
    assert rows == {"text": ["x", "y", "z"], "label": [1, 2, 3]}


def test_objects_of_one_part_may_leave_keys_out(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", '{"text": "x", "label": 1}\n')
    b = write(tmp_path / "b.jsonl", '{"label": 2, "text": "y", "note": "n"}\n')
    rows = read(tmp_path, path=[a, b])["all"]
    assert rows == {"text": ["x", "y"], "label": [1, 2], "note": [None, "n"]}


def test_integers_too_large_for_floats_become_text(tmp_path: Path) -> None:
    large = 2**53 + 1
    pq.write_table(pa.table({"text": ["x"], "user": [large]}), tmp_path / "a.parquet")
    # as pandas writes whole numbers among which one is missing
    pq.write_table(pa.table({"text": ["y", "z"], "user": [7.0, None]}), tmp_path / "b.parquet")
    rows = read(tmp_path, path=[str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")])["all"]
    assert rows["user"] == [str(large), "7", None]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    label = pa.array(["x", "y"]).dictionary_encode()
    pq.write_table(
        pa.table({"text": ["a", "b"], "label": label, "score": [0.5, 1.0]}), tmp_path / "a.parquet"
    )
    rows = read(tmp_path, path=str(tmp_path / "a.parquet"))["all"]
    assert rows == {"text": ["a", "b"], "label": ["x", "y"], "score": [0.5, 1.0]}


def test_reading_uses_no_network_and_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError(f"a connection was tried: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    read(tmp_path, path=[write(tmp_path / "a.csv", "text\nx\n"), str(tmp_path / "a.parquet")])
    with pytest.raises(DataError):
        read(tmp_path, path=write(tmp_path / "b.csv", "text\nx,1\ny,1,3\n"))
    assert capfd.readouterr() == ("", "")


# --- real data


def test_banking77_has_its_rows_and_columns(tmp_path: Path) -> None:
    folder = data_folder("banking77")
    params = params_of(train=str(folder / "train.csv"), gate=str(folder / "test.csv"))
    tables = files.source.read(params, scratch=tmp_path)
    assert {name: table.num_rows for name, table in tables.items()} == {"train": 10003, "gate": 3080}
    assert tables["gate"].column_names == ["text", "category"]
    assert len(set(tables["train"]["category"].to_pylist())) == 77


def test_sentence_polarity_has_a_row_for_every_line(tmp_path: Path) -> None:
    folder = data_folder("sentence_polarity")
    by_label = {name: str(folder / f"rt-polarity.{name}") for name in ("pos", "neg")}
    rows = files.source.read(params_of(by_label=by_label), scratch=tmp_path)["all"]
    assert rows["label"].to_pylist() == ["pos"] * 5331 + ["neg"] * 5331
    assert any("\u0097" in text or "\u0096" in text for text in rows["text"].to_pylist())
