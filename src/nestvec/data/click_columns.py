"""Which columns of a table are those of a log of clicks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of several columns with a well-known name, the one that comes first here counts.
CLICKS = ("clicks", "n_clicks", "num_clicks", "click_count", "clicked", "is_clicked", "click")
_IMPRESSIONS = ("impressions", "n_impressions", "num_impressions", "impression_count", "impression", "shown", "views")
_POSITION = ("position", "rank", "avg_position", "average_position")


@dataclass(frozen=True)
class ClickColumns:
    """The columns of a log of clicks.

    Attributes:
        clicks: how often a document was clicked, or whether it was.
        impressions: how often it was shown; None where that is not said.
        position: where it was shown, the first being the best; None where that is not said.
    """

    clicks: str
    impressions: str | None = None
    position: str | None = None

    @property
    def names(self) -> list[str]:
        """The columns that there are, once each."""
        return [name for name in (self.clicks, self.impressions, self.position) if name]


def find_click_columns(columns: Sequence[str]) -> ClickColumns | None:
    """The columns of a log of clicks by their well-known names, whatever their case; None where none says clicks."""
    clicks, impressions, position = (_find_first(columns, known) for known in (CLICKS, _IMPRESSIONS, _POSITION))
    return ClickColumns(clicks, impressions, position) if clicks else None


def _find_first(columns: Sequence[str], known: Sequence[str]) -> str | None:
    by_name = {name.strip().lower(): name for name in reversed(columns)}
    return next((by_name[name] for name in known if name in by_name), None)
