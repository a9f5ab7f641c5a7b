"""Reads the text of a file in blocks and lines, and explains a wrong encoding."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path

from slimgate.errors import DataError

BLOCK_BYTES = 2**22


def read_text_blocks(path: Path, encoding: str) -> Iterator[str]:
    """The text of a file in blocks, without a byte order mark. Raises DataError at the first wrong byte."""
    decoder = codecs.getincrementaldecoder(encoding)()
    bytes_read, is_start = 0, True
    with path.open("rb") as stream:
        while True:
            block = stream.read(BLOCK_BYTES)
            bytes_read += len(block)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError as error:
                # utf-16 without the mark of its byte order: a UnicodeDecodeError from Python 3.13 on
                if isinstance(error, UnicodeDecodeError) and "BOM" not in error.reason:
                    bytes_before = bytes_read - len(error.object)
                    raise _make_wrong_byte_error(path, encoding, error, bytes_before) from None
                raise make_wrong_text_error(path, encoding, error) from None
            if text:
                yield text.removeprefix("\ufeff") if is_start else text
                is_start = False
            if not block:
                return


def split_lines(blocks: Iterable[str]) -> Iterator[str]:
    """The lines of a text, each with its line feed. No other character ends a line."""
    begun: list[str] = []
    for block in blocks:
        *lines, rest = block.split("\n")
        for line in lines:
            yield "".join([*begun, line, "\n"])
            begun = []
        if rest:
            begun.append(rest)
    if begun:
        yield "".join(begun)


def make_wrong_text_error(path: Path, encoding: str, error: UnicodeError) -> DataError:
    """The error for a decoder that does not name the wrong byte."""
    hint = (
        f"; if the encoding is right, state the byte order: {encoding}-le, or {encoding}-be"
        if "BOM" in str(error)
        else ""
    )
    return DataError(f"{path} is not {encoding}: {error}{hint}")


def _make_wrong_byte_error(
    path: Path, encoding: str, error: UnicodeDecodeError, bytes_before: int
) -> DataError:
    """The error with the position of the wrong byte. bytes_before: of the file, before `error.object`."""
    stated = codecs.lookup(encoding).name
    other = "latin-1" if stated in ("utf-8", "utf-8-sig") else "utf-8"
    likely = "utf-16" if has_utf_16_mark(path) else other
    examples = ', or that of its language, such as "gb18030" or "cp1251"' if likely == "latin-1" else ""
    hint = (
        "the file is damaged or incomplete"
        if stated.startswith(likely)
        else f'add encoding = "{likely}" to the source (slimgate init: --encoding {likely}) if the file is '
        f"in that encoding{examples}, or save it as UTF-8 (slimgate judge reads only UTF-8)"
    )
    wrong = f"byte {bytes_before + error.start} (0x{error.object[error.start]:02x})"
    return DataError(f"{path}: {wrong} is not {encoding}; {hint}")


def refuse_utf_16(path: Path) -> None:
    """Raises DataError for a text file in UTF-16, such as what PowerShell 5 writes with `>`."""
    try:
        is_utf_16 = has_utf_16_mark(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if is_utf_16:
        raise DataError(
            f"{path} is in UTF-16, expected UTF-8; convert it (PowerShell: Out-File -Encoding utf8)"
        )


def has_utf_16_mark(path: Path) -> bool:
    """Whether the file begins with the byte order mark of UTF-16."""
    with path.open("rb") as stream:
        return stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
