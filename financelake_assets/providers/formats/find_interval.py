"""What rows are bars of: by what is told, by names, or by the steps between times; and whether these agree."""

from __future__ import annotations

import re
from itertools import pairwise

import polars as pl

from financelake_assets.intervals import TICK
from financelake_assets.providers import bar_intervals as intervals
from financelake_assets.providers.formats import symbols
from financelake_assets.providers.formats.plan import Reading
from financelake_assets.providers.formats.questions import UnsureError
from financelake_assets.providers.formats.rows import RowReader
from financelake_assets.providers.formats.sample import Sample

_FEWEST_STEPS = 10
_AFTERNOON = 15


def find_interval(sample: Sample, found: dict[str, str], rows: pl.DataFrame, reading: Reading) -> str | None:
    """The interval of all rows, or ``None`` where a column says it. ``found`` is brought up to date.

    Raises:
        UnsureError: nothing says it, or the rows are nearer or further apart than it.
    """
    interval = sample.request.interval
    if interval:
        found.pop("interval", None)
    elif "interval" in found:
        codes = set(sample.texts(found["interval"]))
        wrong = sorted(code for code in codes if intervals.of_code(code) is None)
        if not wrong and len(codes) > 1:
            return None
        if not wrong and codes:
            interval = intervals.of_code(codes.pop())
        found.pop("interval")
    told = interval is not None
    times = _times(rows)
    step = intervals.usual_step(times)
    interval = interval or _hint(sample) or intervals.guess_interval(times, has_range={"high", "low"} <= found.keys())
    if interval is None:
        raise UnsureError(
            "it is not clear what its rows are bars of; say so with --interval: "
            + intervals.KNOWN
            + (". Bars of a second or a month are not kept" if step is not None else ""),
            "--interval",
        )
    _check_nearer(interval, step, reading)
    if not told:
        _check_further(interval, times)
    return interval


def _hint(sample: Sample) -> str | None:
    """What the format, the source or the file's name says."""
    form = sample.form
    hint = symbols.of_name(sample.name).interval
    hint = intervals.canonical(sample.table.constants.get("interval", "")) or hint
    if form and form.file and (match := re.match(form.file, sample.name)):
        hint = intervals.canonical(match.groupdict().get("interval") or "") or hint
    return hint or (form.interval if form else None)


def _times(rows: pl.DataFrame) -> list[int]:
    usable = rows.drop_nulls("event_time")
    if usable.height == 0:
        return []
    first = usable.filter(pl.col("symbol") == usable["symbol"][0])
    return first["event_time"].dt.epoch("us").unique().sort().to_list()


def _check_nearer(interval: str, step: int | None, reading: Reading) -> None:
    if reading.time is not None and reading.time.only_days and (interval == TICK or interval[-1] in "mh"):
        raise UnsureError(
            f"its times are days without a clock, which bars of {interval} cannot have; is the clock in another "
            "column (--map time_of_day=COLUMN), or are these bars of a day (--interval 1d)?",
            "--map time_of_day=",
        )
    if (
        step is not None
        and step < intervals.length(interval)
        and not (interval[-1] in "dw" and step % intervals.DAY == 0)
    ):
        shown = intervals.of_length(step) or f"{step / intervals.SECOND:g} seconds"
        raise UnsureError(
            f"its rows are {shown} apart, and bars of {interval} cannot be; say what they are with --interval, "
            "or how the times are written with --time-format",
            "--interval",
        )


def _check_further(interval: str, times: list[int]) -> None:
    """Ask where no two rows are as near as bars of a name's interval are: EURUSD_M1 that holds hours."""
    length = intervals.length(interval)
    steps = [after - before for before, after in pairwise(times)]
    usual = intervals.usual_step(times)
    if interval == TICK or usual is None or len(steps) < _FEWEST_STEPS or min(steps) < 2 * length:
        return
    other = intervals.of_length(usual)
    if other is not None and other != interval:
        raise UnsureError(
            f"its name or format says bars of {interval}, and its rows are {other} apart; say which with --interval",
            "--interval",
            (interval, other),
        )


def check_days(sample: Sample, reading: Reading) -> None:
    """Ask about a day's bar at a moment whose date depends on the place.

    Raises:
        UnsureError: it is of that day, or of the next.
    """
    if reading.zone_told or reading.interval is None or reading.interval[-1] not in "dw":
        return
    moments = RowReader(reading, sample.table).moments(sample.rows)
    late = (moments["utc"].dt.replace_time_zone(None) == moments["written"]) & (moments["utc"].dt.hour() >= _AFTERNOON)
    typed_or_zoned = reading.time is None or reading.time.zoned
    if typed_or_zoned and late.any():
        example = moments["utc"].filter(late)[0]
        raise UnsureError(
            f"bars of {reading.interval} at {example:%H:%M} UTC are of that day or, east of it, of the next; say "
            "where with --timezone, for example Asia/Tokyo (or UTC)",
            "--timezone",
        )
