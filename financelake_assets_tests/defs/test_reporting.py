"""What Dagster is told of tables that no run writes."""

from __future__ import annotations

import dagster as dg
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.config import Settings
from financelake_assets.defs.reporting import OBSERVED_SECONDS, SLOT_SECONDS, Cursor, Told, report, slot_of, tell
from financelake_assets.defs.resources import LakeResource, TablesResource
from financelake_assets.silver.schema import BARS, TICKS

QUARTER = 1_800_000_000.0  # a whole number of quarters of an hour since the epoch


def test_a_slot_begins_a_minute_before_the_checks() -> None:
    assert slot_of(QUARTER - 61) + 1 == slot_of(QUARTER - 60) == slot_of(QUARTER) == slot_of(QUARTER + 839)


def test_a_first_look_is_a_materialisation_then_commits_are_observed_until_the_next_slot() -> None:
    slot = slot_of(QUARTER)
    told = Told("3", "3", slot)
    assert tell(None, "3", QUARTER) == (dg.AssetMaterialization, told)
    assert tell(told, "3", QUARTER) == (None, told)
    assert tell(told, "4", QUARTER + 5) == (dg.AssetObservation, Told("4", "3", slot, QUARTER + 5))
    assert tell(told, "4", QUARTER + 900) == (dg.AssetMaterialization, Told("4", "4", slot + 1))
    assert tell(told, "3", QUARTER + 900) == (None, told), "nothing has been written since"
    observed = Told("4", "3", slot)
    again = (dg.AssetMaterialization, Told("4", "4", slot + 1))
    assert tell(observed, "4", QUARTER + 900) == again, "it was only observed before"


def test_a_table_is_observed_once_a_minute_also_when_the_clock_is_set_back() -> None:
    told = Told("3", "3", slot_of(QUARTER), QUARTER)
    assert tell(told, "4", QUARTER + OBSERVED_SECONDS - 1) == (None, told)
    assert tell(told, "4", QUARTER + OBSERVED_SECONDS)[0] is dg.AssetObservation
    assert tell(told, "4", QUARTER - 1)[0] is not None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, SLOT_SECONDS)), max_size=30))
def test_no_version_is_told_twice_and_a_table_at_rest_ends_materialised(ticks: list[tuple[int, int]]) -> None:
    told, version, now = None, 0, QUARTER
    for commits, seconds in [*ticks, (0, SLOT_SECONDS)]:
        version, now = version + commits, now + seconds
        _, told = tell(told, str(version), now)
        assert tell(told, str(version), now) == (None, told)
    assert told is not None
    assert told.materialised == str(version)


def test_the_cursor_survives_its_text_and_one_of_an_earlier_release() -> None:
    cursor = Cursor({"bronze.stock": {0: 5}}, {"silver/bars": Told("4", "3", 7, 2.5)}, 1.5, {"bronze.stock": 3.5})
    assert Cursor.parse(cursor.dump()) == cursor
    assert Cursor.parse(None) == Cursor.parse('{"versions": {"silver/bars": "3"}}') == Cursor()


def test_the_events_have_the_tables_figures(offline_lake: Settings, monkeypatch) -> None:
    monkeypatch.setattr(LakeResource, "settings", offline_lake)
    tables = TablesResource(lake=LakeResource())
    BARS.ensure(offline_lake)
    ((event,), told) = report(tables, (BARS, TICKS), {}, QUARTER, {"messages_behind": 4})
    assert isinstance(event, dg.AssetMaterialization)
    assert (event.metadata["dagster/row_count"].value, event.metadata["messages_behind"].value) == (0, 4)
    assert event.tags == {"dagster/data_version": told["silver/bars"].version}
    assert "silver/ticks" not in told, "it does not exist yet"
    assert report(tables, (BARS,), told, QUARTER + SLOT_SECONDS, {}) == ([], told)
