"""How much each input counted, on the page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from dash_app.data.lake_reader import LakeReader
from dash_app.server import create_app
from dash_app.views.contributions import section
from financelake_assets.config import Settings
from financelake_assets.gold.explain import Explained, Part
from financelake_assets_tests.dash_app import written

BAR = datetime(2025, 9, 12, tzinfo=UTC)


def explained(parts: int, stored: float | None = None) -> Explained:
    made = tuple(Part(f"input_{number}", float(number), 0.01 / (number + 1)) for number in range(parts))
    whole = 0.002 + sum(part.contribution for part in made)
    return Explained("AAPL", "1d", BAR, "v1", whole, whole if stored is None else stored, 0.002, made)


def rows_of(found: Explained) -> tuple[list[list[str]], str]:
    made: Any = section(found)
    table, note = made
    body = table.children.children[2].children
    return [[str(cell.children) for cell in row.children] for row in body], str(note.children)


@pytest.mark.parametrize("parts", [3, 12, 30])
def test_the_rows_add_up_to_the_prediction(parts: int) -> None:
    found = explained(parts)
    rows, note = rows_of(found)
    shares = [float(row[-1].replace("\u2212", "-").split("\u00a0")[0]) for row in rows]
    assert sum(shares[:-1]) == pytest.approx(shares[-1], abs=1e-3)
    assert shares[-1] == pytest.approx(100 * found.predicted_return, abs=1e-4)
    assert len(rows) == min(parts, 12) + 2 + (parts > 12)
    assert "corrected" not in note


def test_a_correction_since_is_told() -> None:
    _, note = rows_of(explained(3, stored=0.5))
    assert "Bars were corrected since: the prediction that was made then is +50.0000" in note


@pytest.fixture
def client(offline_lake: Settings) -> FlaskClient:
    rows = written.bars(("AAPL",))
    written.write_bars(offline_lake, rows)
    written.write_model(offline_lake)
    written.write_gold(offline_lake, rows)
    reader = LakeReader(offline_lake)
    reader.refresh()
    found: FlaskClient = create_app(offline_lake, reader).server.test_client()
    return found


def asked(client: FlaskClient, search: str, *, clicked: bool) -> dict[str, Any]:
    outputs = [{"id": "parts", "property": "children"}, {"id": "parts-ask", "property": "hidden"}]

    shown = {"symbol": "AAPL", "interval": "1d", "bars": "120"}
    state = [("url", "pathname", "/"), ("shown", "data", shown), ("stamp", "data", None)]
    body = {
        "output": "..parts.children...parts-ask.hidden..",
        "outputs": outputs,
        "inputs": [
            {"id": "parts-ask", "property": "n_clicks", "value": 1},
            {"id": "url", "property": "search", "value": search},
        ],
        "state": [{"id": name, "property": part, "value": value} for name, part, value in state],
        "changedPropIds": ["parts-ask.n_clicks" if clicked else "url.search"],
    }
    answer = client.post("/_dash-update-component", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    return dict(answer.json["response"])


def test_it_is_offered_for_a_chosen_bar_and_not_in_a_replay(client: FlaskClient) -> None:
    assert asked(client, "", clicked=False)["parts-ask"]["hidden"] is True
    assert asked(client, "?symbol=AAPL&bar=20250912000000", clicked=False)["parts-ask"]["hidden"] is False
    replayed = "?symbol=AAPL&bar=20250912000000&replay=20250913000000"
    assert asked(client, replayed, clicked=True)["parts-ask"]["hidden"] is True


def test_what_cannot_be_explained_says_why(client: FlaskClient) -> None:
    answer = asked(client, "?symbol=AAPL&bar=19990101000000", clicked=True)
    assert "There is no prediction of AAPL 1d at 1999-01-01" in str(answer["parts"])
