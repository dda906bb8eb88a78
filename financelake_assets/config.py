"""The one typed settings tree of a lake.

Enters: environment variables prefixed ``FINANCELAKE_`` (nested groups with ``__``, for example
``FINANCELAKE_KAFKA__PORT=19092``), and files of those names in ``FINANCELAKE_SECRETS_DIR``. Leaves: a validated, frozen
``Settings``. Everything that a lake writes lies under ``data_dir``; every port is shifted by ``port_offset``, so that
two lakes run side by side.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

AssetClass = Literal["stock", "crypto", "commodity"]
ASSET_CLASSES: tuple[AssetClass, ...] = ("stock", "crypto", "commodity")

STREAMS_SESSION_ID = "5d1f0c1e-7a51-4b0e-9c1c-f1a9ce1a4e00"
"""The fixed Spark Connect session that owns the continuous queries, so that any client finds them again."""


SECRETS_DIR = "FINANCELAKE_SECRETS_DIR"
"""Names a folder of files, each called like the variable whose value it holds, as Docker mounts secrets."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(_Group):
    """The broker and the bronze topics."""

    port: int = Field(9092, ge=1, le=65535, description="client port of the lake's own broker")
    controller_port: int = Field(9093, ge=1, le=65535, description="KRaft controller port of the own broker")
    bootstrap: str | None = Field(None, description="an existing cluster's host:port list; no own broker is started")
    heap: str = Field("512m", pattern=r"^\d+[mg]$", description="Java heap of the own broker")
    partitions: int = Field(2, ge=1, description="partitions of each bronze topic")
    replication: int = Field(1, ge=1, description="replicas of each bronze topic")
    security: Literal["PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="SASL_SSL: clients log in with username and password over TLS"
    )
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        "SCRAM-SHA-512", description="how they log in; the own broker knows the first"
    )
    username: str | None = Field(None, description="of this lake on the broker")
    password: SecretStr | None = Field(None, description="of that user")
    ca_file: Path | None = Field(None, description="PEM of the authority that signed the brokers' certificates")
    node_id: int = Field(1, ge=1, description="of the own broker in its cluster")
    voters: str | None = Field(
        None, description="id@host:port list of all controllers, where several own brokers are one cluster"
    )
    cluster_id: str | None = Field(None, description="of that cluster; a single broker makes its own")
    internal_port: int = Field(9094, ge=1, le=65535, description="where own brokers with TLS speak to each other")
    keystore_file: Path | None = Field(
        None, description="PEM of the own broker's private key, its certificate and the authority's; for SASL_SSL"
    )
    admin_password: SecretStr | None = Field(
        None, description="of the user admin, made with the own broker; for SASL_SSL"
    )
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="where the own broker shows its JMX figures to Prometheus; unset is nowhere"
    )
    retention_ms: int = Field(7 * 24 * 3600 * 1000, ge=60_000, description="bronze retention by time")
    retention_bytes: int = Field(1 << 30, ge=1 << 20, description="bronze retention by size, per partition")


class SparkSettings(_Group):
    """The Spark Connect server and what runs in it."""

    port: int = Field(15002, ge=1, le=65535, description="port of the lake's own Spark Connect server")
    remote: str | None = Field(None, description="an existing sc://host:port; no own server is started")
    master: str = Field("local[*]", description="spark.master of the own server")
    driver_host: str | None = Field(None, description="name under which executors reach the own server; default: host")
    token: SecretStr | None = Field(None, description="a client of the Connect server must know it")
    ca_file: Path | None = Field(
        None, description="PEM of the authority behind a remote with use_ssl=true; unset is the public ones"
    )
    cluster_secret: SecretStr | None = Field(
        None, description="master, workers and own server must share it; what they say to each other is encrypted"
    )
    ui_port: int | None = Field(
        None, ge=1, le=65535, description="web page and Prometheus figures of the own server, master or worker"
    )
    master_port: int = Field(7077, ge=1, le=65535, description="port of a standalone master")
    worker_cores: int = Field(1, ge=1, description="cores that a standalone worker offers")
    worker_memory: str = Field("2g", pattern=r"^\d+[mg]$", description="memory that a standalone worker offers")
    executor_memory: str = Field("1g", pattern=r"^\d+[mg]$", description="Java heap of an executor on a cluster")
    conf: dict[str, str] = Field({}, description="further settings of the own server, as JSON; the last word")
    driver_memory: str = Field("2g", pattern=r"^\d+[mg]$", description="Java heap of the own server")
    shuffle_partitions: int = Field(2, ge=1, description="spark.sql.shuffle.partitions")
    trigger_seconds: float = Field(0.0, ge=0, description="micro-batch interval; 0 starts the next at once")
    max_offsets_per_trigger: int = Field(100_000, ge=1, description="bound on one silver micro-batch")


