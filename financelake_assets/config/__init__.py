"""The one typed settings tree of a lake.

Input: environment variables prefixed ``FINANCELAKE_`` (nested groups with ``__``, for example
``FINANCELAKE_KAFKA__PORT=19092``), files of those names in ``FINANCELAKE_SECRETS_DIR``, the settings file
(``settings_file.py``), and the secrets that ``up`` has made for this lake (``own_secrets.py``). Output: a validated,
frozen ``Settings``. Everything that a lake writes lies under ``data_dir``, its tables in an object store where
``store`` names one; every port is shifted by ``port_offset``, so that two lakes run side by side.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import uuid
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from financelake_assets.config import own_secrets
from financelake_assets.config.market import (
    ASSET_CLASSES,
    AssetClass,
    FeedSettings,
    ModelSettings,
    PortfolioSettings,
    SignalSettings,
    SilverSettings,
)
from financelake_assets.config.own_secrets import OwnSecrets
from financelake_assets.config.platform import (
    AlertSettings,
    DagsterSettings,
    DashboardSettings,
    KafkaSettings,
    LineageSettings,
    MaintenanceSettings,
    MetricsSettings,
    QuerySettings,
    RuntimeSettings,
    SparkSettings,
    SqlServerSettings,
    StoreSettings,
    StreamSettings,
)
from financelake_assets.config.settings_file import SettingsFile

__all__ = [
    "ASSET_CLASSES",
    "SECRETS_DIR",
    "STREAMS_SESSION_ID",
    "AlertSettings",
    "AssetClass",
    "FeedSettings",
    "KafkaSettings",
    "ModelSettings",
    "PortfolioSettings",
    "QuerySettings",
    "Settings",
    "SignalSettings",
    "SilverSettings",
    "SparkSettings",
    "StoreSettings",
    "StreamSettings",
    "get_settings",
]

STREAMS_SESSION_ID = "5d1f0c1e-7a51-4b0e-9c1c-f1a9ce1a4e00"
"""The Spark Connect session that owns the continuous queries on a server without a token: any client finds it again."""

SECRETS_DIR = "FINANCELAKE_SECRETS_DIR"
"""Names a folder of files, each called like the variable whose value it holds, as Docker mounts secrets."""


class Settings(BaseSettings):
    """Every setting of one lake; see the groups for what each means."""

    model_config = SettingsConfigDict(
        env_prefix="FINANCELAKE_", env_nested_delimiter="__", frozen=True, extra="ignore", validate_default=True
    )

    data_dir: Path = Field(
        Path(".financelake"), description="the folder of the lake's data; without a store also of its tables"
    )
    host: str = Field("127.0.0.1", description="address that the lake's servers bind to")
    port_offset: int = Field(0, ge=0, le=40_000, description="added to every port of this lake")
    log_format: Literal["text", "json"] = Field("text", description="json: one object a line, of Python and Dagster")
    universe_file: Path | None = Field(
        None,
        description="YAML list of symbols that `up` follows and `ingest` asks for; default: <data_dir>/universe.yaml",
    )
    web_token: SecretStr | None = Field(
        None,
        description="what a browser shows once to FinanceLake Pro and to Dagster's page; `up` makes one; empty is none",
    )
    formats_file: Path | None = Field(
        None, description="YAML of what was settled about files, by their shape; default: <data_dir>/formats.yaml"
    )
    skipped_plugins: tuple[str, ...] = Field((), description="installed plug-ins that are not used: docs/plugins.md")
    kafka: KafkaSettings = KafkaSettings()
    spark: SparkSettings = SparkSettings()
    streams: StreamSettings = StreamSettings()
    store: StoreSettings = StoreSettings()
    silver: SilverSettings = SilverSettings()
    maintenance: MaintenanceSettings = MaintenanceSettings()
    query: QuerySettings = QuerySettings()
    sql_server: SqlServerSettings = SqlServerSettings()
    dagster: DagsterSettings = DagsterSettings()
    dashboard: DashboardSettings = DashboardSettings()
    metrics: MetricsSettings = MetricsSettings()
    feed: FeedSettings = FeedSettings()
    model: ModelSettings = ModelSettings()
    signals: SignalSettings = SignalSettings()
    portfolio: PortfolioSettings = PortfolioSettings()
    alerts: AlertSettings = AlertSettings()
    lineage: LineageSettings = LineageSettings()
    runtime: RuntimeSettings = RuntimeSettings()

    @model_validator(mode="after")
    def _work_begins_before_it_is_an_alert(self) -> Self:
        begins, alerted = self.streams.start_seconds, self.alerts.stale_seconds
        if not self.streams.continuous and begins >= alerted:
            raise ValueError(f"streams.start_seconds is {begins:g}: it must be below alerts.stale_seconds, {alerted:g}")
        return self

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("web_token", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None

    @field_validator("universe_file", "formats_file")
    @classmethod
    def _absolute_where_given(cls, value: Path | None) -> Path | None:
        # relative to where the command was given, not to where a process of the lake happens to run
        return value and value.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, the secrets' folder, the settings file, and the lake's own secrets."""
        del dotenv_settings
        files = NestedSecretsSettingsSource(
            file_secret_settings, os.environ.get(SECRETS_DIR), secrets_dir_missing="error"
        )
        own = OwnSecrets(settings_cls, settings_cls.model_fields["data_dir"].default)
        return init_settings, env_settings, files, SettingsFile(settings_cls), own

    def with_own_secrets(self) -> Self:
        """These settings with the secrets that ``up`` has made since they were read."""
        return type(self)(**self.model_dump(exclude_unset=True))

    def without_secrets(self) -> str:
        """JSON for a process elsewhere, which needs the settings and must not be sent the secrets."""
        return self.model_dump_json(exclude=_secrets(type(self)))

    @classmethod
    def sent(cls, text: str) -> Self:
        """The settings that ``without_secrets`` gave elsewhere, with the secrets of the process that receives them."""
        return cls(**json.loads(text))

    # -- addresses ---------------------------------------------------------------------------------
    @property
    def kafka_bootstrap(self) -> str:
        """``host:port`` that Kafka clients connect to."""
        kafka = self.kafka
        own = kafka.login_port if kafka.publishes_for_all else kafka.port
        return kafka.bootstrap or f"{self.host}:{own + self.port_offset}"

    @property
    def spark_port(self) -> int:
        """Port of the lake's own Spark Connect server, shifted by the offset."""
        return self.spark.port + self.port_offset

    @property
    def spark_remote(self) -> str:
        """Spark Connect URL for short jobs, each with a session of its own. Holds the token: not for messages."""
        remote = self.spark.remote or f"sc://{self.host}:{self.spark_port}"
        if self.spark.token is None:
            return remote
        # pyspark sends its own parameter `token` over TLS or to `localhost` only; a header goes to every host
        bearer = quote(f"Bearer {self.spark.token.get_secret_value()}", safe="")
        return f"{remote}{_separator(remote)}authorization={bearer}"

    @property
    def streams_remote(self) -> str:
        """Spark Connect URL of the one session that owns the continuous queries. Holds the token: not for messages."""
        return f"{self.spark_remote}{_separator(self.spark_remote)}session_id={self.streams_session_id}"

    @property
    def streams_session_id(self) -> str:
        """The id of that session: the same for every client that knows the token, and unknown to all others."""
        if self.spark.token is None:
            return STREAMS_SESSION_ID
        digest = hmac.digest(self.spark.token.get_secret_value().encode(), b"the streams' session", hashlib.sha256)
        return str(uuid.UUID(bytes=digest[:16], version=4))

    @property
    def dagster_url(self) -> str:
        """URL of the Dagster UI."""
        return f"http://{self.host}:{self.dagster.port + self.port_offset}"

    @property
    def dashboard_url(self) -> str:
        """URL of FinanceLake Pro."""
        return f"http://{self.host}:{self.dashboard.port + self.port_offset}"

    @property
    def sql_server_port(self) -> int:
        """Port of the SQL server for BI tools, shifted by the offset."""
        return self.sql_server.port + self.port_offset

    # -- places ------------------------------------------------------------------------------------
    @property
    def tables(self) -> str:
        """Folder or URL under which all tables are, by layer."""
        return self.store.url or str(self.data_dir / "delta")

    def table(self, layer: str, name: str) -> str:
        """Folder or URL of the Delta table ``layer/name``."""
        return f"{self.tables}/{layer}/{name}"

    def checkpoint(self, query: str) -> str:
        """Checkpoint folder of the continuous query ``query``."""
        return str(self.data_dir / "checkpoints" / query)

    @property
    def formats_path(self) -> Path:
        """The file of what was settled about users' files."""
        return self.formats_file or self.data_dir / "formats.yaml"

    @property
    def universe_path(self) -> Path:
        """The file of the symbols that this lake follows."""
        return self.universe_file or self.data_dir / "universe.yaml"

    @property
    def rules_path(self) -> Path:
        """The file of the rule alerts."""
        return self.alerts.rules_file or self.data_dir / "alerts.yaml"

    @property
    def addresses_dir(self) -> Path:
        """Folder where the page and the command set up addresses of alerts, a secret file each."""
        return self.alerts.addresses_dir or own_secrets.folder(self.data_dir)

    @property
    def run_dir(self) -> Path:
        """Folder of what belongs to the processes that run: sockets, locks, and what they say of themselves."""
        return self.data_dir / "run"

    @property
    def models_dir(self) -> Path:
        """Folder of the model artifacts, one sub-folder a version."""
        return self.data_dir / "models"


def _separator(remote: str) -> str:
    return ";" if "/;" in remote else "/;"


def _secrets(model: type[BaseModel]) -> Any:
    """What to leave out of a dump: every secret, in every group."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if "SecretStr" in repr(field.annotation):
            found[name] = True
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found[name] = _secrets(field.annotation)
    return found


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process's environment, read once."""
    return Settings()
