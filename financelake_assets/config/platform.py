"""Settings of the parts that a lake runs on: servers, streams, tables, and what looks after them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from financelake_assets.config.group import Group


class KafkaSettings(Group):
    """The broker and the bronze topics."""

    port: int = Field(9092, ge=1, le=65535, description="client port of the lake's own broker")
    controller_port: int = Field(9093, ge=1, le=65535, description="KRaft controller port of the own broker")
    open: bool = Field(
        True,
        description="whether any user of this machine may publish on the bronze topics of the own broker without a "
        "login, and do nothing else there; the lake itself then logs in on login_port",
    )
    login_port: int = Field(9095, ge=1, le=65535, description="where clients log in to the own broker, if it is open")
    bootstrap: str | None = Field(None, description="an existing cluster's host:port list; no own broker is started")
    heap: str = Field("512m", pattern=r"^\d+[mg]$", description="Java heap of the own broker")
    partitions: int = Field(2, ge=1, description="partitions of each bronze topic")
    replication: int = Field(1, ge=1, description="replicas of each bronze topic")
    security: Literal["PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT",
        description="SASL_…: clients log in with username and password, over TLS or not; `up` chooses SASL_PLAINTEXT "
        "for its own broker where nothing is set, and makes the passwords",
    )
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        "SCRAM-SHA-512", description="how they log in; the own broker knows the first over TLS, and else PLAIN"
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
        None, description="of the user admin, made with the own broker; for SASL_…"
    )
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="where the own broker shows its JMX figures to Prometheus; unset is nowhere"
    )
    retention_ms: int = Field(7 * 24 * 3600 * 1000, ge=60_000, description="bronze retention by time")
    retention_bytes: int = Field(1 << 30, ge=1 << 20, description="bronze retention by size, per partition")
    publish_gold: bool = Field(True, description="whether `up` runs the publisher of gold.signals and gold.predictions")
    gold_retention_ms: int = Field(7 * 24 * 3600 * 1000, ge=-1, description="their retention by time; -1 keeps all")
    gold_retention_bytes: int = Field(1 << 30, ge=-1, description="their retention by size, per partition; -1: all")

    @property
    def publishes_for_all(self) -> bool:
        """Whether the own broker has a port without a login, where any client may publish and do nothing else."""
        return self.open and self.security == "SASL_PLAINTEXT" and self.bootstrap is None

    @property
    def tls(self) -> bool:
        """Whether clients speak TLS to the broker."""
        return self.security == "SASL_SSL"


class SparkSettings(Group):
    """The Spark Connect server and what runs in it."""

    port: int = Field(15002, ge=1, le=65535, description="port of the lake's own Spark Connect server")
    remote: str | None = Field(None, description="an existing sc://host:port; no own server is started")
    master: str = Field("local[*]", description="spark.master of the own server")
    driver_host: str | None = Field(None, description="name under which executors reach the own server; default: host")
    token: SecretStr | None = Field(
        None,
        description="a client of the Connect server must know it; `up` makes one for its own server; empty is none",
    )
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
    max_offsets_per_trigger: int = Field(300_000, ge=1, description="bound on one silver micro-batch")
    max_bytes_per_trigger: int = Field(
        256 << 20, ge=1 << 20, description="and on its size, by a sample of what waits when the query starts"
    )

    @field_validator("token", "cluster_secret", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None  # said on purpose: no token, also where `up` has made one


class StreamSettings(Group):
    """Whether the queries run all the time, or when there is work for them."""

    continuous: bool = Field(
        True, description="false: the queries are started when enough waits, and stopped when they have caught up"
    )
    start_messages: int = Field(1_000, ge=1, description="not continuous: so many waiting messages start them")
    start_seconds: float = Field(
        60.0, ge=5, description="not continuous: a message that has waited this long starts them too"
    )
    stall_seconds: float = Field(
        300.0, ge=5, description="a query whose micro-batch has not ended after this long is restarted"
    )


class StoreSettings(Group):
    """An object store for the Delta tables, which speaks S3 and heeds conditional puts. The rest stays on the disk."""

    url: str | None = Field(
        None,
        pattern=r"^s3://[a-z0-9][a-z0-9.\-]+(/[A-Za-z0-9._\-]+)*$",
        description="s3://bucket/prefix of the tables; unset is the data folder",
    )
    endpoint: str | None = Field(
        None, pattern=r"^https?://[^/?#]+$", description="of a store that is not Amazon's, such as https://host:port"
    )
    region: str = Field("us-east-1", description="of the bucket; most other stores take any")
    access_key: str | None = Field(None, description="unset is what the machine's role or AWS_… variables give")
    secret_key: SecretStr | None = Field(None, description="of that access key")

    @field_validator("access_key", "secret_key", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None  # compose mounts a file also where the machine's role lets the lake in

    @model_validator(mode="after")
    def _a_secret_key_is_of_an_access_key(self) -> Self:
        if self.secret_key is not None and self.access_key is None:
            raise ValueError("store.secret_key needs store.access_key")
        return self


class MaintenanceSettings(Group):
    """What keeps the Delta tables small and quick to read."""

    target_file_mb: int = Field(
        16, ge=1, le=1024, description="size that small files are merged up to; a correction rewrites a whole file"
    )
    small_files: int = Field(20, ge=2, description="so many files below half of that size are merged")
    retention_hours: int = Field(
        168, ge=168, description="how long replaced files are kept, for readers, time travel and the change feed"
    )


class QuerySettings(Group):
    """SQL on the tables: what one query may use."""

    timeout_seconds: float = Field(60.0, gt=0, description="a query that takes longer is stopped")
    memory_mb: int = Field(1024, ge=64, description="memory of one query; what needs more goes to the disk")
    spill_mb: int = Field(4096, ge=0, description="disk for that, in the system's folder for temporary files")


class SqlServerSettings(Group):
    """SQL for BI tools, by JDBC, ODBC and ADBC: the process sql-server, which speaks Arrow Flight SQL."""

    enabled: bool = Field(False, description="whether `up` runs it")
    port: int = Field(32010, ge=1, le=65535, description="port of the server")
    queries: int = Field(
        4, ge=1, le=64, description="queries that run at a time; together they may use query.memory_mb and .spill_mb"
    )
    wait_seconds: float = Field(10.0, ge=0, description="how long a further query waits before it is refused")
    tls_file: Path | None = Field(
        None, description="PEM of the private key and the certificate; required unless the host is this machine's own"
    )


class DagsterSettings(Group):
    """Dagster's webserver and code location."""

    port: int = Field(3000, ge=1, le=65535, description="port of the Dagster webserver")
    code_port: int = Field(4266, ge=1, le=65535, description="port of the code location, with code_host")
    code_host: str | None = Field(
        None, description="where the code location is, if not on this host; unset is a Unix socket, for its owner alone"
    )
    postgres: SecretStr | None = Field(
        None, description="postgresql://user:password@host/database for runs and events; unset is SQLite files"
    )
    hosts: tuple[str, ...] = Field(
        (), description="further names, as JSON, under which a browser may ask for its page, such as a proxy's"
    )
    history_days: float = Field(7.0, ge=1, description="runs that are over and events are kept this long")
    import_dirs: tuple[Path, ...] = Field(
        (), description="folders, as JSON, whose files a run may load besides <data_dir>/import"
    )


