"""The packages of the extra `llm`, which steps need for the layouts that servers load."""

from __future__ import annotations

from importlib.util import find_spec

from slimgate.errors import MissingExtra


def require_package(user: str, package: str) -> None:
    """Raises MissingExtra if the package is not installed. user: what needs it."""
    if find_spec(package) is None:
        raise MissingExtra(f'{user} needs the package {package}: pip install "slimgate[llm]"')
