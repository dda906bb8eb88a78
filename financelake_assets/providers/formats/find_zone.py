"""Where a file's times are meant: by the user, a known format, a header, a column of zones, or the lines above."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from financelake_assets.providers.formats import names, recognise, zones
from financelake_assets.providers.formats.plan import Reading
from financelake_assets.providers.formats.questions import UnsureError
from financelake_assets.providers.formats.sample import Sample

_COLUMNS = ("timezone", "tz", "zone", "exchangetimezone", "timezonename", "gmtoffset", "utcoffset", "tzoffset")


@dataclass(frozen=True)
class Zone:
    """The zone of times that name none; ``doubt``: what speaks of another, which cannot be told for sure."""

    name: str
    told: bool = False
    doubt: UnsureError | None = None


def find_zone(sample: Sample, found: Mapping[str, str]) -> Zone:
    """What says the zone, in the order in which it is believed."""
    request, form = sample.request, sample.form
    if "timezone" in request.model_fields_set:
        return Zone(request.timezone, told=True)
    if form and form.timezone:
        return Zone(form.timezone, told=True)
    if zone := recognise.zone_of_file(sample.name):
        return Zone(zone, told=True)
    column = found["event_time"]
    for words, where in (
        (zones.words_of_header(column), f"the column {column!r} says"),
        (_of_column(sample), "a column of the file says"),
        (sample.table.constants.get("timezone"), "the file says"),
        (zones.words_of_title(sample.table.preamble), "a line above the rows says"),
    ):
        if not words:
            continue
        zone = zones.zone_of_label(words)
        above = where.startswith("a line")
        if zone is not None and not above:
            return Zone(zone, told=True)
        example = zone or "America/New_York"
        return Zone(
            request.timezone,
            doubt=UnsureError(
                f"{where} {words!r}, which {'the times may be in' if above else 'can be several zones'}; say where "
                f"its times are meant with --timezone, for example --timezone {example} (or UTC)",
                "--timezone",
                zones.choices_of(words),
            ),
        )
    return Zone(request.timezone)


def _of_column(sample: Sample) -> str | None:
    column = next((one for one in sample.rows.columns if names.bare(one) in _COLUMNS), None)
    if column is None:
        return None
    values = sorted(set(sample.texts(column)))
    if not values:
        return None
    if len(values) > 1:
        return " and ".join(values[:3])
    return "UTC" if values[0].lstrip("+-").strip("0:.") == "" else values[0]


def check_zone(zone: Zone, reading: Reading, sample: Sample) -> None:
    """Ask about the zone where times need one: those of a day keep the date that is written.

    Raises:
        UnsureError: something speaks of a zone that cannot be told.
    """
    if zone.doubt is None or (reading.interval or "")[-1:] in ("d", "w"):
        return
    kind = sample.kind(reading.columns["event_time"])
    zoned = reading.time.zoned if reading.time is not None else isinstance(kind, pl.Datetime) and bool(kind.time_zone)
    if not zoned:
        raise zone.doubt
