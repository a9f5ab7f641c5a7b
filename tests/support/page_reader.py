"""Parses an HTML page into a tree of elements with html.parser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = frozenset({"meta", "link", "input", "br", "hr", "img"})


@dataclass
class Element:
    """An element. children: its elements and texts, in order."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text inside, white space collapsed."""
        parts = (child if isinstance(child, str) else child.text for child in self.children)
        return " ".join(" ".join(parts).split())

    def find_all(self, *tags: str, **attributes: str) -> list[Element]:
        """The elements below that have one of the tags (or any tag, if none is named) and the attributes.

        An attribute such as `class` is named with an underscore: find_all("td", class_="drop").
        """
        return [
            element
            for element in self._iterate_below()
            if (not tags or element.tag in tags)
            and all(element.attributes.get(name.strip("_")) == value for name, value in attributes.items())
        ]

    def find_only(self, *tags: str, **attributes: str) -> Element:
        """The only element that `find_all` finds."""
        (element,) = self.find_all(*tags, **attributes)
        return element

    def _iterate_below(self) -> Iterator[Element]:
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child._iterate_below()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("page")]  # the elements whose end has not come yet, the outermost first

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_page(text: str) -> Element:
    """The page; an end tag that closes no open element is an error."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert [element.tag for element in reader.open] == ["page"]
    return reader.open[0]