class StreamSettings(_Group):
    """Whether the queries run all the time, or when there is work for them."""

    continuous: bool = Field(
        True, description="false: the queries are started when enough waits, and stopped when they have caught up"
    )
    start_messages: int = Field(1_000, ge=1, description="not continuous: so many waiting messages start them")
    start_seconds: float = Field(
        60.0, ge=5, description="not continuous: whatever has waited for so long starts them too"
    )
    stall_seconds: float = Field(
        300.0, ge=5, description="a query whose micro-batch has not ended after so long is stopped and started again"
    )


class SilverSettings(_Group):
    """What the survey of silver takes for a jump of the price. A jump is noted in silver/findings, never dropped."""

    jump_sigmas: float = Field(10.0, gt=0, description="a jump is a move of more typical moves of late than this")
    jump_share: float = Field(0.1, gt=0, description="and of more than this share of the close before")


class MaintenanceSettings(_Group):
    """What keeps the Delta tables small and quick to read."""

    target_file_mb: int = Field(
        16, ge=1, le=1024, description="size that small files are merged up to; a correction rewrites a whole file"
    )
    small_files: int = Field(20, ge=2, description="so many files below half of that size are merged")
    retention_hours: int = Field(
        168, ge=168, description="how long replaced files are kept, for readers, time travel and the change feed"
    )


class DagsterSettings(_Group):
    """Dagster's webserver and code location."""

    port: int = Field(3000, ge=1, le=65535, description="port of the Dagster webserver")
    code_port: int = Field(4266, ge=1, le=65535, description="port of the code location's gRPC server")
    code_host: str | None = Field(None, description="where the code location is, if not on this host")
    postgres: SecretStr | None = Field(
        None, description="postgresql://user:password@host/database for runs and events; unset is SQLite files"
    )


class DashboardSettings(_Group):
    """FinanceLake Pro."""

    port: int = Field(8050, ge=1, le=65535, description="port of the dashboard")
    refresh_seconds: float = Field(0.5, ge=0.2, description="how often an open page asks for new data")
    stale_seconds: float = Field(30.0, gt=0, description="without a new bar for this long the page says stale")
    login: SecretStr | None = Field(
        None, description="name:password, required unless the host is this machine's own; 8 characters or more"
    )

    @field_validator("login")
    @classmethod
    def _login_has_a_name_and_a_password(cls, value: SecretStr | None) -> SecretStr | None:
        name, _, password = value.get_secret_value().partition(":") if value else ("", "", "")
        if value and (not name or len(password) < 8):
            raise ValueError("login is name:password with a password of 8 characters or more")
        return value


class MetricsSettings(_Group):
    """Figures for Prometheus."""

    port: int = Field(9464, ge=1, le=65535, description="port of the exporter")


class FeedSettings(_Group):
    """What `up` publishes to bronze by itself."""

    provider: Literal["replay", "none"] = Field("replay", description="replay of packaged real history, or nothing")
    bars_per_second: float = Field(
        2.0, ge=0, description="speed of the replay's live part over all symbols; 0 is as fast as possible"
    )
    live_days: int = Field(365, ge=0, description="the last days of each symbol that are played as live")


