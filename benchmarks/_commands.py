"""Commands of nestvec in processes of their own, with limits of time and of address space."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import resource
import sys
import traceback
from pathlib import Path
from typing import Any, NamedTuple

SECONDS = 300  # a command may take, on a busy machine
ROOM = 2 << 30  # bytes of address space beyond what the libraries have taken
_PRELOADED = ["torch", "sentence_transformers", "transformers.models.mpnet.modeling_mpnet", "nestvec.cli"]
_PRELOADED += ["nestvec.models.load", "nestvec.serving.server", "nestvec.indexing.index", "faiss"]


class Ended(NamedTuple):
    """How a command ended: its exit code, or `traceback`, `hang`, `died`; what it said; its peak of memory in KB."""

    code: int | str
    said: str
    peak: int


def call(words: list[str], folder: Path | None = None) -> Ended:
    """Run a command in a process that has loaded the libraries and nothing else."""
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_run_command, args=(words, folder, sending))
    child.start()
    sending.close()
    ended = Ended("hang", "", 0)
    if receiving.poll(SECONDS):
        try:
            ended = Ended(*receiving.recv())
        except EOFError:
            ended = Ended("died", "", 0)
    child.kill()
    child.join()
    return ended


def _run_command(words: list[str], folder: Path | None, sending: Any) -> None:  # noqa: ANN401 - one end of a pipe
    """The child: a command as typed, in a folder from which Python would import, within limits."""
    if folder is not None:
        os.chdir(folder)
        sys.path.insert(0, str(folder))
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, taken + ROOM))
    from nestvec.cli import main

    sys.argv, said, code = ["nestvec", *words], io.StringIO(), 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as error:
            code = error.code or 0  # type: ignore[assignment] # nestvec ends with numbers
        except BaseException:
            traceback.print_exc()
            code = "traceback"  # type: ignore[assignment]
    sending.send((code, said.getvalue(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def find_problem(ended: Ended, codes: set[int]) -> str | None:
    """What is wrong with how a command ended that had to end with one of these codes, refusals in one line."""
    told = [line for line in ended.said.splitlines() if line.strip()]
    if ended.code not in codes:
        return f"ended with {ended.code}, not {sorted(codes)}: {' '.join(told)[-300:]}"
    if ended.code and ("Traceback" in ended.said or not told or not told[-1].startswith("nestvec: ")):
        return f"said {ended.said[-300:]!r}"
    if ended.code and ("alloc" in ended.said or "memory" in ended.said):
        return f"took memory first: {told[-1][:300]}"
    return None
