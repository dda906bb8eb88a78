"""Names of the forests' inputs and outputs, and of what an execution costs."""

from __future__ import annotations

from typing import Protocol

import polars as pl

RAW = "raw_prediction"
"""The return that its forest predicts, in units of the expected move."""


RAW_UP = "raw_up"
"""The probability of a rise that its forest predicts."""


RAW_SIZE = "raw_size"
"""The size of the move that its forest predicts, in units of the expected move."""


OUTPUTS = (RAW, RAW_UP, RAW_SIZE)


DISSIMILARITY = "dissimilarity"
"""How unlike all that was learnt a bar is: 0 is a bar that was learnt, 1 is the limit. See ``dissimilarity.py``."""


class Predictor(Protocol):
    """A model that is served: the forests, or a model of a user's own."""

    def predict(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The raw predictions.

        Args:
            rows: the features, and the category of symbol and weekday.

        Returns:
            ``OUTPUTS`` of each row; null if an input is missing. And ``DISSIMILARITY``, where what was learnt is known.
        """


RETURNS = 3
"""Place of the returns' forest among the pipeline's stages, the first of the forests."""


WEEKDAY_EFFECT = "weekday_effect"


EFFECT_PRIOR_ROWS = 200.0
"""The mean of all symbols counts as this many bars of a symbol's weekday."""


COST = "cost_bps"
"""The cost of one execution, in basis points."""


EXECUTION = "execution_bps"
"""The same with slippage on top."""
