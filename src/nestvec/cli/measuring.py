"""The commands `run`, `evaluate`, `check`, `compare` and `reproduce`."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from nestvec import distributed
from nestvec.cli.app import Command, app
from nestvec.cli.options import ALL_SETTINGS, THE_RUN, create_flag, options, select_given
from nestvec.errors import GateClosedError, InputError
from nestvec.progress import Reporter
from nestvec.runs.config import read_config
from nestvec.settings import (
    DataSettings,
    EvaluationSettings,
    RecommendationSettings,
    Settings,
    SplitSettings,
    TrainingSettings,
    option,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestvec.runs.run import Run

_Source = Annotated[
    str | None,
    typer.Argument(help="Judgements: a file, a folder, hf:NAME, or `sample`.", metavar="SOURCE", show_default=False),
]
_SHARED = (DataSettings, SplitSettings)


@dataclass(frozen=True)
class _Files:
    """Options of commands that read a config file and write a folder: `--config` and `--out`."""

    out: Path | None = option(None, "The folder for the results.", panel=THE_RUN)
    config: Path | None = option(None, "A TOML file with any of these options.", panel=THE_RUN)


@dataclass(frozen=True)
class _Ending:
    """Options of `run` and `evaluate`: only print a plan (`--dry-run`); fail if nothing is recommended (`--strict`)."""

    dry_run: bool = option(False, "Show the plan and how long it takes; write nothing.", panel=THE_RUN)
    strict: bool = option(False, "Exit with code 3 if the run recommends nothing.", panel=THE_RUN)


@dataclass(frozen=True)
class _Measured:
    """Options of `nestvec evaluate` for the judgements and the pretrained model."""

    data: str | None = option(None, "Judgements: a file, a folder, hf:NAME, or `sample`.", panel=THE_RUN)
    model: str | None = option(None, "Pretrained model to compare with (all-MiniLM-L6-v2).", panel=THE_RUN)


@dataclass(frozen=True)
class _Recipe:
    """Options of `nestvec reproduce`: the data, and the settings that may differ from the published experiment."""

    data: str | None = option(None, "The data set as Parquet, or the competition's CSV (a download).")
    epochs: int = option(30, "Passes over the training pairs.")
    max_records: int = option(25_000, "Number of records to use.")
    compute: str = option("auto", "float32 as in the published experiment, bfloat16, or auto.")


@app.command(cls=Command)
@options(_Files, _Ending, *ALL_SETTINGS)
def run(
    reporter: Reporter,
    source: _Source = None,
    **typed: Any,  # noqa: ANN401 - see `options`
) -> None:
    """Train, measure vectors of every size, recommend one, and write a report."""
    dry_run, strict = typed.pop("dry_run"), typed.pop("strict")
    settings, out = merge_settings(source, typed.pop("out"), typed.pop("config"), typed)
    if dry_run:
        _print_plan(settings, out, reporter)
        return
    folder = require_out(out)
    from nestvec.pipeline.run_stages import run_settings

    finished = run_settings(settings, folder, reporter)
    if distributed.is_first():  # of several processes, only one prints
        _print_decision(finished, True, strict)


def _print_decision(finished: Run, is_kept: bool, strict: bool) -> None:
    """Print the recommendation; unless the folder is temporary, also print the report's path and what to type next."""
    from nestvec.cli.answer import list_next_steps, read_answer

    typer.echo(read_answer(finished))
    if is_kept:
        typer.echo(f"The report: {finished.folder.path('report')}")
        for line in list_next_steps(finished):
            typer.echo(line)
    if strict and not finished.ships:
        raise GateClosedError(finished.recommendation.reason)


def _print_plan(settings: Settings, out: Path | None, reporter: Reporter) -> None:
    """Print the plan of a run for `--dry-run`, without running or writing anything."""
    from nestvec.cli.output import print_plan
    from nestvec.pipeline.dry_run import plan_run

    print_plan(plan_run(settings, out, reporter), Console(highlight=False))


@contextmanager
def kept_or_temporary(folder: Path | None) -> Iterator[Path]:
    """Yield the given folder; if it is None, yield a temporary folder and delete it after the `with` block."""
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory(prefix="nestvec-") as temporary:
        yield Path(temporary)


