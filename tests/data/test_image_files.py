"""Images that rows of files name by their paths: read into the rows, so that what they show counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from slimgate.data.images import open_image
from slimgate.data.sources import files
from slimgate.errors import DataError


def write_rows(folder: Path) -> files.Params:
    """A table of two pictures, which lie in a folder beside it."""
    (folder / "pictures").mkdir(parents=True)
    for name, grey in (("dark", 10), ("light", 240)):
        Image.fromarray(np.full((4, 4), grey, np.uint8)).save(folder / "pictures" / f"{name}.png")
    table = folder / "rows.csv"
    table.write_text("image,label\npictures/dark.png,dark\npictures/light.png,light\n")
    return params_of(table)


def params_of(table: Path, **further: Any) -> files.Params:
    return files.Params.model_validate({"path": str(table), "images": ("image",), **further})


def test_the_rows_hold_what_the_files_show(tmp_path: Path) -> None:
    rows = files.source.read(write_rows(tmp_path / "rows"), scratch=tmp_path)["all"]
    shown = [np.asarray(open_image(value)) for value in rows["image"].to_pylist()]
    assert [int(pixels[0, 0, 0]) for pixels in shown] == [10, 240]
    assert rows["label"].to_pylist() == ["dark", "light"]


def test_another_picture_under_the_same_name_is_another_digest(tmp_path: Path) -> None:
    params = write_rows(tmp_path)
    before = files.source.digest(params)
    assert files.source.digest(params) == before
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "pictures" / "dark.png")
    assert files.source.digest(params) != before


def test_what_names_no_file_is_reported_with_its_row(tmp_path: Path) -> None:
    params = write_rows(tmp_path)
    (tmp_path / "pictures" / "light.png").unlink()
    with pytest.raises(DataError, match=r"column image, row 1: there is no file .*light\.png"):
        files.source.read(params, scratch=tmp_path)
    with pytest.raises(DataError, match=r'images names the column "imge".*Did you mean image'):
        files.source.read(params_of(tmp_path / "rows.csv", images=("imge",)), scratch=tmp_path)


@pytest.mark.parametrize("name", ["../light.png", "/etc/passwd", "pictures/../../x.png", "linked.png"])
def test_an_image_lies_in_the_folder_of_the_rows(tmp_path: Path, name: str) -> None:
    params = write_rows(tmp_path / "rows")
    (tmp_path / "light.png").write_bytes(b"secret")
    (tmp_path / "rows/linked.png").symlink_to(tmp_path / "light.png")
    (tmp_path / "rows/rows.csv").write_text(f"image,label\n{name},dark\n")
    with pytest.raises(DataError, match=r"column image, row 0: .* is outside of .*, the folder of the rows"):
        files.source.digest(params)


def test_rows_of_lines_have_no_images() -> None:
    with pytest.raises(ValidationError, match="by_label gives only the columns text and label"):
        files.Params.model_validate({"by_label": {"a": "a.txt", "b": "b.txt"}, "images": ("image",)})
