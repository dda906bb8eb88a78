"""Bronze's tables: the universe."""

from __future__ import annotations

import pyarrow as pa

from financelake_assets.storage.delta import TIMESTAMP, TableSpec, columns

UNIVERSE = TableSpec(
    layer="reference",
    name="universe",
    key=("symbol",),
    description="The symbols that this lake knows; messages about any other go to quarantine.",
    schema=columns(
        {
            "symbol": pa.string(),
            "asset_class": pa.string(),
            "provider": pa.string(),
            "added_at": TIMESTAMP,
            "calendar": pa.string(),
            "currency": pa.string(),
            # what prices came in, such as GBp; empty until one has come, null where an older release brought the symbol
            "quoted": pa.string(),
        },
        required=("symbol", "asset_class"),
    ),
    time_column="added_at",
)
