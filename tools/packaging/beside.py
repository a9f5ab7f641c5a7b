"""Which tools fit into one environment with slimgate: tables, by `uv pip compile`, which installs nothing.

    python -m tools.packaging.beside [--only TOOL …] [--limit SECONDS] [--write docs/versions.md]

It resolves the checkout with the newest version of each tool, once with the extra `models` and once without
extras. If that version conflicts, the tables also have the newest version that resolves. Only the packages
themselves constrain the versions: constraints.txt is not read. The exit code is 1 if uv gave no answer for
the newest version of a tool. A conflict is an answer.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version
from tabulate import tabulate

ROOT = Path(__file__).parents[2]
TOOLS = (
    "vllm",
    "sglang",
    "llmcompressor",
    "deepeval",
    "lm-eval",
    "lighteval",
    "nncf",
    "optimum-intel",
    "axolotl",
    "unsloth",
)
PACKAGES = ("torch", "transformers", "numpy", "datasets", "pytest", "rich")
EXTRAS = ("models", "")
# The first is the oldest that slimgate supports. A newer one is for tools whose newest version needs it.
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# The glibc of Ubuntu 24.04: the newest wheels of sglang need 2.34 or newer.
PLATFORM = "x86_64-manylinux_2_39"
LIMIT_S = 300
BEGIN, END = "<!-- tools.packaging.beside: begin -->", "<!-- tools.packaging.beside: end -->"
COMPILE = ("uv", "pip", "compile", "-", "--python-platform", PLATFORM, "--no-python-downloads", "--quiet")
FLAGS = ("--no-header", "--no-annotate", "--color", "never")


@dataclass(frozen=True)
class Resolution:
    """The answer of uv.

    versions: of each package, empty if the requirements do not resolve. conflict: the requirements that
    exclude each other, in one line. failure: why there is neither.
    """

    versions: dict[str, str] = field(default_factory=dict)
    conflict: str = ""
    failure: str = ""

    @property
    def state(self) -> str:
        """The cell of the table."""
        return "yes" if self.versions else "no" if self.conflict else "not known"


@dataclass(frozen=True)
class Row:
    """One version of a tool. notes: further sentences about a conflict."""

    tool: str
    version: str
    python: str
    resolution: Resolution
    notes: str = ""


def parse_versions(stdout: str) -> dict[str, str]:
    """The pinned packages that uv prints."""
    pins = (line.split(";")[0].strip().split("==", 1) for line in stdout.splitlines() if "==" in line)
    return {name: version for name, version in pins if "@" not in name}


def parse_conflict(stderr: str) -> str:
    """The requirements from which uv concludes that nothing resolves; empty if it does not conclude that.

    uv derives its conclusion in sentences: "Because A and B, we can conclude that C. And because …". The line
    has those A and B that are requirements of packages.
    """
    _, is_conflict, text = stderr.partition("No solution found when resolving dependencies")
    if not is_conflict:
        return ""
    text = " ".join(text.partition("\nhint:")[0].split())
    reasons = re.findall(r"\b(?:Because|And because) (.+?), we can conclude that ", text)
    requirements = filter(None, map(_drop_obvious_reasons, reasons))
    return "; ".join(requirements) or text or "uv names no requirements"


def _drop_obvious_reasons(reason: str) -> str:
    """Drop that there is one version of slimgate, what this program requires, and earlier conclusions."""
    obvious = r"only \S+ is available|you require .+|we know from \(\d+\) that .+"
    return re.sub(rf"^(?:{obvious})$|^only \S+ is available and | and (?:{obvious})$", "", reason)


def parse_failure(stderr: str) -> str:
    """An error and its first cause, without addresses and paths of this machine."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()] or ["uv ended without a message"]
    return re.sub(r"\w+://\S+|(?<![\w.])/\S+", "…", "; ".join(lines[:2]))


