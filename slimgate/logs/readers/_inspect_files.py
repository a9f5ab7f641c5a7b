"""The JSON of an Inspect log: members of a `.eval` file, which is a zip, or one `.json` file.

    header.json                      eval, plan, results, status; _journal/start.json of a run that goes on
    samples/sum00_epoch_1.json       a sample and an epoch; an id may hold slashes
Members are stored, deflated, or (since 2026) in Zstandard, which zipfile reads from Python 3.14 on.
Source: inspect_ai/log/_recorders/eval.py. The package inspect-ai is not needed.
"""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from slimgate._system.json_text import NOT_JSON, JsonObject, parse_log_json
from slimgate.errors import DataError, to_one_line
from slimgate.logs.json_lines import read_object

ZSTD = 93
_HEADER, _START, _SAMPLES = "header.json", "_journal/start.json", "samples/"
# A member's local header: its length, and the places of the lengths of name and extra field.
_LOCAL_HEADER, _NAME_LENGTH, _EXTRA_LENGTH = 30, slice(26, 28), slice(28, 30)
# The end of the name of a sample's member. The id before it is as it is, also with slashes: HumanEval/0.
_OF_SAMPLE = re.compile(r"_epoch_\d+\.json$")
_ATTACHMENT = "attachment://"
# The errors of zipfile and its decompressors; RuntimeError is for an encrypted member.
_DAMAGED = (OSError, zipfile.BadZipFile, RuntimeError, zlib.error, lzma.LZMAError, EOFError)
# A sample of a long agent run has hundreds of megabytes; a larger size is a damaged or hostile file. So is a
# large member that is compressed more than JSON can be: the directory of a zip may claim any size.
_MOST_BYTES = 2 * 10**9
_LARGE, _MOST_COMPRESSED = 100 * 10**6, 200


def read_header(file: Path) -> JsonObject:
    """`eval`, `plan`, `status`. Raises DataError for a file that is no log of Inspect."""
    header = read_object(file) if file.suffix == ".json" else _read_zip_header(file)
    if not isinstance(header.get("eval"), dict):
        raise DataError(f"{file} cannot be read as a log of Inspect: its header has no eval")
    return header


def has_samples(file: Path, header: JsonObject) -> bool:
    """Whether the file has samples. header: from `read_header`, of a .json log with its samples."""
    if file.suffix == ".json":
        return bool(header.get("samples"))
    with _open(file) as archive:
        return any(name.startswith(_SAMPLES) for name in archive.namelist())


def read_samples(file: Path) -> Iterator[JsonObject]:
    """The samples in the order of the file, with their attachments in place. Raises DataError."""
    if file.suffix == ".json":
        samples = read_object(file).get("samples") or ()
        yield from (_put_attachments(sample) for sample in samples)
        return
    with _open(file) as archive:
        names = dict.fromkeys(
            name for name in archive.namelist() if name.startswith(_SAMPLES) and not name.endswith("/")
        )
        if chunked := [name for name in names if name.count("/") > 1 and not _OF_SAMPLE.search(name)]:
            raise DataError(
                f"{file}: {chunked[0]}: a sample is in several files, a layout that slimgate does not read; "
                "convert the log to .json with `inspect log convert`"
            )
        for name in names:
            if name.endswith(".json"):
                yield _put_attachments(_read_member(file, archive, name))


def _read_zip_header(file: Path) -> JsonObject:
    with _open(file) as archive:
        names = archive.namelist()
        if _HEADER in names:
            return _read_member(file, archive, _HEADER)
        if _START in names:
            return {"status": "started", **_read_member(file, archive, _START)}
    raise DataError(f"{file} cannot be read as a log of Inspect: it has neither {_HEADER} nor {_START}")


def _open(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{file} cannot be read as a log of Inspect: {error}; copy it again") from error


def _read_member(file: Path, archive: zipfile.ZipFile, name: str) -> JsonObject:
    """The JSON object of a member. Raises DataError if it is damaged."""
    info = archive.getinfo(name)
    try:
        if info.file_size > _MOST_BYTES:
            raise ValueError(f"{info.file_size:,} bytes, but slimgate reads at most {_MOST_BYTES:,}")
        if info.file_size > _LARGE and info.file_size > _MOST_COMPRESSED * info.compress_size:
            raise ValueError(
                f"{info.file_size:,} bytes are compressed to {info.compress_size:,}, but slimgate reads at "
                f"most {_MOST_COMPRESSED} times the compressed size"
            )
        content = _decompress_zstd(file, info) if info.compress_type == ZSTD else archive.read(info)
        value = parse_log_json(content)
    except (*NOT_JSON, *_DAMAGED) as error:
        problem = to_one_line(error)
        raise DataError(f"{file}: {name} is damaged ({problem}); copy the log again") from error
    if not isinstance(value, dict):
        raise DataError(f"{file}: {name} is not a JSON object, expected what Inspect writes")
    return value


def _decompress_zstd(file: Path, info: zipfile.ZipInfo) -> bytes:
    """Raises ValueError for content that is cut off or changed."""
    with file.open("rb") as stream:
        stream.seek(info.header_offset)
        local = stream.read(_LOCAL_HEADER)
        lengths = (int.from_bytes(local[part], "little") for part in (_NAME_LENGTH, _EXTRA_LENGTH))
        stream.seek(info.header_offset + _LOCAL_HEADER + sum(lengths))
        packed = stream.read(info.compress_size)
    content: bytes = pa.decompress(packed, decompressed_size=info.file_size, codec="zstd", asbytes=True)
    if zlib.crc32(content) != info.CRC:
        raise ValueError("its checksum does not match")
    return content


def _put_attachments(sample: JsonObject) -> JsonObject:
    """The sample with its long texts, which Inspect stores under `attachments`, back in their places."""
    attachments = sample.get("attachments") or {}
    if not isinstance(attachments, dict):
        raise DataError(f"sample {sample.get('id')}: its attachments are not a JSON object")
    if not attachments:
        return sample
    return {key: _insert_texts(value, attachments) for key, value in sample.items() if key != "attachments"}


def _insert_texts(value: object, attachments: JsonObject) -> object:
    if isinstance(value, str) and value.startswith(_ATTACHMENT):
        return attachments.get(value.removeprefix(_ATTACHMENT), value)
    if isinstance(value, list):
        return [_insert_texts(entry, attachments) for entry in value]
    if isinstance(value, dict):
        return {key: _insert_texts(entry, attachments) for key, entry in value.items()}
    return value
