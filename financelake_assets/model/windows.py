"""Rolling statistics over the last bars of several series, as pure functions of arrays.

Input: the values of all series one after the other, with NaN for a missing value. Output: one number for each row.
Every sum adds its window's own values from the newest to the oldest, so it is the same to the last bit however much
history comes before the window. A running sum would accumulate the rounding errors of all earlier values.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_Bools = NDArray[np.bool_]


class Windows:
    """Windows that end at each row and stay within its series."""

    def __init__(self, position: NDArray[np.int64]) -> None:
        """Declare the series.

        Args:
            position: of each row in its series, from 0; the rows of a series are contiguous and in order.
        """
        self._position = position

    def total(self, values: Floats, bars: int) -> Floats:
        """Sum of the known values among the last ``bars`` rows; NaN if none is known."""
        return np.where(self.count(values, bars) > 0, self._sum(np.nan_to_num(values, nan=0.0), bars), np.nan)

    def count(self, values: Floats, bars: int) -> Floats:
        """How many values are known among the last ``bars`` rows."""
        return self._sum((~np.isnan(values)).astype(np.float64), bars)

    def mean(self, values: Floats, bars: int) -> Floats:
        """Mean of the known values among the last ``bars`` rows."""
        return self.total(values, bars) / np.maximum(self.count(values, bars), 1.0)

    def deviation(self, values: Floats, bars: int) -> Floats:
        """Population standard deviation of the known values among the last ``bars`` rows."""
        mean, squares = self.mean(values, bars), np.zeros(len(values))
        for back in range(bars):
            distance = self._back(values, back, np.nan) - mean
            squares += np.nan_to_num(distance * distance, nan=0.0)
        known = self.count(values, bars)
        return np.where(known > 0, np.sqrt(squares / np.maximum(known, 1.0)), np.nan)

    def highest(self, values: Floats, bars: int) -> Floats:
        """The greatest known value among the last ``bars`` rows."""
        found = values.copy()
        for back in range(1, bars):
            np.fmax(found, self._back(values, back, np.nan), out=found)
        return found

    def _sum(self, known: Floats, bars: int) -> Floats:
        found = known.copy()
        for back in range(1, bars):
            found += self._back(known, back, 0.0)
        return found

    def _back(self, values: Floats, rows: int, nothing: float) -> Floats:
        """The value of the row ``rows`` earlier in the same series."""
        shifted = np.full(len(values), nothing)
        if rows < len(values):
            shifted[rows:] = np.where(self._position[rows:] >= rows, values[: len(values) - rows], nothing)
        return shifted
