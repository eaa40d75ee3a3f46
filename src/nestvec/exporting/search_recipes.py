"""Writes `recipes/` of an export: files that set up hybrid search in other search engines, as the run fitted it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec.exporting.elasticsearch_recipe import elasticsearch_recipe
from nestvec.exporting.opensearch_recipe import opensearch_recipe
from nestvec.exporting.pgvector_recipe import pgvector_recipe
from nestvec.exporting.qdrant_recipe import qdrant_recipe
from nestvec.exporting.recipe_numbers import RecipeNumbers
from nestvec.exporting.recipes_readme import render_recipes_readme
from nestvec.exporting.vespa_recipe import vespa_recipe
from nestvec.files import write_text
from nestvec.lexical.hybrid_file import read_hybrid, write_hybrid
from nestvec.runs.folder import LAYOUT

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.runs.point_files import Selection

RECIPES = "recipes"
_ENGINES = (pgvector_recipe, elasticsearch_recipe, opensearch_recipe, qdrant_recipe, vespa_recipe)


def write_recipes(folder: Path, chosen: Selection) -> None:
    """Write `hybrid.json` and `recipes/` into an export; writes nothing for an old run that has no `hybrid.json`.

    Args:
        folder: the export's folder.
        chosen: the exported system, dimension and precision.

    Raises:
        InputError: the run's `hybrid.json` is damaged.
    """
    path = chosen.run.folder.path("hybrid")
    if not path.is_file():
        return
    hybrid = read_hybrid(path).settle(chosen.format)
    write_hybrid(folder / LAYOUT["hybrid"], hybrid)
    numbers = RecipeNumbers.of(hybrid, chosen)
    for name, text in render_recipes(numbers).items():
        target = folder / RECIPES / name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, text)


def render_recipes(numbers: RecipeNumbers) -> dict[str, str]:
    """Render the files for all search engines; gives each file's text by its path below `recipes/`."""
    files = {name: text for engine in _ENGINES for name, text in engine(numbers).items()}
    return {**files, "README.md": render_recipes_readme(numbers)}
