"""The search over training settings: chosen on validation, asked once on test."""

from nestvec.tuning.job import Tuned, tune
from nestvec.tuning.plan import Plan

__all__ = ["Plan", "Tuned", "tune"]
