"""A finished run, for notebooks and for the commands report, compare, export, index and serve.

Each file of the run's folder is read once, when it is first needed; errors name the file that is missing or damaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import InputError
from nestvec.files import can_be_path
from nestvec.point import BM25, BM25_DEFAULT, PRETRAINED, Point, full_width
from nestvec.runs.choose_point import PointSettings, choose_point
from nestvec.runs.config import Config, read_run_config
from nestvec.runs.conform import load_json
from nestvec.runs.folder import RunFolder
from nestvec.runs.schema import TEST, VALIDATED, Audit, Finding, Grades, Recommendation, Results, Row, Trainings
from nestvec.runs.tables import EXPECTED, has_column, read_qrels, read_ranking, read_table
from nestvec.runs.trec_ids import read_trec_ids
from nestvec.vectors.npy_file import map_array

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import pyarrow as pa
    from numpy.typing import NDArray

    from nestvec.runs.schema import ChosenPoint, Training
    from nestvec.runs.tables import Names


@dataclass(frozen=True)
class TextColumns:
    """The ids and texts of a run's queries, or of its documents, in the same order as the rows of their vectors.

    Attributes:
        ids: the ids.
        texts: the texts.
        splits: `validation` or `test` for each query; empty for documents.
    """

    ids: list[str]
    texts: list[str]
    splits: list[str]

    def __len__(self) -> int:
        """Number of queries or documents."""
        return len(self.ids)


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run: its results, recommendation, data, judgements and rankings, read from the run's folder.

    Attributes:
        folder: the run's folder.
    """

    folder: RunFolder

    def __repr__(self) -> str:
        """Show the name of the data, the decision (`ship` or `do not ship`) and the path of the run."""
        if not self.folder.path("recommendation").is_file():
            return f"Run({str(self.folder.root)!r})"
        return (
            f"Run(source={self.results.source!r}, decision={self.recommendation.decision!r}, path={str(self.root)!r})"
        )

    def _repr_html_(self) -> str:
        """Show, in notebooks, the recommendation in a sentence and a table of the best vectors at each size."""
        metric = self.recommendation.metric
        heads = ("point", "bytes per vector", metric, "95 %")
        rows = [
            (row.name, f"{row.bytes:,}", f"{row.metrics[metric].value:.4f}",
             f"{row.metrics[metric].low:.4f} to {row.metrics[metric].high:.4f}")
            for row in self.frontier(metric)
        ]  # fmt: skip
        head = "".join(f"<th>{escape(name)}</th>" for name in heads)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        about = f"{escape(self.results.source)}: <b>{escape(self.recommendation.decision)}</b>"
        return (
            f"<p>{about}. {escape(self.recommendation.reason)}</p><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table><p>{escape(str(self.folder.path('report')))}</p>"
        )

    @property
    def root(self) -> Path:
        """Path of the run's folder."""
        return self.folder.root

    # what was decided and measured

    @cached_property
    def results(self) -> Results:
        """The content of `results.json`."""
        results = load_json(self.folder.path("results"), Results)
        if not any(row.split == TEST and row.metrics for row in results.surface):
            problem = "is damaged: it has no row measured on test"
            raise InputError(problem, EXPECTED, file=self.folder.path("results"))
        return results

    @cached_property
    def recommendation(self) -> Recommendation:
        """The content of `recommendation.json`."""
        return load_json(self.folder.path("recommendation"), Recommendation)

    @property
    def ships(self) -> bool:
        """Whether the run recommends a system, dimension and precision to ship."""
        return self.recommendation.point is not None

    @property
    def likely(self) -> ChosenPoint | None:
        """The smallest vectors that likely hold up, beside keyword search or else alone; None if there are none."""
        choices = self.recommendation.choices
        return (choices.beside_keyword_search.likely or choices.vectors_alone.likely) if choices else None

    @property
    def chosen(self) -> Point:
        """The recommended system, dimension and precision, or else the best system at full width."""
        chosen, path = self.recommendation.point or self.recommendation.reference, self.folder.path("recommendation")
        if chosen is None:
            raise InputError("is damaged: reference is missing", EXPECTED, file=path)
        if chosen.name not in self.points:
            raise InputError(
                f"is damaged: {chosen.name} was not measured",
                "a system, dimension and precision that results.json lists",
                file=path,
            )
        return chosen

    @property
    def surface(self) -> list[dict[str, Any]]:
        """All measurements as a list of flat dicts, one for each row, as for `pandas.DataFrame(run.surface)`."""
        return [row.flat for row in self.results.surface]

    @cached_property
    def points(self) -> dict[str, Row]:
        """The rows of the test split by names such as `mnr.48.int8`, in the order of `results.json`."""
        return {row.name: row for row in self.results.surface if row.split == TEST}

    @cached_property
    def systems(self) -> dict[str, list[Point]]:
        """Each system's measured dimensions and precisions on test, without fused results; BM25 last."""
        rows = [row for row in self.points.values() if row.is_alone and row.system != BM25_DEFAULT]
        names = sorted(dict.fromkeys(row.system for row in rows), key=lambda name: name == BM25)
        return {name: [_plain(row) for row in rows if row.system == name] for name in names}

    @cached_property
    def full_width(self) -> dict[str, Point]:
        """Every system at its largest dimension and precision, without fused results; BM25 first."""
        return {point.system: point for point in full_width(p for p in self.points.values() if p.is_alone)}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that were measured for every system, dimension and precision."""
        first, *others = self.points.values()
        return tuple(name for name in first.metrics if all(name in row.metrics for row in others))

    @property
    def documents(self) -> int:
        """Number of documents in the catalogue that was searched."""
        return next(iter(self.points.values())).documents

    def frontier(self, metric: str) -> tuple[Row, ...]:
        """Find the rows on test, without fused ones, that no row of fewer bytes equals or beats; smallest first.

        Args:
            metric: one of `metrics`.

        Returns:
            The rows of the test split.
        """
        return find_frontier([row for row in self.points.values() if row.is_vectors], metric)

    def choose(
        self,
        system: str | None = None,
        dimension: int | None = None,
        precision: str | None = None,
        *,
        axes: bool = False,
    ) -> Point:
        """Find a measured system, dimension and precision with vectors; None takes the recommended value.

        Args:
            system: a system with vectors.
            dimension: a measured dimension.
            precision: a measured precision.
            axes: whether to choose vectors on principal axes.

        Returns:
            The system, dimension and precision.

        Raises:
            InputError: the run recommends nothing and no system is given, or the vectors were not measured.
        """
        measured = [point for name, points in self.systems.items() if name != BM25 for point in points]
        recommended = self.recommendation.point and self.recommendation.point.vectors
        if recommended is None and system is None:
            systems = ", ".join(dict.fromkeys(point.system for point in measured))
            problem, wanted = "says 'do not ship', so it recommends no model", f"--system, one of {systems}"
            if self.likely:
                wanted += f"; {self.likely.options} names the vectors that likely hold up"
            raise InputError(problem, wanted, file=self.root)
        asked = PointSettings(system, dimension, precision, axes)
        return choose_point(measured, recommended, asked, file=self.root)

    # how it was made

    @cached_property
    def config(self) -> Config:
        """The settings, package versions and hashes of the inputs that `config.toml` holds."""
        return read_run_config(self.folder.path("config"))

    @cached_property
    def grades(self) -> Grades:
        """The content of `grades.json`: the histogram of the grades, and the lowest relevant grade."""
        return load_json(self.folder.path("grades"), Grades)

    @cached_property
    def audit(self) -> Audit:
        """The content of `audit.json`: the sizes of the splits, and how many test texts are also in training."""
        return load_json(self.folder.path("audit"), Audit)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """The content of `findings.json`: the irregularities in the data, and what was done about each."""
        found: tuple[Finding, ...] = load_json(self.folder.path("findings"), tuple[Finding, ...])
        return found

    @cached_property
    def trainings(self) -> tuple[Training, ...]:
        """The facts of each trained system's training, in the order of the results; empty if none was trained."""
        if not self.results.trained:
            return ()
        path = self.folder.path("training")
        known = {training.system: training for training in load_json(path, Trainings).systems}
        for system in self.results.trained:
            if system not in known:
                raise InputError(f"is damaged: no training of {system!r}", "one for each trained system", file=path)
            points = [point for validation in known[system].curve for point in validation.points]
            for metric in VALIDATED:
                if any(metric not in point.metrics for point in points):
                    problem = f"is damaged: a validation of {system!r} lacks {metric}"
                    raise InputError(
                        problem, f"the metrics {' and '.join(VALIDATED)} for each dimension and precision", file=path
                    )
        return tuple(known[system] for system in self.results.trained)

    # queries, documents, judgements

    @cached_property
    def catalogue(self) -> TextColumns:
        """The documents, in the order of their vectors."""
        table = read_table(self.folder.path("catalogue"), ["document_id", "document"])
        return TextColumns(table["document_id"].to_pylist(), table["document"].to_pylist(), [])

    @cached_property
    def queries(self) -> TextColumns:
        """The queries that were measured, in the order of their vectors."""
        columns = ["query_id", "query", "split"]
        table = read_table(self.folder.path("queries"), columns)
        return TextColumns(*(table[name].to_pylist() for name in columns))

    @cached_property
    def judgements(self) -> dict[str, dict[str, int]]:
        """The judgements of the test split: the gain, in thousandths of a grade, by query id and document id."""
        return read_qrels(self.folder.path("qrels"), self._trec_names)

    @cached_property
    def answerable(self) -> dict[str, dict[str, int]]:
        """The judgements of the test queries that have a relevant document: gains by query id and document id."""
        least = self.results.relevant_from
        return {query: gains for query, gains in self.judgements.items() if max(gains.values()) >= least}

    def read_records(self, columns: list[str], filters: list[tuple[str, str, object]] | None = None) -> pa.Table:
        """Read columns of the run's table of judged records."""
        return read_table(self.folder.path("records"), columns, filters)

    def query_texts(self, ids: Collection[str]) -> dict[str, str]:
        """Read the texts of judged queries.

        Args:
            ids: ids of queries of any split.

        Returns:
            The texts by id.

        Raises:
            InputError: a query does not exist.
        """
        if self.results.protocol == "published":  # every record is a query of its own: r17 is the record in row 17
            queries = self.read_records(["query"])["query"].to_pylist()
            known = {f"r{row}": query for row, query in enumerate(queries)}
        else:
            known = self._texts("query", ids)
        missing = [name for name in ids if name not in known]
        if missing:
            problem = f"is damaged: the query {missing[0]} is missing"
            raise InputError(problem, EXPECTED, file=self.folder.path("records"))
        return {name: known[name] for name in ids}

    def document_texts(self, ids: Collection[str]) -> dict[str, str]:
        """Read the texts of judged documents.

        Args:
            ids: ids of documents; unknown ids are ignored.

        Returns:
            The texts by id.
        """
        return self._texts("document", ids)

    def _texts(self, kind: str, ids: Collection[str]) -> dict[str, str]:
        if not ids:  # pyarrow cannot tell the type of an empty list
            return {}
        table = self.read_records([f"{kind}_id", kind], [(f"{kind}_id", "in", sorted(ids))])
        return dict(zip(table[f"{kind}_id"].to_pylist(), table[kind].to_pylist(), strict=True))

    # values and rankings, query by query

    def per_query(self, metric: str, names: Iterable[str]) -> dict[str, dict[str, float]]:
        """Read a metric's value for every test query, for some measured systems, dimensions and precisions.

        Args:
            metric: one of `metrics`.
            names: names of a system, dimension and precision, such as `mnr.48.int8`.

        Returns:
            Values by name and query id; the same queries for every name.

        Raises:
            InputError: the file is missing or damaged.
        """
        path, points = self.folder.path("per_query"), [Point.parse(name) for name in dict.fromkeys(names)]
        # runs of earlier versions have no column for axes
        place = ["system", "dimension", "precision", *(["axes"] if has_column(path, "axes") else [])]
        columns = [*place, "query_id", "value"]
        wanted: list[tuple[str, str, object]] = [("split", "==", TEST), ("metric", "==", metric)]
        for name in place:
            wanted.append((name, "in", list({getattr(point, name) for point in points})))
        table = read_table(path, [*columns, "split", "metric"], wanted)
        values: dict[str, dict[str, float]] = {point.name: {} for point in points}
        for *named, query, value in zip(*(table[name].to_pylist() for name in columns), strict=True):
            name = Point(**dict(zip(place, named, strict=True))).name
            if name in values:
                values[name][query] = value
        asked = set().union(*values.values())
        for name, known in values.items():
            if not known or set(known) != asked:
                problem = f"is damaged: {metric} of {name} is missing for some test queries"
                raise InputError(problem, EXPECTED, file=path)
        return values

    def ranking(self, name: str, queries: Collection[str] | None = None) -> dict[str, list[str]]:
        """Read the rankings of the test queries by a system at one dimension and precision.

        Args:
            name: name of the system, dimension and precision, such as `mnr.48.int8`.
            queries: ids of the queries to read; None reads all.

        Returns:
            Document ids, best first, by query id.
        """
        return {query: list(scores) for query, scores in self.scored_ranking(name, queries).items()}

    def scored_ranking(self, name: str, queries: Collection[str] | None = None) -> dict[str, dict[str, float]]:
        """Read the rankings of the test queries as document ids with scores; `ranking` gives the ids alone."""
        return read_ranking(self.folder.run(name), queries, self._trec_names)

    @cached_property
    def _trec_names(self) -> Names:
        """Ids of queries and documents that TREC files write in an encoded form; empty in runs of nestvec 0.1."""
        return read_trec_ids(self.folder.path("trec_ids"))

    # vectors

    def vectors(self, system: str, width: int) -> NDArray[np.float32]:
        """Open a system's vectors at full width: those of the q queries, then those of the d documents.

        Args:
            system: a system with vectors.
            width: full width of the system's model.

        Returns:
            (q + d, width) float32, rows of unit length, memory-mapped.

        Raises:
            InputError: the file is missing or damaged.
        """
        path = self.folder.embeddings(system)
        vectors: NDArray[np.float32] = map_array(path, np.float32, "the vectors of a finished run")
        wanted = len(self.queries) + len(self.catalogue), width
        if vectors.shape != wanted:
            problem = f"is damaged: it holds {' by '.join(map(str, vectors.shape))} numbers of {vectors.dtype}"
            raise InputError(problem, f"{wanted[0]} by {wanted[1]} of float32", file=path)
        return vectors

    def model_origin(self, system: str) -> tuple[list[str], str | None]:
        """Give the names under which an untrained system's model may be found, and the sha256 of its weights."""
        settings, hashes = self.config.settings, self.config.inputs
        if system == PRETRAINED:
            return [name for name in [str(settings.get("model", ""))] if can_be_path(name)], hashes.get("model")
        models = settings.get("models", [])
        names = [*(map(str, models) if isinstance(models, list) else []), str(settings.get("bigger", ""))]
        return [name for name in names if can_be_path(name)], hashes.get(f"model {system}")


def find_frontier(rows: Iterable[Row], metric: str) -> tuple[Row, ...]:
    """Find the rows whose metric no row of fewer bytes equals or beats, ordered from few bytes to many."""
    best: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.bytes, -row.metrics[metric].value)):
        if not best or row.metrics[metric].value > best[-1].metrics[metric].value:
            best.append(row)
    return tuple(best)


def load_run(out: str | Path | Run) -> Run:
    """Open the folder of a finished run.

    Args:
        out: the folder; a `Run` is returned unchanged.

    Returns:
        The run.

    Raises:
        InputError: the folder does not hold a finished run.
    """
    run = out if isinstance(out, Run) else Run(RunFolder(Path(out)))
    if not run.folder.is_done("report"):
        raise InputError("is not the folder of a finished run", "a folder made by `nestvec run --out`", file=out)
    return run


def _plain(row: Row) -> Point:
    """Make the name of what a row of `results.json` measured: system, dimension, precision and bytes, as a `Point`."""
    return Point(row.system, row.dimension, row.precision, row.bytes_per_vector, row.kind, axes=row.axes)
