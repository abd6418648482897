"""One measured line with its target, and the table of all of them in Markdown."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """*ours*, *plain* and *litestream* are formatted medians; *ratio* is judged against *target*.

    A target above zero is a floor ("at least"), below zero a ceiling ("at most"), None no target.
    """

    what: str
    ours: str
    plain: str = ""
    litestream: str = ""
    ratio: float | None = None
    target: float | None = None
    unit: str = "x"

    @property
    def met(self) -> bool | None:
        if self.ratio is None or self.target is None:
            return None
        return self.ratio >= self.target if self.target > 0 else self.ratio <= -self.target

    def cells(self) -> list[str]:
        verdict = {True: "pass", False: "**MISS**", None: ""}[self.met]
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} {self.unit}"
        goal = (
            "" if self.target is None else f"{'>=' if self.target > 0 else '<='} {abs(self.target)}"
        )
        return [self.what, self.ours, self.plain, self.litestream, ratio, goal, verdict]


HEADINGS = ["what", "ltxvfs", "plain", "litestream", "result", "target", ""]


def markdown(lines: Iterable[Line]) -> str:
    rows = [HEADINGS, ["---"] * len(HEADINGS), *(line.cells() for line in lines)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