@app.command(cls=Command)
@options(_Measured, _Files, _Ending, *_SHARED, EvaluationSettings, RecommendationSettings, Settings)
def evaluate(
    reporter: Reporter,
    models: Annotated[
        list[str],
        typer.Argument(help="Models to measure: folders or Hugging Face names.", metavar="MODEL", show_default=False),
    ],
    **typed: Any,  # noqa: ANN401 - see `options`
) -> None:
    """Measure any sentence-transformers models beside the pretrained model and BM25, without training."""
    data, out, config = typed.pop("data"), typed.pop("out"), typed.pop("config")
    dry_run, strict = typed.pop("dry_run"), typed.pop("strict")
    settings, folder = merge_settings(data, out, config, {**typed, "models": models, "epochs": 0})
    if dry_run:
        _print_plan(settings, folder, reporter)
        return
    from nestvec.cli.output import print_surface
    from nestvec.pipeline.run_stages import run_settings

    with kept_or_temporary(folder) as root:
        finished = run_settings(settings, root, reporter)
        print_surface(finished, Console(highlight=False))
        _print_decision(finished, folder is not None, strict)


@app.command(cls=Command)
@options(_Files, *_SHARED, TrainingSettings, RecommendationSettings, Settings)
def check(
    reporter: Reporter,
    source: _Source = None,
    **typed: Any,  # noqa: ANN401 - see `options`
) -> None:
    """Check judgements without training: bad rows, histogram of the grades, threshold of relevance, and leaks."""
    settings, folder = merge_settings(source, typed.pop("out"), typed.pop("config"), typed)
    from nestvec.pipeline.checking import check_settings

    checked = check_settings(settings, folder, reporter)
    from nestvec.cli.output import print_check

    print_check(checked, Console(highlight=False))
    if folder is not None:
        typer.echo(f"The page: {folder / 'check.html'}")


@app.command(cls=Command)
@options()
def compare(
    run_a: Annotated[Path, typer.Argument(help="The folder of a finished run.", metavar="RUN_A", show_default=False)],
    run_b: Annotated[
        Path,
        typer.Argument(help="The folder of a run with the same test queries.", metavar="RUN_B", show_default=False),
    ],
    metric: Annotated[
        str, typer.Option(help="A metric that both runs measured (recall@10).", metavar="…")
    ] = "recall@10",
    everything: Annotated[bool, create_flag("all", "Compare all systems and vector formats of both runs.")] = False,
    out: Annotated[Path | None, typer.Option(help="A JSON file to write.", metavar="PATH", show_default=False)] = None,
) -> None:
    """Compare two finished runs on the same test queries: RUN_B minus RUN_A, with intervals and significance tests."""
    from nestvec.cli.output import print_comparison
    from nestvec.pipeline.comparing import compare as compare_runs

    comparison = compare_runs(run_a, run_b, metric, everything)
    print_comparison(comparison, Console(highlight=False))
    if out is not None:
        comparison.save(out)


@app.command(cls=Command)
@options(_Recipe)
def reproduce(
    reporter: Reporter,
    experiment: Annotated[str, typer.Argument(help="The experiment's name: home-depot.", metavar="EXPERIMENT")],
    out: Annotated[
        Path | None, typer.Option(help="The folder for both runs and the page.", metavar="PATH", show_default=False)
    ] = None,
    **typed: Any,  # noqa: ANN401 - see `options`
) -> None:
    """Repeat a published experiment and compare the figures; then repeat it with a split that does not leak."""
    folder = require_out(out)
    from nestvec.pipeline.reproducing import reproduce as reproduce_experiment

    reproduction = reproduce_experiment(experiment, folder, progress=reporter, **select_given(typed))
    typer.echo(f"The page: {reproduction.folder / 'reproduce.html'}")


def require_out(out: Path | None, what: str = "--out and a folder to write") -> Path:
    """Return the path given as `--out`; raise InputError if the user did not give `--out`."""
    if out is None:
        raise InputError("--out is missing", what)
    return out


def merge_settings(
    source: str | None, out: Path | None, config: Path | None, typed: dict[str, Any]
) -> tuple[Settings, Path | None]:
    """Merge the settings of config file and command line, which wins; also return the folder of `--out`, if given."""
    values = _spell_with_underscores(read_config(config)) if config else {}
    folder = values.pop("out", None) if out is None else out
    values.pop("out", None)
    values |= select_given({"source": source, **typed})
    settings = Settings.from_flat(values, str(config) if config else "the command line")
    if "source" not in values and settings.data.qrels is None:
        raise InputError("no SOURCE is given", "a file, a folder, hf:NAME, `sample`, or --qrels")
    return settings, None if folder is None else Path(folder)


def _spell_with_underscores(values: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("-", "_"): value for name, value in values.items()}
