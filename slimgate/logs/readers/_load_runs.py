"""What the readers of load tests share: the name of a load, and checks of the lists of its requests."""

from __future__ import annotations

from collections.abc import Sequence

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError
from slimgate.plugins.reader import LoadRequest


def name_load(rate: float | None, users: int | None, arrival: str = "") -> str:
    """c8 for eight users, r5 for five requests a second, r5-c8 for both; "all" if all are sent at once.

    arrival: how requests arrive, if it is not at a rate, such as "trace".
    """
    parts = [
        *([] if rate is None else [f"r{rate:g}"]),
        *([arrival] if arrival else []),
        *([] if users is None else [f"c{users}"]),
    ]
    return "-".join(parts) or "all"


def check_lists(where: str, result: JsonObject, names: Sequence[str]) -> None:
    """Raises DataError unless the lists of a result have an entry for each request. where: for messages."""
    sizes = {name: len(result[name]) for name in names}
    if len(set(sizes.values())) > 1:
        lengths = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise DataError(
            f"{where}: the lists have different lengths ({lengths}), expected an entry for each request in "
            "all"
        )


def check_completed(
    where: str, requests: Sequence[LoadRequest], completed: int, tool: str, empty: int = 0
) -> None:
    """Raises DataError if the tool counts other requests as answered.

    empty: how many answers have no token; the tool may count them as completed.
    """
    answered = sum(request.failed is None for request in requests)
    if not answered <= completed <= answered + empty:
        raise DataError(
            f"{where}: {answered} requests have an answer, and completed says {completed}; expected the file "
            f"as {tool} writes it"
        )
