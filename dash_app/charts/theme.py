"""The colours of the charts, for light and dark. Surface, text, accent, up and down are those of ``assets/style.css``.

Up and down are teal and vermilion, which people with common colour blindness can distinguish, and each also has a
shape: rising candles are hollow, falling ones filled; BUY points up, SELL down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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


def palette(scheme: str | None) -> Palette:
    """The palette of a colour scheme; light unless the scheme is dark."""
    return DARK if scheme == "dark" else LIGHT
