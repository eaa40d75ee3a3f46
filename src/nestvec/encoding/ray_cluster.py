"""Encodes shards on a Ray cluster with Ray Data: one actor works on each GPU, or on each machine if none has a GPU.

Every machine must see the model and the output's folder under the same path; only shard numbers are sent over the
network.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from typing import TYPE_CHECKING, Any

from nestvec.encoding.work_folder import Shard
from nestvec.errors import InputError, MissingExtraError, NestvecError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nestvec.encoding.shards import ShardRecipe

_COLUMNS = ("number", "first", "end", "rows")  # fields of a shard in a Ray data set


class _ShardActor:
    """A Ray actor: a process on one machine of the cluster that loads the model once and encodes many shards."""

    def __init__(self, recipe: ShardRecipe) -> None:
        self._shards = recipe.open()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Encode and write the shards that a batch of Ray Data describes; returns the number of rows of each shard."""
        for number, first, end, rows in zip(*(batch[name].tolist() for name in _COLUMNS), strict=True):
            self._shards.encode(Shard(number, (first, end), rows))
        return {"rows": batch["rows"]}


def encode_on_ray(recipe: ShardRecipe, shards: list[Shard], advance: Callable[[int], None]) -> None:
    """Encode shards on a Ray cluster: the one that `RAY_ADDRESS` names, one running on this machine, or a new one here.

    `advance` is called with the number of rows done since the last call. Raises InputError if the cluster cannot be
    reached or one of its machines would use another backend or number format than this machine, MissingExtraError if
    Ray is not installed, and NestvecError if a machine fails; finished shards are kept.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    if not shards:
        return
    with connected_to_ray(ray):
        count, needs = plan_actors(ray)
        items = [dict(zip(_COLUMNS, (shard.number, *shard.buckets, shard.rows), strict=True)) for shard in shards]
        rows = ray.data.from_items(items, override_num_blocks=len(items))  # one block for each shard
        actors = {"fn_constructor_args": (recipe,), "compute": ray.data.ActorPoolStrategy(size=count), **needs}
        finished = rows.map_batches(_ShardActor, batch_size=1, **actors)
        try:
            for row in finished.iter_rows():
                advance(int(row["rows"]))
        except ray.exceptions.RayError as error:
            raise ray_failure(error) from error


@contextlib.contextmanager
def connected_to_ray(ray: Any) -> Iterator[None]:  # noqa: ANN401 - the library
    """Connect to Ray for the duration of the block, and keep Ray's output off the terminal."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    started_here = not ray.is_initialized()
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):  # Ray warns of changes in its own next version
            warnings.simplefilter("ignore", category)
        ray.data.DataContext.get_current().enable_progress_bars = False
        if started_here:
            try:
                ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
            except (ConnectionError, RuntimeError, ValueError) as error:
                wanted = "RAY_ADDRESS of a running cluster; unset RAY_ADDRESS to start one here"
                raise InputError(f"the Ray cluster cannot be reached ({str(error).splitlines()[0]})", wanted) from error
        try:
            yield
        finally:
            if started_here:
                ray.shutdown()


def plan_actors(ray: Any) -> tuple[int, dict[str, Any]]:  # noqa: ANN401 - the library
    """Decide how many actors to start, and what each needs: a GPU, or else as many CPUs as the smallest machine has."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cards = int(sum(machine.get("GPU", 0) for machine in machines))
    if cards:
        return cards, {"num_gpus": 1}
    processors = [int(machine["CPU"]) for machine in machines if machine.get("CPU", 0) >= 1]
    if not processors:
        raise InputError("the Ray cluster has no CPUs", "at least one machine with a CPU")
    smallest = min(processors)
    return sum(count // smallest for count in processors), {"num_cpus": smallest}


def ray_failure(error: Exception) -> NestvecError:
    """Return the NestvecError that caused a Ray error, or else a new NestvecError with Ray's reason on one line."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NestvecError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    lines = [line for line in str(error).strip().splitlines() if line.strip()] or [type(error).__name__]
    reason = lines[-1].strip()[:300]
    remedy = "finished shards are kept: run `nestvec encode` again"
    return NestvecError(f"a machine of the Ray cluster failed ({reason}); {remedy}")
