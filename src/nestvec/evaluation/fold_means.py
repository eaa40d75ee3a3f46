"""Statistics over the means of folds: for each fold a model is trained, which is measured on the fold's queries only.

Training again would give another model. A fold's mean metric varies with the fold's queries and with its training, so
Student's t over the folds' means covers both kinds of variation, as long as the trainings vary independently. The
folds' trainings share most of their queries and so vary less than new trainings would; no estimate from the same data
can tell by how much (Bengio & Grandvalet 2004).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAME = 1e-9  # smaller differences are rounding errors


class FoldMeans:
    """Standard errors, bounds and tests for means over q queries that were measured in cross-validation folds.

    Args:
        folds: (q,) the fold of each query; any integers that differ between folds.
    """

    def __init__(self, folds: NDArray[np.int64]) -> None:
        self._fold = np.unique(folds, return_inverse=True)[1]
        self.count = int(self._fold.max()) + 1

    def errors(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the standard error of each column's mean, given q x c query values; infinite for a single fold.

        Larger folds weigh more, as they do in the mean (ratio estimator over clusters, Cochran 1977, 11.7).
        """
        if self.count == 1:
            return np.full(values.shape[1], np.inf)
        sums = np.zeros((self.count, values.shape[1]))
        np.add.at(sums, self._fold, values - values.mean(axis=0))
        errors: NDArray[np.float64] = np.sqrt(self.count / (self.count - 1) * (sums**2).sum(axis=0)) / len(values)
        return errors

    def reach(self, values: NDArray[np.float64], level: float) -> NDArray[np.float64]:
        """Compute how far each column's true mean can lie below the measured one, one-sided at confidence `level`."""
        from scipy.special import stdtrit

        reach: NDArray[np.float64] = stdtrit(self._freedom, level) * self.errors(values)
        return reach

    def chance_above(self, values: NDArray[np.float64], limit: float) -> float:
        """Compute the confidence, from 0 to 1, that the true mean of the queries' values exceeds a limit."""
        from scipy.special import stdtr

        return float(stdtr(self._freedom, self._distance(values, limit)))

    def test(self, difference: NDArray[np.float64]) -> float:
        """Compute the two-sided p-value for the mean of the queries' paired differences."""
        from scipy.special import stdtr

        return float(2 * stdtr(self._freedom, -abs(self._distance(difference, 0.0))))

    @property
    def _freedom(self) -> int:
        return max(1, self.count - 1)

    def _distance(self, values: NDArray[np.float64], limit: float) -> float:
        """Compute by how many standard errors the mean exceeds a limit; infinite if all folds have the same mean."""
        distance, error = float(values.mean()) - limit, float(self.errors(values[:, None])[0])
        if error <= _SAME:  # all folds agree
            return 0.0 if abs(distance) <= _SAME else float(np.copysign(np.inf, distance))
        return distance / error
