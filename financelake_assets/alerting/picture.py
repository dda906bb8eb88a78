"""The picture of a chart in an alert's message.

Input: a series, and the bar at which a rule fired. Output: a PNG of the bars up to there, or nothing: a picture that
fails must not stop its message. Pillow draws it: it is loaded when the first picture is sent, in a fraction of a
second, and needs no browser and no list of the machine's fonts.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from financelake_assets import lake
from financelake_assets.alerting.messages import Chart
from financelake_assets.config import Settings
from financelake_assets.intervals import BAR_LENGTHS

BARS = 60
_REACH, _LEAST_REACH = 3 * BARS, timedelta(days=4)
"""Times the interval that it looks back for so many bars: markets close, most for a long weekend."""

_WIDTH, _HEIGHT = 800, 400
_LEFT, _TOP, _RIGHT, _BOTTOM = 12, 34, 716, 364
"""The corners of the chart; its prices are at the right."""
_UP, _DOWN, _INK, _LINE = "#1b7f5c", "#b3404a", "#1d232c", "#dfe3ea"

Bar = tuple[datetime, float, float, float, float]
"""Time, open, high, low, close."""

log = structlog.get_logger()


def of_chart(chart: Chart, settings: Settings) -> bytes | None:
    """The picture of a chart; ``None`` where it cannot be made, and the log says why."""
    try:
        bars = _bars(chart, settings)
        return drawn(f"{chart.symbol} {chart.interval}", chart.at, bars) if bars else None
    except Exception as error:  # whatever it is, the message goes out
        log.warning("an alert goes without its picture", problem=f"{type(error).__name__}: {error}")
        return None


def _bars(chart: Chart, settings: Settings) -> list[Bar]:
    """The last bars up to the chart's that have prices."""
    back = max(_REACH * BAR_LENGTHS[chart.interval], _LEAST_REACH)
    end = chart.at + timedelta(microseconds=1)
    rows = lake.bars(chart.symbol, chart.interval, start=chart.at - back, end=end, settings=settings)
    found = rows.select("event_time", "open", "high", "low", "close").drop_nulls().drop_nans().tail(BARS).collect()
    return list(found.iter_rows())


def drawn(title: str, at: datetime, bars: Sequence[Bar]) -> bytes:
    """Draw candles: hollow where the price rose, filled where it fell; the bar at which the rule fired is marked.

    Args:
        title: of the picture.
        at: the time of that bar.
        bars: at least one, oldest first.

    Returns:
        A PNG.
    """
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    pen, small, large = ImageDraw.Draw(image), ImageFont.load_default(13), ImageFont.load_default(17)
    low, high = min(bar[3] for bar in bars), max(bar[2] for bar in bars)
    margin = (high - low) * 0.05 or abs(high) * 0.01 or 1.0
    low, high = low - margin, high + margin
    wide = (_RIGHT - _LEFT) / len(bars)

    def across(place: int) -> float:
        return _LEFT + (place + 0.5) * wide

    def down(price: float) -> float:
        return _BOTTOM - (price - low) / (high - low) * (_BOTTOM - _TOP)

    pen.text((_LEFT, 7), f"{title}, times in UTC", fill=_INK, font=large)
    for price in levels(low, high):
        pen.line([(_LEFT, down(price)), (_RIGHT, down(price))], fill=_LINE)
        pen.text((_RIGHT + 6, down(price)), f"{price:.10g}", fill=_INK, font=small, anchor="lm")
    for place in range(0, len(bars), math.ceil(len(bars) / 4)):
        pen.text((across(place), _BOTTOM + 8), f"{bars[place][0]:%Y-%m-%d %H:%M}", fill=_INK, font=small, anchor="lt")
    for place, (time, opened, top, bottom, closed) in enumerate(bars):
        middle, half, rose = across(place), max(1.0, wide * 0.35), closed >= opened
        if time == at:
            pen.line([(middle, _TOP), (middle, _BOTTOM)], fill="#8a6d00")
            pen.text((middle, _TOP - 2), "alert", fill="#8a6d00", font=small, anchor="rb")
        colour = _UP if rose else _DOWN
        pen.line([(middle, down(top)), (middle, down(bottom))], fill=colour)
        body = [(middle - half, down(max(opened, closed))), (middle + half, down(min(opened, closed)))]
        pen.rectangle(body, fill="white" if rose else colour, outline=colour)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def levels(low: float, high: float) -> list[float]:
    """Round prices between two prices, some three to seven: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]