class DashboardSettings(Group):
    """FinanceLake Pro."""

    port: int = Field(8050, ge=1, le=65535, description="port of the dashboard")
    refresh_seconds: float = Field(0.5, ge=0.2, description="how often a page asks if many are open")
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


class MetricsSettings(Group):
    """Figures for Prometheus."""

    port: int = Field(9464, ge=1, le=65535, description="port of the exporter")


class AlertSettings(Group):
    """Where operational alerts go, the lake's own log always; and the file of rule alerts."""

    urls: tuple[SecretStr, ...] = Field(
        (), description="Apprise addresses, such as json://host/path (webhook) or mailto://user:password@host"
    )
    repeat_hours: float = Field(6.0, gt=0, description="how often one that lasts is said again")
    stale_seconds: float = Field(300.0, ge=10, description="silver may stand still this long while messages wait")
    rules_file: Path | None = Field(
        None, description="YAML of the rule alerts; default: <data_dir>/alerts.yaml; without it no alerter runs"
    )
    addresses_dir: Path | None = Field(
        None, description="folder of the addresses that the page and the command set up; default: <data_dir>/secrets"
    )
    picture: bool = Field(True, description="whether an alert on bars or signals has a picture of the chart")
    page_url: str | None = Field(
        None, description="address of FinanceLake Pro in rule alerts' links, where readers are on other machines"
    )

    @field_validator("rules_file", "addresses_dir")
    @classmethod
    def _absolute_where_given(cls, value: Path | None) -> Path | None:
        return value and value.expanduser().absolute()


class LineageSettings(Group):
    """Where OpenLineage events of commits and runs go; nowhere by default."""

    url: str | None = Field(
        None, pattern=r"^https?://[^/]+", description="an OpenLineage server, such as http://127.0.0.1:5000 of Marquez"
    )
    api_key: SecretStr | None = Field(None, description="what the server wants to know its clients by")
    file: Path | None = Field(None, description="a file to which each event is added as a line of JSON; without url")
    namespace: str = Field("financelake", min_length=1, description="tells the jobs of this lake from others'")

    @property
    def wanted(self) -> bool:
        """Whether events go anywhere."""
        return self.url is not None or self.file is not None


class RuntimeSettings(Group):
    """Where the laptop runtime gets its JVM parts, and what it needs before it starts."""

    jars_dir: Path | None = Field(None, description="cache of the JVM jars; default: the user's cache folder")
    maven_repository: str | None = Field(
        None, description="a mirror of Maven Central to take the jars from; they are checked by hash"
    )
    class_archives: bool = Field(
        True, description="make archives of Java's classes beside the first lake, so that later ones start sooner"
    )
    class_archives_dir: Path | None = Field(
        None, description="cache of Java's class archives; default: the user's cache folder"
    )
    fetch_java: bool = Field(False, description="let jgo download a Java 17 where the machine has none")
    min_free_gb: float = Field(2.0, ge=0, description="free disk space below which `up` does not start")
    min_free_memory_gb: float = Field(4.0, ge=0, description="available memory below which `up` does not start")
    start_seconds: float = Field(180.0, gt=0, description="how long `up` waits for everything to be healthy")
