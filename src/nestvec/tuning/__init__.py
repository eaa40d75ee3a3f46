"""The search over training settings: chosen on validation, asked once on test."""

from nestvec.tuning.tune_settings import Plan
from nestvec.tuning.study import Tuned, tune

__all__ = ["Plan", "Tuned", "tune"]
