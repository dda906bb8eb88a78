"""The holdout: which bars nothing was chosen on, by a cut-off date a symbol.

Input: symbols and times of bars. Output: which of them are held out. A fraction of the bars that are there would move
with them: in a lake that has loaded a part of a history it reaches back into the period of the choices.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
from numpy.typing import NDArray

from financelake_assets.config import ModelSettings
from financelake_assets.model.splits import Times

PACKAGED: Mapping[str, date] = {
    "AAPL": date(2010, 8, 12),
    "BRENT": date(2018, 10, 23),
    "BTC-USD": date(2022, 12, 11),
    "FB": date(2013, 1, 22),
    "GOOG": date(2011, 7, 1),
    "HENRYHUB": date(2020, 9, 21),
    "IBM": date(2010, 8, 12),
    "MSFT": date(2010, 8, 12),
    "WTI": date(2018, 6, 25),
}
"""Of each packaged symbol, the first day that the choices did not look at: where the latest fifth of all its labelled
bars begins. See docs/decisions/0003-model-choices.md."""


def cut_offs(settings: ModelSettings) -> dict[str, date]:
    """The cut-off of each symbol that has one: those of the packaged symbols, and what the settings say."""
    return {**PACKAGED, **settings.holdout_since}


def in_holdout(
    symbol: NDArray[np.str_], event_time: Times, fraction: float, since: Mapping[str, date]
) -> NDArray[np.bool_]:
    """Which bars are held out.

    Args:
        symbol: of each bar.
        event_time: start of each bar, UTC.
        fraction: of the bars of a symbol without a cut-off, on which nothing was chosen, the latest part.
        since: the cut-off of each symbol that has one; its bars from that day on are held out, and no others.
    """
    held = np.zeros(len(symbol), dtype=bool)
    for one in np.unique(symbol):
        own = np.flatnonzero(symbol == one)
        cut_off = since.get(str(one))
        if cut_off is not None:
            held[own] = event_time[own] >= np.datetime64(cut_off)
            continue
        ordered = own[np.argsort(event_time[own], kind="stable")]
        held[ordered[len(ordered) - int(len(ordered) * fraction) :]] = True
    return held
