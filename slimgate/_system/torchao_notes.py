"""What torchao says when it is imported, kept back: transformers imports it wherever it is installed.

`transformers.modeling_utils` asks all quantizers, and that of torchao imports the package. It then logs which
of its libraries are for another Python or a GPU, in runs that use none of it. A kernel that is missing is
still an error where it is called, and everything else that torchao logs is shown.
"""

from __future__ import annotations

import logging

# By logger what is in such a line.
NOTES = {
    "torchao": ("Failed to load ", ".so: "),
    "torch.utils._pytree": ("is an Enum subclass and is now natively supported",),
}


def keep_back() -> None:
    """Keeps those lines back from now on, in this process."""
    for name in NOTES:
        logger = logging.getLogger(name)
        if _is_worth_saying not in logger.filters:
            logger.addFilter(_is_worth_saying)


def _is_worth_saying(record: logging.LogRecord) -> bool:
    said = record.getMessage()
    return not all(part in said for part in NOTES[record.name])
