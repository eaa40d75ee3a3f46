"""Oracles: a real PostgreSQL server, a real Ray cluster of two machines of one processor each; arithmetic: planned
trials are finished once, by both workers, no point twice."""

from __future__ import annotations

import json
import os

import pytest

import nestvec

SPACE = {"learning_rate": {"low": 1e-5, "high": 3e-4, "log": True}, "epochs": [1, 2]}


def shared(facts, planned):
    """Whether two workers did what was planned between them."""
    trials = facts["trials"]
    assert [trial["trial"] for trial in trials] == list(range(1, planned + 1))
    assert all(trial["state"] in ("complete", "pruned") and trial["attempts"] == 1 for trial in trials)
    assert len({json.dumps(trial["params"]) for trial in trials}) == planned
    workers = {trial["worker"] for trial in trials}
    assert len(workers) == 2
    return workers


@pytest.mark.slow  # two processes of their own that import PyTorch, and eight trainings
def test_two_processes_share_a_study_in_postgresql(judged, quick, tmp_path, server, without_runs):
    given = {"storage": server, "workers": 2, "search": "tpe", "trials": 8, "space": SPACE}
    found = nestvec.tune(judged, tmp_path / "shared", **given, **quick)
    assert f"{os.uname().nodename}:{os.getpid()}" not in shared(found.facts, 8)
    assert not (tmp_path / "shared" / "study.journal").exists()
    with pytest.raises(nestvec.InputError, match="with other settings or data"):
        nestvec.tune(judged, tmp_path / "other", **{**given, "study": "shared", "aim": "ndcg@10"}, **quick)


@pytest.mark.slow  # a Ray cluster, and eight trainings
def test_two_ray_workers_share_a_study(cluster, judged, quick, tmp_path):
    assert len(cluster.list_all_nodes()) == 2
    found = nestvec.tune(judged, tmp_path / "t", engine="ray", search="data-size", repeats=2, **quick)
    shared(found.facts, 8)
    assert found.facts["growth"]["queries"][-1] == max(found.facts["growth"]["queries"])
