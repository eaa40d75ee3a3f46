"""Oracle: the kernel's own counts of page faults and of resident memory, in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

from nestvec.allocator import SWITCH

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library is left alone")

SCRIPT = """
import json, resource
from pathlib import Path
from nestvec.allocator import keep_freed_pages

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

def use_and_free(times):
    before = faults()
    for _ in range(times):
        arrays = [b"x" * size for size in (50_000_000, 12_000_000, 3_000_000)]
        del arrays
    return (faults() - before) / times

before = resident()
with keep_freed_pages():
    use_and_free(2)
    inside, held = use_and_free(10), resident() - before
print(json.dumps({"inside": inside, "held": held, "left": resident() - before, "outside": use_and_free(10)}))
"""


def measure(**environment):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env={**os.environ, **environment}, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_freed_pages_are_kept_inside_and_given_back_after():
    found = measure()
    assert found["inside"] < 100 < 10_000 < found["outside"]
    assert found["held"] > 60 and found["left"] < 10  # MiB


@pytest.mark.parametrize("environment", [{SWITCH: "system"}, {"MALLOC_ARENA_MAX": "2"}])
def test_the_environment_has_the_last_word(environment):
    assert measure(**environment)["inside"] > 10_000
