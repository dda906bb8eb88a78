"""The colours of the charts, for light and dark. Surface, text, accent, up and down are those of ``assets/style.css``.

Up and down are teal and vermilion, which people with common colour blindness can distinguish, and each also has a
shape: rising candles are hollow, falling ones filled; BUY points up, SELL down.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from dash_app.preferences import Candles, chosen

Scheme = Literal["light", "dark"]


@dataclass(frozen=True)
class Palette:
    """The colours of a figure."""

    surface: str
    ink: str
    muted: str
    grid: str
    accent: str
    band: str
    up: str
    down: str
    volume: str
    lines: tuple[str, ...]


LIGHT = Palette(
    surface="#ffffff",
    ink="#14181f",
    muted="#566071",
    grid="#e9ecf1",
    accent="#3454d1",
    band="rgba(52,84,209,0.11)",
    up="#00795c",
    down="#c03a12",
    volume="#c6ccd6",
    lines=("#14181f", "#a35200", "#0072b2", "#9c2f6e", "#5b6b00", "#6a4fb3"),
)
DARK = Palette(
    surface="#151a22",
    ink="#e8ebf0",
    muted="#9aa5b4",
    grid="#252c37",
    accent="#93aeff",
    band="rgba(147,174,255,0.14)",
    up="#3fd0a4",
    down="#ff8b66",
    volume="#3b4453",
    lines=("#e8ebf0", "#f0a24b", "#6cc0f5", "#f08fc4", "#c5d15a", "#b9a5f5"),
)


_CANDLES: dict[Candles, dict[Scheme, tuple[str, str]]] = {
    "green": {"light": ("#1a7f37", "#cf222e"), "dark": ("#3fb950", "#ff7b72")},
    "red": {"light": ("#cf222e", "#1a7f37"), "dark": ("#ff7b72", "#3fb950")},
    "blue": {"light": ("#0969da", "#a35200"), "dark": ("#6cb6ff", "#f0a24b")},
}
"""Up and down in the charts, where a visitor wants others; each has a contrast of at least 4.5."""


def palette(scheme: str | None) -> Palette:
    """The palette of a colour scheme, light unless it is dark, with the visitor's candle colours."""
    wanted: Scheme = "dark" if scheme == "dark" else "light"
    usual = DARK if wanted == "dark" else LIGHT
    colours = _CANDLES.get(chosen().candles)
    return usual if colours is None else replace(usual, up=colours[wanted][0], down=colours[wanted][1])
