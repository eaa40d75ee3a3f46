"""What `--help` shows, and how what was typed becomes settings.

Oracles: the dataclasses that options are made of; each command's help, rendered once; what logging was asked for.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from nestvec.cli import app
from nestvec.cli.help_page import AS_RUN
from nestvec.cli.options import build_settings, options, select_given
from nestvec.encoding.encode_settings import EncodeSettings
from nestvec.errors import InputError
from nestvec.exporting.export_settings import ExportSettings
from nestvec.indexing.index_settings import Columns, IndexSettings, SearchSettings, StoreSettings
from nestvec.serving.serving_options import ServingOptions
from nestvec.settings import Settings, option, sections
from nestvec.tuning.tune_settings import TuneSettings

COMMANDS = typer.main.get_command(app).commands
OF_STAGES = {stage: {entry.name for entry in fields(kind)} - {"source"} for stage, kind in sections().items()}
OF_RUN = set().union(*OF_STAGES.values()) | {"seed"}
MADE_OF = {  # command to the dataclasses whose fields with help are its options
    "run": (*sections().values(), Settings),
    "tune": (*sections().values(), Settings, TuneSettings),
    "encode": (EncodeSettings,),
    "export": (ExportSettings,),
    "index": (StoreSettings, IndexSettings, Columns),
    "search": (StoreSettings, SearchSettings),
    "serve": (ServingOptions,),
}


TWO_SCREENS = 96  # lines


def shown(*words):
    """A page of help in a terminal of 80 columns."""
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    return result.output


def unfolded(page):
    """A page of help in one line; a word that a line ends in is whole again."""
    return " ".join(re.sub(r"(?<=[a-z])-\n +", "-", page).split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_option_with_its_words(command):
    page = unfolded(shown(command))
    assert {"quiet", "verbose"} <= {parameter.name for parameter in COMMANDS[command].params}
    for parameter in COMMANDS[command].params:
        assert parameter.help
        if parameter.param_type_name == "option":
            named_only = command == "tune" and parameter.rich_help_panel == AS_RUN
            words = "" if named_only else f" {parameter.metavar} ".replace("  ", " ") + " ".join(parameter.help.split())
            assert re.search(rf"{re.escape(parameter.opts[0])}(?![\w-]){re.escape(words)}", page), parameter.name


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_two_screens_and_names_no_types(command):
    page = shown(*filter(None, [command]))
    assert len(page.splitlines()) <= TWO_SCREENS
    assert max(map(len, page.splitlines())) <= 80
    assert not re.search(r"<\w+>", page)


def test_tune_names_the_settings_of_a_run_and_does_not_repeat_their_words():
    page = shown("tune")
    assert f"{AS_RUN}:\n" in page
    assert "--dimension-weights" in page and "Loss weight per width" not in page


def test_help_of_all_shows_every_command():
    page = unfolded(shown())
    for name, command in COMMANDS.items():
        assert f"{name} {command.help}" in page


@pytest.mark.parametrize("command", MADE_OF)
def test_options_are_the_fields(command):
    names = {parameter.name for parameter in COMMANDS[command].params}
    for kind in MADE_OF[command]:
        wanted = {entry.name for entry in fields(kind) if "help" in entry.metadata}
        assert wanted and wanted <= names
    assert "where" not in names or command == "search"  # of `TuneSettings`, which has no words for it


def test_settings_of_a_run_are_asked_for_where_they_are_used():
    taken = {name: {parameter.name for parameter in COMMANDS[name].params} & OF_RUN for name in ("evaluate", "check")}
    used = {stage: OF_STAGES[stage] for stage in ("data", "split", "training", "evaluation", "recommendation")}
    assert taken["check"] == used["data"] | used["split"] | used["training"] | used["recommendation"] | {"seed"}
    measured = used["data"] | used["split"] | used["evaluation"] | used["recommendation"]
    assert taken["evaluate"] == measured | {"model", "seed"}


def test_options_stand_below_what_they_are_about_and_the_rare_ones_last():
    page = shown("run")
    headings = re.findall(r"^(\S.*):$", page, re.MULTILINE)
    assert headings == [
        "The run", "Your data", "Split", "Training", "Evaluation", "Recommendation", "Training details",
        "Other data formats",
    ]  # fmt: skip
    sections = dict(zip(headings, re.split(r"^\S.*:$", page, flags=re.MULTILINE)[1:], strict=True))
    for heading, name in [("The run", "out"), ("The run", "help"), ("Your data", "query"), ("Recommendation", "margin"),
                          ("Training details", "mixing"), ("Other data formats", "qrels")]:  # fmt: skip
        assert f"  --{name} " in sections[heading]


def test_the_shell_completes_commands_and_options(monkeypatch):
    for typed, place, expected in [("nestvec ru", 1, "run\nruns"), ("nestvec run --ep", 2, "--epochs")]:
        words = {"COMP_WORDS": typed, "COMP_CWORD": str(place), "_NESTVEC_COMPLETE": "complete_bash"}
        assert CliRunner().invoke(app, [], prog_name="nestvec", env=words).output.strip() == expected


# From what was typed to settings


@dataclass(frozen=True)
class Made:
    """A field of each kind."""

    count: int = option(3, "How many.")
    share: float | None = option(None, "How much.")
    path: Path | None = option(None, "Where, such as [a.b].")
    names: tuple[str, ...] = option(("a", "b"), "Which.")
    where: tuple[str, ...] = option((), "Which; may be given again.", repeat=True)
    on: bool = option(False, "Whether.")
    inner: int = 7


@pytest.fixture
def made():
    """A command of one option a field; gives what was typed to it."""
    command_line, given = typer.Typer(), {}

    @command_line.command()
    @options(Made)
    def command(reporter, **typed):
        given.update(typed, reporter=reporter)

    def typed(*words):
        result = CliRunner().invoke(command_line, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return given

    return typed


def test_nothing_typed_is_the_defaults(made):
    given = made()
    assert select_given(given).keys() == {"reporter"}
    assert build_settings(Made, given) == Made()


def test_what_is_typed_has_the_type_of_its_field(made):
    given = made(
        "--count", "4", "--share", ".5", "--path", "a/b", "--names", "c,d", "--where", "a=1,2", "--where", "b", "--on"
    )  # fmt: skip
    assert build_settings(Made, given) == Made(4, 0.5, Path("a/b"), ("c", "d"), ("a=1,2", "b"), True)


def test_a_flag_has_no_second_form(made):
    with pytest.raises(AssertionError, match="No such option"):
        made("--no-on")


def test_what_is_typed_twice_over(made):
    with pytest.raises(InputError, match="--quiet and --verbose"):
        made("--quiet", "--verbose")


def test_verbose_shows_the_log_while_the_command_runs(typed, tmp_path, monkeypatch):
    from nestvec.pipeline import checking

    def check(settings, out, reporter):
        reporter.say("a line")
        logging.getLogger("nestvec.models.find").debug("all-MiniLM-L6-v2 is %s", "[there]")
        raise InputError("enough")

    monkeypatch.setattr(checking, "check_settings", check)
    for words, expected in (
        ((), ["a line", "nestvec: enough"]),
        (("--quiet",), ["nestvec: enough"]),
        (("--verbose",), ["a line", "nestvec.models.find: all-MiniLM-L6-v2 is [there]", "nestvec: enough"]),
    ):
        code, _, message = typed("check", "sample", *words)
        assert code == 2
        assert [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in message.splitlines()] == expected
    assert not logging.getLogger("nestvec").handlers
