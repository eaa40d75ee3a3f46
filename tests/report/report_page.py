"""Takes an HTML page apart without the code under test: its tables, its texts by id, and every attribute."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from nestvec.report.heatmap import figure_name
from nestvec.settings import TRAINABLE

if TYPE_CHECKING:
    from pathlib import Path

LEARNING = ("learning_loss", "learning_recall", "learning_ndcg")
MAPS = ("surface_pretrained", "surface_mnr", "surface_matryoshka")
FIGURES = ("recall_by_dimension", "mrr_by_dimension", "recall_by_bytes", *LEARNING, "grades", *MAPS)
OTHERS = tuple(figure_name(name) for name in (*TRAINABLE, *(f"system{row}" for row in range(20))))
DRAWN = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>'
BLANK = dict.fromkeys((*FIGURES, *OTHERS), DRAWN)  # drawings for a page
VOID = {"meta", "br", "img", "input", "link", "hr"}


def spaced(text: str) -> str:
    """Runs of any white space as one space, the ends cut."""
    return " ".join(text.split())


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return spaced(self.raw)

    @property
    def raw(self) -> str:
        return "".join(child if isinstance(child, str) else child.raw for child in self.children)

    def find(self, tag: str = "", **wanted: str) -> list[Element]:
        """Every element below with the tag; `class_` must be one of its classes, other attributes equal."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if tag in ("", child.tag) and all(child.has(name, value) for name, value in wanted.items()):
                    found.append(child)
                found += child.find(tag, **wanted)
        return found

    def has(self, name: str, value: str) -> bool:
        if name == "class_":
            return value in self.attributes.get("class", "").split()
        return self.attributes.get(name) == value


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self._open = [self.root]
        self.misnested: list[str] = []

    @classmethod
    def parse(cls, text: str) -> Page:
        page = cls()
        page.feed(text)
        page.close()
        return page

    @classmethod
    def read(cls, path: Path) -> Page:
        return cls.parse(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if self._open[-1].tag == tag:
            self._open.pop()
        else:
            self.misnested.append(f"</{tag}> inside <{self._open[-1].tag}>")

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)

    @property
    def elements(self) -> list[Element]:
        return self.root.find()

    @property
    def text(self) -> str:
        return self.root.find("body")[0].text

    def by_id(self, name: str) -> Element:
        [element] = self.root.find(id=name)
        return element

    def table(self, caption: str) -> dict[str, list[str]]:
        """Row header to the other cells' texts, of the table whose caption has this id."""
        return {heads[0].text: [cell.text for cell in row.find("td")]
                for row in self._rows(caption) if (heads := row.find("th", scope="row"))}  # fmt: skip

    def cells(self, caption: str) -> list[list[str]]:
        """Every body row's texts, its header included."""
        return [[child.text for child in row.children if isinstance(child, Element)] for row in self._rows(caption)]

    def _rows(self, caption: str) -> list[Element]:
        [table] = [table for table in self.root.find("table") if table.find("caption", id=caption)]
        return table.find("tbody")[0].find("tr")
