from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from financelake_assets.bronze.ingest import IngestRequest, ingest
from financelake_assets.bronze.topics import topic_of
from financelake_assets.config import ASSET_CLASSES, Settings, get_settings
from financelake_assets.defs.bronze.assets import (
    HISTORY,
    TOPICS,
    HistoryConfig,
    bronze_history,
    bronze_topics,
    history_request,
    refuse_path,
)
from financelake_assets.defs.resources import LakeResource, TopicsResource
from financelake_assets_tests.bronze.conftest import bronze_lake as bronze_lake
from financelake_assets_tests.bronze.observed import messages

CASES = Path(__file__).parents[1] / "providers" / "cases"


@pytest.fixture
def resources(bronze_lake: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(bronze_lake.data_dir))
    monkeypatch.setenv("FINANCELAKE_KAFKA__BOOTSTRAP", bronze_lake.kafka_bootstrap)
    get_settings.cache_clear()
    lake = LakeResource()
    yield {"lake": lake, "topics": TopicsResource(lake=lake)}
    get_settings.cache_clear()


def test_there_is_one_asset_a_topic() -> None:
    assert [spec.key.path for spec in TOPICS] == [topic_of(one).split(".") for one in ASSET_CLASSES]


def test_a_partition_is_a_class_and_a_year() -> None:
    assert HISTORY.has_partition_key(dg.MultiPartitionKey({"asset_class": "crypto", "year": "2015"}))
    config = HistoryConfig(provider="csv", path="/data")
    request = history_request(config, "crypto|2015", "2016")
    assert (request.asset_class, request.only_class) == (None, "crypto")
    assert (str(request.start), str(request.end)) == ("2015-01-01 00:00:00+00:00", "2016-01-01 00:00:00+00:00")
    assert history_request(config, "crypto|2016", "2016").end is None, "what comes now is of the newest year"


def test_a_run_loads_files_of_the_allowed_folders_only(tmp_path: Path) -> None:
    other = tmp_path / "bars"
    settings = Settings.model_validate({"data_dir": tmp_path / "lake", "dagster": {"import_dirs": [other]}})
    inside = settings.data_dir / "import"
    for folder in (inside, other):
        folder.mkdir(parents=True)
    (inside / "link").symlink_to("/etc")
    for path in (None, str(inside), str(inside / "a.csv"), str(other / "deep" / "a.csv")):
        refuse_path(path, settings)
    for path in ("/etc/passwd", f"{inside}/../../secret", f"{inside}/link/passwd", f"{inside}2/a.csv", "a.csv", ""):
        with pytest.raises(dg.Failure, match="may not load"):
            refuse_path(path, settings)


@pytest.mark.integration
def test_topics_are_materialised_with_what_is_on_them(bronze_lake: Settings, resources: Any) -> None:
    ingest(IngestRequest(provider="replay", symbols=("FB",)), bronze_lake)
    result = dg.materialize([bronze_topics], resources=resources)
    metadata = {
        event.asset_key.path[-1]: event.materialization.metadata for event in result.get_asset_materialization_events()
    }
    assert set(metadata) == set(ASSET_CLASSES)
    stock = metadata["stock"]
    assert stock["messages"].value == 196
    assert stock["lag"].value == {"silver": 196}
    assert stock["newest_event_time"].value == "2013-03-01T00:00:00.000000Z"
    assert stock["samples"].value[-1]["provider"] == "replay"
    assert metadata["crypto"]["messages"].value == 0


@pytest.mark.integration
def test_a_back_fill_publishes_a_range_of_years_in_one_run_and_never_twice(
    bronze_lake: Settings, resources: Any
) -> None:
    def fill(first: str, last: str) -> Any:
        tags = {
            "dagster/asset_partition_range_start": f"crypto|{first}",
            "dagster/asset_partition_range_end": f"crypto|{last}",
        }
        result = dg.materialize([bronze_history], resources=resources, tags=tags)
        (event, *_) = result.get_asset_materialization_events()
        return event.materialization.metadata

    assert fill("2015", "2016")["published"].value == 365 + 366
    again = fill("2016", "2017")
    assert (again["published"].value, again["known"].value) == (365, 366)
    assert len(messages(bronze_lake)) == 365 + 366 + 365


@pytest.mark.integration
def test_a_run_publishes_the_good_files_and_fails_for_the_refused_one(bronze_lake: Settings, resources: Any) -> None:
    folder = bronze_lake.data_dir / "import"
    shutil.copytree(CASES / "41-one-empty-of-three", folder)
    result = dg.materialize(
        [bronze_history],
        resources=resources,
        partition_key="stock|2024",
        run_config=dg.RunConfig(ops={"bronze__history": HistoryConfig(provider="csv", path=str(folder))}),
        raise_on_error=False,
    )
    assert not result.success
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    told = failed.step_failure_data.user_failure_data
    assert told is not None
    assert "1 files were refused and are not published; 16 rows of others are. DELISTED.csv is empty" in str(told)
    assert {json.loads(message.value())["symbol"] for message in messages(bronze_lake)} == {"AAPL", "MSFT"}


def test_a_run_says_nothing_that_its_config_does_not_say() -> None:
    request = history_request(HistoryConfig(provider="csv", path="/data"), "stock|2015", "2016")
    assert "timezone" not in request.model_fields_set, "UTC that nobody said would overrule a file's own zone"
    assert history_request(HistoryConfig(timezone="Asia/Tokyo"), "stock|2015", "2016").timezone == "Asia/Tokyo"
