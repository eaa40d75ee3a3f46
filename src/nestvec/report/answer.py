"""The first screen of a run's page: choices with and without keyword search, the run's date, and next commands."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nestvec.data.column_names import BODY, DOCUMENT_ID, GRADE, HEADLINE, QUERY, plain_name
from nestvec.data.columns import template_columns
from nestvec.evaluation.significance import LEVEL
from nestvec.point import BM25, FUSED, HYBRID
from nestvec.runs.schema import ChoiceTest, ChoiceValidation, ChosenPoint, TeamChoices
from nestvec.settings import Settings, option_name

if TYPE_CHECKING:
    from collections.abc import Collection

    from nestvec.report.content import Content
    from nestvec.runs.schema import Comparison, Measure, Row

NAMES = ("proven", "likely", "tiny")
TITLES = {"beside_keyword_search": "Beside keyword search", "vectors_alone": "Vectors alone"}
_NEVER_SETTLED = ("batch_size", "learning_rate", "dropout", "folds", "max_bytes", "min_recall", "grades")  # if given
_FOUND = {"query": QUERY, "document": (*HEADLINE, *BODY), "grade": GRADE, "document_id": DOCUMENT_ID}  # by these names
_LEFT_OUT = {"source", "out", "compute", "threads"}  # arguments of every command, or settings that the run fills in


@dataclass(frozen=True)
class Card:
    """A choice (proven, likely or tiny) as the page shows it; `chosen` is None if no measured vectors qualify."""

    number: int  # on the ring in the chart
    name: str  # one of `NAMES`
    chosen: ChosenPoint | None
    row: Row | None  # the chosen point's metrics on test
    gain: Comparison | Measure | None  # over what the team has now, on test

    @property
    def now(self) -> str:
        """The team's present search system, over which the choice's gain is measured."""
        return self.chosen.beats.system if self.chosen and self.chosen.beats else BM25

    def is_undecided(self, margin: float) -> bool:
        """Whether the mean on test agrees with the choice; if so, a missing confirmation means too few test queries."""
        if self.name == "tiny":
            return self.gained > 0
        return self.chosen is not None and self.chosen.test is not None and self.chosen.test.difference > -margin

    @property
    def gained(self) -> float:
        """The choice's mean gain over the team's present search; 0 if no gain was measured."""
        return getattr(self.gain, "difference", getattr(self.gain, "value", 0.0))

    @property
    def system(self) -> str:
        """The name of the model whose vectors the choice stores: `mnr` for the choice `mnr+bm25`."""
        return self.chosen.system.removesuffix(FUSED) if self.chosen else ""


@dataclass(frozen=True)
class Team:
    """The proven, likely and tiny choices for one kind of team: with keyword search, or with vectors alone."""

    name: str  # as `recommendation.json` has it
    cards: tuple[Card, ...]

    @property
    def title(self) -> str:
        """The heading above this team's cards on the page."""
        return TITLES[self.name]

    @property
    def decided(self) -> bool:
        """Whether the team has a proven, likely or tiny choice."""
        return any(card.chosen for card in self.cards)


def read_teams(content: Content) -> tuple[Team, ...]:
    """Read the choices for both kinds of team; an older run without choices has at most its recommendation."""
    choices = content.run.recommendation.choices
    if choices is None:
        cards = _read_cards(content, _read_older(content))
        team = "beside_keyword_search" if content.after.kind == HYBRID else "vectors_alone"
        return (Team(team, tuple(card for card in cards if card.chosen)),) if content.run.ships else ()
    return tuple(Team(name, _read_cards(content, getattr(choices, name))) for name in TITLES)


