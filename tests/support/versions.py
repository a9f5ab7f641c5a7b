"""Marks for tests that need newer packages than slimgate requires."""

from __future__ import annotations

import importlib.metadata

import pytest
from packaging.requirements import Requirement


def has_version(requirement: str) -> bool:
    """Whether the installed version is in the range, such as "transformers>=5.18"."""
    stated = Requirement(requirement)
    try:
        version = importlib.metadata.version(stated.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return stated.specifier.contains(version, prereleases=True)


def needs(requirement: str, *, extra: str | None = None) -> pytest.MarkDecorator:
    """Skips a test if the installed version is not in the range. extra: the one that installs the package."""
    install = f': pip install "slimgate[{extra}]"' if extra else ""
    return pytest.mark.skipif(not has_version(requirement), reason=f"needs {requirement}{install}")


needs_llama_cpp = needs("llama-cpp-python>=0.3.36", extra="llama-cpp")
