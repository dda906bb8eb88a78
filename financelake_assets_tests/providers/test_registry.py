"""Providers by name, and the worked example of docs/providers.md as a package that is installed beside FinanceLake."""

from __future__ import annotations

import json
import re
import sys
from importlib import invalidate_caches
from pathlib import Path

import pytest

from financelake_assets.bronze.ingest import ingest
from financelake_assets.config import Settings
from financelake_assets.providers.base import ProviderError
from financelake_assets.providers.registry import make_provider, names
from financelake_assets.providers.request import IngestRequest
from financelake_assets_tests.bronze.conftest import bronze_lake as bronze_lake
from financelake_assets_tests.bronze.observed import messages

DOCS = Path(__file__).parents[2] / "docs" / "providers.md"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example installed as a wheel would: a module, and its entry point in metadata; gives a file of trades."""
    text = DOCS.read_text("utf-8")
    (code,) = re.findall(r"```python\n# jsonlines_provider.py\n(.*?)```", text, re.DOTALL)
    (points,) = re.findall(r'\[project.entry-points."financelake.providers"\]\n(.*?)```', text, re.DOTALL)
    site = tmp_path / "site"
    metadata = site / "jsonlines_provider-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "jsonlines_provider.py").write_text(code)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: jsonlines-provider\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[financelake.providers]\n" + points.replace('"', ""))
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "jsonlines_provider", raising=False)
    invalidate_caches()
    file = tmp_path / "trades.jsonl"
    trades = [{"s": "BTC-USD", "t": 1_705_071_600_123 + at, "p": 43_000.5 + at, "q": 0.25, "id": at} for at in range(3)]
    file.write_text("\n".join(map(json.dumps, trades)))
    return file


def test_ours_are_there_and_an_unknown_one_is_told_with_them() -> None:
    assert {"binance", "coinbase", "csv", "kraken", "replay", "synthetic", "yfinance"} <= set(names())
    with pytest.raises(ProviderError, match="no provider 'bloomberg'; there are binance, coinbase, csv, kraken"):
        make_provider(IngestRequest(provider="bloomberg"))


def test_the_documented_example_is_found_and_yields_its_rows(example: Path) -> None:
    assert "jsonlines" in names()
    (part,) = make_provider(IngestRequest(provider="jsonlines", path=example)).history()
    (chunk,) = part.chunks
    assert (part.total, chunk.rows["close"].to_list()) == (3, [43_000.5, 43_001.5, 43_002.5])
    with pytest.raises(ProviderError, match="--path"):
        make_provider(IngestRequest(provider="jsonlines"))


def test_what_is_no_provider_is_refused(example: Path) -> None:
    points = example.parent / "site" / "jsonlines_provider-1.0.dist-info" / "entry_points.txt"
    points.write_text("[financelake.providers]\njsonlines = builtins:repr\n")
    with pytest.raises(ProviderError, match="builtins:repr is not a provider"):
        make_provider(IngestRequest(provider="jsonlines", path=example))


@pytest.mark.integration
def test_the_documented_example_is_published(bronze_lake: Settings, example: Path) -> None:
    result = ingest(IngestRequest(provider="jsonlines", path=example), bronze_lake)
    assert (result.published, result.symbols) == (3, {"BTC-USD"})
    assert {message.topic() for message in messages(bronze_lake)} == {"bronze.crypto"}
    assert ingest(IngestRequest(provider="jsonlines", path=example), bronze_lake).published == 0
