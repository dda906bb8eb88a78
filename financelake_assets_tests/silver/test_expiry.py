"""Quarantine expires, and the ledger and the count of rows still balance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.config import Settings
from financelake_assets.silver import quarantine, replays
from financelake_assets.silver.committing import write_cleaned
from financelake_assets.silver.expiry import expire, expired
from financelake_assets.silver.ledger import uncounted
from financelake_assets.silver.schema import QUARANTINE, REPLAYS
from financelake_assets.silver.sizing import most_offsets
from financelake_assets.silver.writing import totals
from financelake_assets.storage.open_tables import OpenTables
from financelake_assets_tests.silver.messages import IDS, cleaned, message


def _refuse(lake: Settings, first: int, count: int) -> None:
    bad = [message(first + n, reason="not_json", raw=b"{", symbol=None, event_time=None) for n in range(count)]
    write_cleaned(OpenTables(lake), cleaned(bad), IDS)


def test_refused_messages_expire_with_their_replays_and_stay_counted(offline_lake: Settings):
    _refuse(offline_lake, 0, 3)
    replays._claim(offline_lake, [quarantine.Place("bronze.crypto", 0, 1, "first")], "a claim")
    soon = datetime.now(UTC)
    assert expire(offline_lake, soon + timedelta(days=89)) == 0
    assert expire(offline_lake, soon + timedelta(days=91)) == 3
    _refuse(offline_lake, 3, 2)
    assert expire(offline_lake, soon + timedelta(days=91)) == 2
    assert QUARANTINE.scan(offline_lake).collect().is_empty()
    assert REPLAYS.scan(offline_lake).collect().is_empty()
    table = QUARANTINE.ensure(offline_lake)
    assert (totals(table).accepted, expired(table)) == (5, 5)
    assert not any(uncounted(offline_lake).values())
    # what is run again is counted already
    _refuse(offline_lake, 0, 5)
    assert QUARANTINE.scan(offline_lake).collect().is_empty()


def test_a_lake_without_quarantine_has_nothing_that_expires(offline_lake: Settings):
    assert expire(offline_lake) == 0


@given(st.integers(1, 100_000), st.integers(1 << 20, 1 << 30), st.lists(st.floats(0, 1e6), max_size=4))
def test_a_batch_of_the_largest_messages_has_no_more_bytes_than_the_bound(
    most: int, most_bytes: int, sizes: list[float]
):
    found = most_offsets(most, most_bytes, {("t", n): size for n, size in enumerate(sizes)})
    assert 1 <= found <= most
    assert found * max(sizes, default=0) <= most_bytes
    assert found == most or (found + 1) * max(sizes) > most_bytes
