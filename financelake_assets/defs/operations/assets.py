"""Assets of the lake's operation in Dagster."""

from __future__ import annotations

from financelake_assets.defs.table_assets import table_spec
from financelake_assets.streams.progress import PROGRESS

STREAM_PROGRESS = table_spec(PROGRESS, [], {"spark"})
