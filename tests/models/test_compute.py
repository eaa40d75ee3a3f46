"""Oracles: the machine's own flags; files and answers put in the place of the machine's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from nestvec import processors
from nestvec.models import compute
from nestvec.models.compute import choose_compute, use_processors


@pytest.fixture
def four_threads(monkeypatch):
    """A machine of four processors without a quota, of which PyTorch takes all; its threads are put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(processors, "_count_allowed", lambda: 4)
    monkeypatch.setattr(processors, "_count_quota", lambda: 4)
    yield
    torch.set_num_threads(before)


def test_bfloat16_is_chosen_exactly_where_the_processor_has_it():
    flags = Path("/proc/cpuinfo").read_text().split()
    has = torch.cuda.is_available() or bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags))
    assert choose_compute("auto") == ("bfloat16" if has else "float32")


@pytest.mark.parametrize("wanted", ["float32", "bfloat16"])
@pytest.mark.parametrize("flags", ["flags : fpu avx512_bf16", "flags : fpu"])
def test_what_is_asked_for_is_taken(tmp_path, monkeypatch, wanted, flags):
    on_a_processor(tmp_path, monkeypatch, flags)
    assert choose_compute(wanted) == wanted


def on_a_processor(folder, monkeypatch, flags, system="Linux"):
    """A machine without a GPU whose processor says so of itself."""
    said = folder / "cpuinfo"
    said.write_text(flags, encoding="utf-8")
    monkeypatch.setattr(compute, "Path", {"/proc/cpuinfo": said}.__getitem__)
    monkeypatch.setattr(compute.platform, "system", lambda: system)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("flags", "system", "chosen"),
    [
        ("flags : fpu avx512f avx512_bf16 sse", "Linux", "bfloat16"),
        ("flags : fpu amx_bf16", "Linux", "bfloat16"),
        ("Features : fp asimd bf16", "Linux", "bfloat16"),
        ("flags : fpu avx512f avx512_bf16", "Darwin", "float32"),
        ("flags : fpu avx512f avx512_bf16x my_bf16", "Linux", "float32"),
        ("", "Linux", "float32"),
    ],
)
def test_the_processors_flags_decide(tmp_path, monkeypatch, flags, system, chosen):
    on_a_processor(tmp_path, monkeypatch, flags, system)
    assert choose_compute("auto") == chosen


@pytest.mark.parametrize("has", [True, False])
def test_a_gpu_decides_where_there_is_one_and_emulation_does_not_count(tmp_path, monkeypatch, has):
    on_a_processor(tmp_path, monkeypatch, "" if has else "flags : avx512_bf16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has or including_emulation)
    assert choose_compute("auto") == ("bfloat16" if has else "float32")


@pytest.mark.parametrize(
    ("limit", "value"), [("_count_allowed", 3), ("_count_quota", 2), ("_count_quota", 0), ("_count_allowed", 99)]
)
def test_threads_are_as_many_as_this_process_may_use(four_threads, monkeypatch, limit, value):
    monkeypatch.setattr(processors, limit, lambda: value)
    assert use_processors() == torch.get_num_threads() == min(4, max(1, value))


def test_what_the_environment_says_of_threads_stays(four_threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.setattr(processors, "_count_allowed", lambda: 1)
    assert use_processors() == torch.get_num_threads() == 4


@pytest.mark.parametrize(
    ("content", "threads"), [("200000 100000\n", 2), ("150000 100000\n", 2), ("50000 100000\n", 1), ("3 1", 3)]
)
def test_a_containers_quota_is_rounded_up(tmp_path, monkeypatch, content, threads):
    said = tmp_path / "cpu.max"
    said.write_text(content, encoding="utf-8")
    monkeypatch.setattr(processors, "_QUOTA", said)
    monkeypatch.setattr(compute.os, "cpu_count", lambda: 17)
    assert processors._count_quota() == threads


@pytest.mark.parametrize("content", ["max 100000\n", "", "100000", None])
def test_without_a_quota_all_processors_count(tmp_path, monkeypatch, content):
    said = tmp_path / "cpu.max"
    if content is not None:
        said.write_text(content, encoding="utf-8")
    monkeypatch.setattr(processors, "_QUOTA", said)
    monkeypatch.setattr(compute.os, "cpu_count", lambda: 17)
    assert processors._count_quota() == 17


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux says which processors a process may use")
def test_the_processors_of_this_process_are_counted(monkeypatch):
    monkeypatch.setattr(compute.os, "sched_getaffinity", lambda _: {0, 3, 5})
    assert processors._count_allowed() == 3
    monkeypatch.delattr(compute.os, "sched_getaffinity")
    monkeypatch.setattr(compute.os, "cpu_count", lambda: 17)
    assert processors._count_allowed() == 17
