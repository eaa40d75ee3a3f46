"""Finds the columns of a click log by well-known names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# If several columns have a well-known name, the one that comes first here is used.
CLICKS = ("clicks", "n_clicks", "num_clicks", "click_count", "clicked", "is_clicked", "click")
_IMPRESSIONS = ("impressions", "n_impressions", "num_impressions", "impression_count", "impression", "shown", "views")
_POSITION = ("position", "rank", "avg_position", "average_position")


@dataclass(frozen=True)
class ClickColumns:
    """The columns of a click log.

    Attributes:
        clicks: how often the document was clicked, or whether it was clicked.
        impressions: how often the document was shown; None if the log does not say.
        position: the position at which the document was shown, 1 at the top; None if the log does not say.
    """

    clicks: str
    impressions: str | None = None
    position: str | None = None

    @property
    def names(self) -> list[str]:
        """The columns of clicks, impressions and position that the click log has."""
        return [name for name in (self.clicks, self.impressions, self.position) if name]


def find_click_columns(columns: Sequence[str]) -> ClickColumns | None:
    """Find the columns of a click log by well-known names, upper or lower case; None if no column holds clicks."""
    clicks, impressions, position = (_find_first(columns, known) for known in (CLICKS, _IMPRESSIONS, _POSITION))
    return ClickColumns(clicks, impressions, position) if clicks else None


def _find_first(columns: Sequence[str], known: Sequence[str]) -> str | None:
    by_name = {name.strip().lower(): name for name in reversed(columns)}
    return next((by_name[name] for name in known if name in by_name), None)
