"""The packaged history as silver's bars, cleaned by silver's own function, without servers."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from financelake_assets.bronze.message import encode
from financelake_assets.providers.replay import ReplayProvider
from financelake_assets.silver.cleaning import MESSAGES, cleaned
from financelake_assets.silver.merging import as_bars


def packaged_bars() -> pl.DataFrame:
    """Every packaged bar as the silver query cleans it, without those that go to quarantine."""
    provider = ReplayProvider()
    (part,) = provider.history()
    sent = [message for chunk in part.chunks for message in encode(chunk)]
    empty = {"provider": pl.Binary, "size": pl.Int64, "sha256": pl.String}
    messages = pl.DataFrame(
        {
            "key": pl.Series([key.encode() for _, key, _ in sent], dtype=pl.Binary),
            "value": pl.Series([value.encode() for _, _, value in sent], dtype=pl.Binary),
            "topic": [topic for topic, _, _ in sent],
            "partition": pl.Series([0] * len(sent), dtype=pl.Int32),
            "offset": range(len(sent)),
            "timestamp": [datetime.now(UTC)] * len(sent),
            **{name: pl.Series([None] * len(sent), dtype=kind) for name, kind in empty.items()},
        }
    )
    universe = {one.symbol: one.asset_class for one in provider.universe()}
    return as_bars(cleaned(messages.select(MESSAGES.names), universe).filter(pl.col("reason").is_null()))
