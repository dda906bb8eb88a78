"""Every calendar that a symbol's suffix names can be built, whatever years it is known of."""

from __future__ import annotations

import pytest

from financelake_assets.calendars import trading_calendar


@pytest.mark.parametrize("name", ["XBOM", "XTKS", "XSHG"])
def test_a_calendar_that_begins_later_than_others_is_built(name: str) -> None:
    assert trading_calendar(name).name == name
