"""`recipes/`: how other search engines rank words and fuse them with vectors, with the fitted numbers filled in."""

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

if TYPE_CHECKING:
    from pathlib import Path

    from nestvec.runs.point_files import Selection

HYBRID = "hybrid.json"
RECIPES = "recipes"
_ENGINES = (pgvector_recipe, elasticsearch_recipe, opensearch_recipe, qdrant_recipe, vespa_recipe)


def write_recipes(folder: Path, chosen: Selection) -> bool:
    """Write `hybrid.json` and `recipes/` into an export.

    Args:
        folder: of the export.
        chosen: what is exported.

    Returns:
        Whether the run has a `hybrid.json`; runs of earlier versions have none, and nothing is written for them.

    Raises:
        InputError: the run's `hybrid.json` is damaged.
    """
    path = chosen.run.folder.path("hybrid")
    if not path.is_file():
        return False
    hybrid = read_hybrid(path)
    write_hybrid(folder / HYBRID, hybrid)
    numbers = RecipeNumbers.of(hybrid, chosen)
    for name, text in render_recipes(numbers).items():
        target = folder / RECIPES / name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, text)
    return True


def render_recipes(numbers: RecipeNumbers) -> dict[str, str]:
    """Every recipe: path below `recipes/` to the file's text."""
    files = {name: text for engine in _ENGINES for name, text in engine(numbers).items()}
    return {**files, "README.md": render_recipes_readme(numbers)}
