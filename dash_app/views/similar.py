"""The bars most like the chosen one, and what came after them."""

from __future__ import annotations

from dash import html

from dash_app import wording
from dash_app.data.similar import APART, Similar
from dash_app.views.parts import Children, fact, plain_table

_SHOWN = 8


def section(found: Similar | None, interval: str) -> Children:
    """The outcome in words and figures, beside the usual one, and the nearest bars."""
    title = html.H3("Similar bars and how they went")
    if found is None:
        return [title, html.P("The past before this bar is too short to find similar ones.", className="muted")]
    count, bars = len(found.days), "bar" if found.horizon == 1 else f"{found.horizon} bars"
    reach = wording.reach(found.low, found.high, 2, sign=True)
    inside = found.low <= found.usual <= found.high
    body = [
        [
            wording.bar_time(day.event_time, interval),
            wording.number(day.distance, 2),
            wording.percent(day.after, sign=True),
        ]
        for day in found.days[:_SHOWN]
    ]
    names = [f"Bar ({wording.zone(interval)})", "Distance", f"Return of the next {bars}"]
    return [
        title,
        html.Dl(
            [
                fact(
                    f"Mean of the next {bars}",
                    wording.percent(found.mean, 2, sign=True),
                    f"n = {count}; usual {wording.percent(found.usual, 2, sign=True)}",
                    beside=f"95 % interval {reach}",
                ),
                fact("Rose", f"{found.rose} of {count}", f"usual {wording.percent(found.usual_rose, 0)}"),
            ],
            className="facts figures",
        ),
        plain_table(f"The {len(body)} most similar of {wording.count(found.searched)} earlier bars", names, body),
        html.P(
            ("The usual mean is inside the interval: likeness tells nothing here. " if inside else "")
            + "Likeness is the distance of the model's inputs, each in its standard deviations. Only outcomes that "
            f"were known at this bar count, and similar bars are at least {APART} bars apart.",
            className="fine",
        ),
    ]