def resolve(
    requirements: Sequence[str], python: str = PYTHONS[0], *, limit_s: float, no_deps: bool = False
) -> Resolution:
    """Ask uv. A time limit that passes is an answer too."""
    command = [
        sys.executable,
        "-m",
        *COMPILE,
        *FLAGS,
        "--python-version",
        python,
        *(["--no-deps"] if no_deps else []),
    ]
    try:
        uv = subprocess.run(
            command, input="\n".join(requirements), capture_output=True, text=True, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        return Resolution(failure=f"no answer in {limit_s:g} s")
    if uv.returncode == 0:
        return Resolution(parse_versions(uv.stdout))
    conflict = parse_conflict(uv.stderr)
    return Resolution(conflict=conflict, failure="" if conflict else parse_failure(uv.stderr))


@cache
def find_newest_versions(tool: str, limit_s: float) -> dict[str, Resolution]:
    """A Python -> the tool's newest version, without its requirements.

    It has the oldest Python, and the first one that takes the newest version of all.
    """
    answers = {python: resolve([tool], python, limit_s=limit_s, no_deps=True) for python in PYTHONS}
    first = max(answers, key=lambda python: Version(answers[python].versions.get(tool, "0")))
    return {python: answer for python, answer in answers.items() if python in (PYTHONS[0], first)}


def find_newest_resolution(tool: str, base: str, python: str, limit_s: float) -> Resolution:
    """With each version that resolves, try whether a newer one does.

    uv prefers new versions, but not of the tool more than of other packages.
    """
    best = resolve([base, tool], python, limit_s=limit_s)
    answer = best
    while answer.versions:
        version = answer.versions[tool]
        best, answer = answer, resolve([base, f"{tool}>={version},!={version}"], python, limit_s=limit_s)
    return answer if answer.failure else best


def read_own_requirements(extra: str) -> dict[str, Requirement]:
    """What pyproject.toml says that slimgate needs: its text -> the requirement."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    more = project["optional-dependencies"][extra] if extra else []
    return {line: Requirement(line) for line in (*project["dependencies"], *more)}


def describe_bounds(versions: dict[str, str], requirements: dict[str, Requirement]) -> str:
    """The versions that slimgate's requirements do not admit, each with the requirement."""
    return " and ".join(
        f"{requirement.name} {versions[requirement.name]} (pyproject.toml: {text})"
        for text, requirement in requirements.items()
        if requirement.name in versions and versions[requirement.name] not in requirement.specifier
    )


def describe_mend(tool: str, version: str, python: str, extra: str, limit_s: float) -> str:
    """Which bounds of slimgate are in the way.

    The tool is resolved as if slimgate had no bounds. The bounds in the way are those that do not admit the
    resolved versions; all other bounds admit them.
    """
    requirements = read_own_requirements(extra)
    names = [requirement.name for requirement in requirements.values()]
    answer = resolve([*names, f"{tool}=={version}"], python, limit_s=limit_s)
    if answer.failure:
        return f"Without slimgate's bounds: {answer.failure}."
    if answer.conflict:
        return "It does not resolve without slimgate's bounds either."
    bounds = describe_bounds(answer.versions, requirements)
    if not bounds:
        return "It resolves without slimgate's bounds, and no bound excludes the versions of that resolution."
    return f"The tool would resolve if slimgate allowed {bounds}."


def resolve_rows(tool: str, extra: str, limit_s: float) -> Iterator[Row]:
    """The newest version, and, if that conflicts, the newest that does not."""
    base = f"slimgate{f'[{extra}]' if extra else ''} @ {ROOT.as_uri()}"
    for python, newest in find_newest_versions(tool, limit_s).items():
        if not newest.versions:
            yield Row(tool, "", python, newest)
            continue
        version = newest.versions[tool]
        answer = resolve([base, f"{tool}=={version}"], python, limit_s=limit_s)
        if not answer.conflict:
            yield Row(tool, version, python, answer)
            continue
        mend = describe_mend(tool, version, python, extra, limit_s)
        older = find_newest_resolution(tool, base, python, limit_s)
        yield Row(tool, version, python, answer, f"{mend} {describe_older(tool, older)}")
        if older.versions:
            yield Row(tool, older.versions[tool], python, older)


def describe_older(tool: str, older: Resolution) -> str:
    """The sentence about the newest version that resolves."""
    if older.versions:
        return f"The newest version that resolves is {older.versions[tool]}."
    return "No version resolves." if older.conflict else f"Older versions: {older.failure}."


def format_table(rows: Sequence[Row]) -> str:
    """The table, then one line for each version that does not resolve."""
    cells = [
        [row.tool, row.version, row.python, row.resolution.state]
        + [row.resolution.versions.get(package, "") for package in PACKAGES]
        for row in rows
    ]
    table = tabulate(
        cells, ["tool", "version", "Python", "resolves", *PACKAGES], "pipe", disable_numparse=True
    )
    lines = [format_problem(row) for row in rows if not row.resolution.versions]
    return "\n".join([table, *(["", *lines] if lines else [])])


def format_problem(row: Row) -> str:
    """One line: the requirements that exclude each other, and what would help."""
    problem = row.resolution.conflict or row.resolution.failure
    name = f"{row.tool} {row.version}".rstrip()
    return f"- {name}, Python {row.python}: {problem}. {row.notes}".rstrip()


def format_section(tables: dict[str, Sequence[Row]], command: str) -> str:
    """The text between the markers, with them."""
    how = f"{datetime.now(UTC).date()} with uv {metadata.version('uv')} for Linux x86_64"
    head = f"Resolved on {how} by\n`{command}`."
    parts = [f"### {name_extra(extra)}\n\n{format_table(rows)}" for extra, rows in tables.items()]
    return "\n\n".join([BEGIN, head, *parts, END])


def name_extra(extra: str) -> str:
    """The extra as a user installs it."""
    return f"slimgate[{extra}]" if extra else "slimgate without extras"


def write_section(page: Path, section: str) -> None:
    """Replace what is between the markers of a page."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page}: expected the lines {BEGIN} and {END}")
    page.write_text(before + section + after)


def main() -> int:
    """Prints the tables, and writes them into a page if one is named."""
    parser = argparse.ArgumentParser(prog="python -m tools.packaging.beside")
    parser.add_argument("--only", nargs="+", choices=TOOLS, default=TOOLS, help="Tools to resolve")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="Seconds for each resolution")
    parser.add_argument("--write", type=Path, help="Page with the markers to write the tables between")
    options = parser.parse_args()
    if options.write is not None and options.only != TOOLS:
        parser.error("--write replaces the tables of all tools, so it cannot be used with --only")
    if find_spec("uv") is None:
        parser.error("uv is not installed: `tox -e beside` installs it, or `pip install uv`")
    tables: dict[str, Sequence[Row]] = {}
    for extra in EXTRAS:
        tables[extra] = [
            row for tool in options.only for row in _resolve_with_progress(tool, extra, options.limit)
        ]
    section = format_section(tables, " ".join(["python -m tools.packaging.beside", *sys.argv[1:]]))
    sys.stdout.write(section + "\n")
    if options.write is not None:
        write_section(options.write, section)
    return int(any(row.resolution.failure for rows in tables.values() for row in rows))


def _resolve_with_progress(tool: str, extra: str, limit_s: float) -> list[Row]:
    """Resolving takes minutes: stderr shows how far it is."""
    sys.stderr.write(f"{name_extra(extra)} {tool}\n")
    return list(resolve_rows(tool, extra, limit_s))


if __name__ == "__main__":
    sys.exit(main())