class ModelSettings(_Group):
    """The random forest. Chosen inside the training period (docs/decisions/0003-model-choices.md)."""

    symbols: tuple[str, ...] = Field((), description="learn from these symbols alone; empty is all")
    interval: str = Field("1d", description="the bars that the model learns from")
    horizon: int = Field(1, ge=1, description="how many bars ahead a prediction looks")
    trees: int = Field(40, ge=1)
    depth: int = Field(6, ge=1, le=20)
    min_instances_per_node: int = Field(50, ge=1)
    subsampling_rate: float = Field(0.5, gt=0, le=1)
    seed: int = 20_001
    folds: int = Field(4, ge=2, le=50, description="walk-forward folds; each costs one more training")
    window_days: int | None = Field(
        None, ge=30, description="a sliding window: learn from so many days; unset is all history, an expanding one"
    )
    holdout_fraction: float = Field(
        0.2, gt=0, lt=0.9, description="latest part of each symbol, never trained on before it is scored"
    )
    coverage: float = Field(0.8, gt=0, lt=1, description="nominal coverage of the prediction interval")
    min_rows: int = Field(500, ge=50, description="fewer labelled rows than this train no model")
    retrain_rows: int = Field(5_000, ge=100, description="new silver rows since the last training that start the next")
    max_age_days: float = Field(90, gt=0, description="older champions give no signals")


class SignalSettings(_Group):
    """When a prediction becomes BUY or SELL. Costs are one-way, in basis points of the price."""

    cost_bps: dict[AssetClass, float] = {"stock": 2.0, "crypto": 5.0, "commodity": 3.0}
    min_confidence: float = Field(
        0.5, ge=0.0, le=1, description="probability of the predicted direction below which to HOLD"
    )
    outlier_sigmas: float = Field(
        10.0, gt=0, description="a bar's own move of more standard deviations than this is taken for an error: HOLD"
    )
    settle_bars: int = Field(
        1, ge=0, le=20, description="a direction holds back while the opposite one was due in so many bars before"
    )

    @field_validator("cost_bps")
    @classmethod
    def _every_class_is_named(cls, value: dict[AssetClass, object]) -> dict[AssetClass, object]:
        missing = set(ASSET_CLASSES) - set(value)
        if missing:
            raise ValueError(f"nothing for {', '.join(sorted(missing))}")
        return value

    @field_validator("cost_bps")
    @classmethod
    def _costs_are_not_negative(cls, value: dict[AssetClass, float]) -> dict[AssetClass, float]:
        if any(cost < 0 for cost in value.values()):
            raise ValueError("a cost is negative")
        return value


class PortfolioSettings(_Group):
    """The paper portfolio: one account for each asset class and interval, in which signals are executed."""

    capital: float = Field(100_000.0, gt=0, description="what each account begins with")
    slippage_bps: float = Field(1.0, ge=0, description="one-way, on top of the signal's costs")
    target_volatility: float = Field(
        0.10, gt=0, description="yearly volatility that a position is sized to, as a share of the account"
    )
    max_position: float = Field(0.5, gt=0, description="largest position in one symbol, as a share of the account")
    max_exposure: float = Field(1.0, gt=0, description="largest sum of all positions, as a share of the account")
    short: bool = Field(True, description="whether SELL opens a short position; otherwise it only closes a long one")
    min_holding_bars: int = Field(1, ge=1, description="a position is neither closed nor reversed before")
    kill_switch_drawdown: float = Field(
        0.2, gt=0, le=1, description="loss from the highest equity at which every position is closed"
    )
    kill_switch_bars: int = Field(20, ge=1, description="steps without positions after the kill switch")
    seed: int = Field(20_002, description="of the control that trades when the signals do, in random directions")


class AlertSettings(_Group):
    """Who is told when something is wrong. The lake's own log always is."""

    urls: tuple[SecretStr, ...] = Field(
        (), description="Apprise addresses, such as json://host/path (webhook) or mailto://user:password@host"
    )
    repeat_hours: float = Field(6.0, gt=0, description="how often one that lasts is said again")
    stale_seconds: float = Field(300.0, ge=10, description="silver may stand still this long while messages wait")


