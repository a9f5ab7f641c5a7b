"""The text of a file, decoded block by block, and its lines."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path

from slimgate.errors import DataError

BLOCK = 2**22  # bytes


def text_blocks(path: Path, encoding: str) -> Iterator[str]:
    """Without byte order mark. Raises DataError at the first byte that is wrong."""
    decoder = codecs.getincrementaldecoder(encoding)()
    read, begun = 0, False
    with path.open("rb") as stream:
        while True:
            block = stream.read(BLOCK)
            read += len(block)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                raise _wrong_byte(path, encoding, error, read - len(error.object)) from None
            except UnicodeError as error:  # of utf-16 without the mark that tells which of its two it is
                raise wrong_text(path, encoding, error) from None
            if text:
                yield text if begun else text.removeprefix("\ufeff")
                begun = True
            if not block:
                return


def lines_of(blocks: Iterable[str]) -> Iterator[str]:
    """The lines with the line feeds that end them; nothing else ends one."""
    begun: list[str] = []
    for block in blocks:
        *whole, rest = block.split("\n")
        for line in whole:
            yield "".join([*begun, line, "\n"])
            begun = []
        if rest:
            begun.append(rest)
    if begun:
        yield "".join(begun)


def wrong_text(path: Path, encoding: str, error: UnicodeError) -> DataError:
    """Of a decoder that names no byte."""
    hint = (
        f"; if that is what it is, say which: {encoding}-le, or {encoding}-be" if "BOM" in str(error) else ""
    )
    return DataError(f"{path} is not {encoding}: {error}{hint}")


def _wrong_byte(path: Path, encoding: str, error: UnicodeDecodeError, before: int) -> DataError:
    """before: bytes of the file before those that the error is about."""
    with path.open("rb") as stream:
        wide = stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    likely = "utf-16" if wide else "latin-1"
    return DataError(
        f"{path}: byte {before + error.start} (0x{error.object[error.start]:02x}) is not {encoding}; "
        f'add encoding = "{likely}" to the source (slimgate init: --encoding {likely}) if that is how it was '
        "written"
    )