def _read_older(content: Content) -> TeamChoices:
    """Convert the recommendation of a run by an early nestvec, which had no three choices, to a proven choice."""
    recommendation, point = content.run.recommendation, content.run.recommendation.point
    if point is None:
        return TeamChoices()
    evidence, test = recommendation.validation, recommendation.test
    if evidence is None or test is None:
        return TeamChoices()
    return TeamChoices(
        ChosenPoint(
            system=point.system, dimension=point.dimension, precision=point.precision,
            bytes_per_vector=point.bytes_per_vector, kind=point.kind, axes=point.axes,
            reference=recommendation.reference.name if recommendation.reference else point.name,
            validation=ChoiceValidation(evidence.difference, evidence.low, chance=LEVEL),
            test=ChoiceTest(test.value, test.low, test.high, test.confirmed, difference=test.difference),
        )
    )  # fmt: skip


def _read_cards(content: Content, three: TeamChoices) -> tuple[Card, ...]:
    cards = []
    for number, name in enumerate(NAMES, start=1):
        chosen: ChosenPoint | None = getattr(three, name)
        row = measured(content, chosen) if chosen else None
        words, metric = content.lexical, content.run.recommendation.metric
        beats = chosen.beats if chosen else None
        gain = beats.test if beats else content.compared(row, words, metric) if row and words else None
        cards.append(Card(number, name, chosen, row, gain))
    return tuple(cards)


def measured(content: Content, chosen: ChosenPoint) -> Row | None:
    """Find the test measurements of a choice in the results; None if the results lack them."""
    return content.run.points.get(chosen.name)


@dataclass(frozen=True)
class Origin:
    """The date of the run, the command that makes the run again, and the run's folder."""

    date: str
    command: str
    folder: str
    inside: bool  # whether the folder lies below the one where the report was written


def read_origin(content: Content) -> Origin:
    """Read the run's date, command and folder.

    The folder is relative to the working directory. Of a folder elsewhere only the name is given, so that the same
    files give the same page everywhere.
    """
    root = content.run.root.resolve()
    inside = root.is_relative_to(Path.cwd())
    folder = root.relative_to(Path.cwd()).as_posix() if inside else root.name
    changed = content.run.folder.path("results").stat().st_mtime
    date = datetime.fromtimestamp(changed, tz=UTC).strftime("%Y-%m-%d")
    return Origin(date, _command(content, folder), folder, inside)


def _command(content: Content, folder: str) -> str:
    """Write the command that makes the run again: settings with default values or detected values are left out."""
    settings = content.run.config.settings
    named = [role for role, known in _FOUND.items() if not _is_found(settings.get(role), known)]
    defaults = {**dict.fromkeys((*_NEVER_SETTLED, *named)), **Settings().flat()}
    words = ["nestvec", "run", str(settings.get("source", content.run.results.source)), "--out", folder]
    for name, value in settings.items():
        if name in _LEFT_OUT or name not in defaults or value == defaults[name]:
            continue
        typed = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        words += [option_name(name)] if value is True else [option_name(name), typed]
    return shlex.join(words)


def _is_found(columns: object, known: Collection[str]) -> bool:
    """Whether nestvec finds the columns of a role by their names alone, so that the command need not name them."""
    names = template_columns(str(columns)) or [str(columns)]
    return columns is None or all(plain_name(name) in known for name in names)


def search_command(run: str, likely: ChosenPoint) -> str:
    """Write the command that searches a run's index of the vectors that likely hold up; `run` is the quoted folder."""
    return f'nestvec search {run} "your query"' + (" --mode fused" if likely.kind == HYBRID else "")


def next_commands(content: Content, folder: str) -> tuple[tuple[str, str], ...]:
    """List the commands to type next, each with a few words on what the command does."""
    run, likely = shlex.quote(folder), content.run.likely
    wanted = likely.options if likely else f"--system {shlex.quote(content.before.system)}"
    named = "" if content.run.ships else f" {wanted}"
    build = f"nestvec index {run}{named}"
    if named and likely and likely.kind == HYBRID:  # the index of a run that recommends fused search fuses by itself
        build += f" && {search_command(run, likely)}"
    return (
        ("Export the model for other programs", f"nestvec export {run}{named} --to onnx --out {run}/export"),
        ("Build the search index", build),
        ("Open a search page", f"nestvec serve {run}"),
    )