class RuntimeSettings(_Group):
    """Where the laptop runtime gets its JVM parts, and what it needs before it starts."""

    jars_dir: Path | None = Field(None, description="cache of the JVM jars; default: the user's cache folder")
    maven_repository: str | None = Field(
        None, description="a mirror of Maven Central to take the jars from; they are checked by hash"
    )
    fetch_java: bool = Field(False, description="let jgo download a Java 17 where the machine has none")
    min_free_gb: float = Field(2.0, ge=0, description="free disk space below which `up` does not start")
    min_free_memory_gb: float = Field(4.0, ge=0, description="available memory below which `up` does not start")
    start_seconds: float = Field(180.0, gt=0, description="how long `up` waits for everything to be healthy")


class Settings(BaseSettings):
    """Every setting of one lake; see the groups for what each means."""

    model_config = SettingsConfigDict(
        env_prefix="FINANCELAKE_", env_nested_delimiter="__", frozen=True, extra="ignore", validate_default=True
    )

    data_dir: Path = Field(Path(".financelake"), description="holds everything that the lake writes")
    host: str = Field("127.0.0.1", description="address that the lake's servers bind to")
    port_offset: int = Field(0, ge=0, le=40_000, description="added to every port of this lake")
    log_format: Literal["text", "json"] = Field("text", description="json: one object a line, of Python and Dagster")
    universe_file: Path | None = Field(
        None, description="YAML list of symbols that `up` makes known and `ingest` asks for"
    )
    kafka: KafkaSettings = KafkaSettings()
    spark: SparkSettings = SparkSettings()
    streams: StreamSettings = StreamSettings()
    silver: SilverSettings = SilverSettings()
    maintenance: MaintenanceSettings = MaintenanceSettings()
    dagster: DagsterSettings = DagsterSettings()
    dashboard: DashboardSettings = DashboardSettings()
    metrics: MetricsSettings = MetricsSettings()
    feed: FeedSettings = FeedSettings()
    model: ModelSettings = ModelSettings()
    signals: SignalSettings = SignalSettings()
    portfolio: PortfolioSettings = PortfolioSettings()
    alerts: AlertSettings = AlertSettings()
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

    @field_validator("universe_file")
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
        """Arguments, then the environment, then the files of the secrets' folder."""
        del settings_cls, dotenv_settings
        files = NestedSecretsSettingsSource(
            file_secret_settings, os.environ.get(SECRETS_DIR), secrets_dir_missing="error"
        )
        return init_settings, env_settings, files

    def without_secrets(self) -> str:
        """JSON for a process elsewhere, which needs the settings and must not be sent the secrets."""
        return self.model_dump_json(exclude=_secrets(type(self)))

    # -- addresses ---------------------------------------------------------------------------------
    @property
    def kafka_bootstrap(self) -> str:
        """``host:port`` that Kafka clients connect to."""
        return self.kafka.bootstrap or f"{self.host}:{self.kafka.port + self.port_offset}"

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
        """Spark Connect URL of the fixed session that owns the continuous queries."""
        return f"{self.spark_remote}{_separator(self.spark_remote)}session_id={STREAMS_SESSION_ID}"

    @property
    def dagster_url(self) -> str:
        """URL of the Dagster UI."""
        return f"http://{self.host}:{self.dagster.port + self.port_offset}"

    @property
    def dashboard_url(self) -> str:
        """URL of FinanceLake Pro."""
        return f"http://{self.host}:{self.dashboard.port + self.port_offset}"

    # -- folders -----------------------------------------------------------------------------------
    def table(self, layer: str, name: str) -> str:
        """Folder of the Delta table ``layer/name``."""
        return str(self.data_dir / "delta" / layer / name)

    def checkpoint(self, query: str) -> str:
        """Checkpoint folder of the continuous query ``query``."""
        return str(self.data_dir / "checkpoints" / query)

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
