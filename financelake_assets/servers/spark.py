"""A Spark Connect server with Delta and Kafka, run from the pyspark wheel and the locked jars.

Input: settings and the extra class path. Output: the command that runs the server. Its Python workers use this
interpreter and see this lake's environment; everything it writes lies in ``<data_dir>/spark``. Where ``spark.master``
is a standalone master (``spark_cluster.py``), the same jars lie on every machine under the same paths.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from financelake_assets.config import Settings
from financelake_assets.files import write_whole
from financelake_assets.servers import class_archives
from financelake_assets.servers.command import Command, joined
from financelake_assets.servers.java import MODULE, Java
from financelake_assets.storage.store import spark_options

# what Spark's own launcher opens of the JDK
_OPENED = (
    "java.lang",
    "java.lang.invoke",
    "java.lang.reflect",
    "java.io",
    "java.net",
    "java.nio",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "jdk.internal.ref",
    "sun.nio.ch",
    "sun.nio.cs",
    "sun.security.action",
    "sun.util.calendar",
)

# Most of what runs are plans of small micro-batches, each a little code run a few times. With the usual thresholds the
# optimising compiler takes half of the processor in the first minutes; with ten times those it takes what pays.
_COMPILATION = (
    "-XX:Tier4InvocationThreshold=50000",
    "-XX:Tier4MinInvocationThreshold=6000",
    "-XX:Tier4CompileThreshold=150000",
    "-XX:Tier4BackEdgeThreshold=400000",
)

# With the collector that Java takes by itself a heap of 2 GB holds a third more memory, and takes more processor time
# on two cores, for pauses that are shorter only in larger heaps.
_COLLECTION = ("-XX:+UseSerialGC", "-XX:MinHeapFreeRatio=20", "-XX:MaxHeapFreeRatio=40")
_LARGEST_SERIAL_MB = 4096

_CHECKPOINT_FILES = "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"

_LOG4J2 = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss.SSS} %-5p %c{1} - %m%ex%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
# a driver without a machine behind its name or a native Hadoop is normal on a laptop
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
logger.utils.name = org.apache.spark.util.Utils
logger.utils.level = error
"""


def folder(settings: Settings) -> Path:
    """Everything that the server keeps for itself: scratch space, warehouse, configuration."""
    return settings.data_dir / "spark"


def spark_home() -> Path:
    """The installed pyspark package, which is a complete Spark."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pyspark is not installed")
    return Path(spec.origin).parent


def whole_class_path(extra: Sequence[Path]) -> list[Path]:
    """Spark's own jars and others, as Java gets them."""
    return [spark_home() / "jars" / "*", *extra]


def configuration(settings: Settings, class_path: Sequence[Path] = ()) -> dict[str, str]:
    """Spark's settings, for a server on a small machine or on a cluster."""
    home = folder(settings)
    return {
        **secret_configuration(settings),
        **spark_options(settings),
        **figures(settings),
        **({} if settings.spark.master.startswith("local") else _of_executors(settings, class_path)),
        "spark.master": settings.spark.master,
        "spark.app.name": "financelake",
        "spark.driver.host": settings.spark.driver_host or settings.host,
        "spark.driver.bindAddress": settings.host,
        "spark.connect.grpc.binding.address": settings.host,
        "spark.connect.grpc.binding.port": str(settings.spark_port),
        "spark.connect.grpc.port.maxRetries": "0",  # a port in use is an error, not another port
        "spark.ui.enabled": "false" if settings.spark.ui_port is None else "true",
        "spark.ui.port": str(settings.spark.ui_port or 4040),
        "spark.ui.killEnabled": "false",
        "spark.sql.streaming.metricsEnabled": "true",
        # neither the page nor a plan shows how the source logs in
        "spark.redaction.regex": "(?i)secret|password|token|access[.]?key|jaas",
        "spark.sql.redaction.options.regex": "(?i)url|secret|password|jaas",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(home / "local"),
        "spark.sql.warehouse.dir": str(home / "warehouse"),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(settings.spark.shuffle_partitions),
        "spark.sql.adaptive.streaming.stateless.enabled": "false",  # costs more than small micro-batches gain
        # a query that cannot be stopped is an error, and not a wait without end; a sensor's tick has a minute for all
        "spark.sql.streaming.stopTimeout": "30s",
        # a task asks the driver for the classes that its code may mean; an answer that never came was seen once, and a
        # micro-batch waited two minutes for it: now it fails sooner, and the query is started again
        "spark.files.io.connectionTimeout": "20s",
        # how long a query without work waits before it asks its source again; at 10 ms, the usual, asking is all that a
        # lake does while nothing happens
        "spark.sql.streaming.pollingDelay": "100ms",
        # the stream_progress sensor takes them every 30 s
        "spark.sql.streaming.numRecentProgressUpdates": "200",
        # the usual one runs `chmod`, a process, for each of the four files of a micro-batch
        "spark.sql.streaming.checkpointFileManagerClass": _CHECKPOINT_FILES,
        "spark.databricks.delta.snapshotPartitions": "2",
        # cleaning costs a seventh less on batches of so many messages than on the usual 10,000
        "spark.sql.execution.arrow.maxRecordsPerBatch": "40000",
        # and long ones make fewer: forty thousand of a megabyte would be more than the machine has
        "spark.sql.execution.arrow.maxBytesPerBatch": "16m",
        "spark.pyspark.python": sys.executable,
        "spark.pyspark.driver.python": sys.executable,
        **settings.spark.conf,
    }


def _of_executors(settings: Settings, class_path: Sequence[Path]) -> dict[str, str]:
    return {
        "spark.executor.extraClassPath": joined(class_path),
        "spark.executor.memory": settings.spark.executor_memory,
    }


def secret_configuration(settings: Settings) -> dict[str, str]:
    """What server, master and workers share, where there is a secret: it proves who they are, and encrypts.

    A server without others speaks to itself alone. It proves itself there too, because its ports take Java objects from
    whoever connects; but what goes from it to itself needs no cipher, whose first use takes long on a busy machine.
    """
    if settings.spark.cluster_secret is None:
        return {}
    return {
        "spark.authenticate": "true",
        "spark.authenticate.secret": settings.spark.cluster_secret.get_secret_value(),
        "spark.network.crypto.enabled": "false" if settings.spark.master.startswith("local") else "true",
    }


def figures(settings: Settings) -> dict[str, str]:
    """What makes the page of a server, master or worker show its figures to Prometheus, where there is a page."""
    if settings.spark.ui_port is None:
        return {}
    sink = "sink.prometheusServlet"
    return {
        "spark.metrics.namespace": "financelake",  # instead of the id of the application, another at each start
        f"spark.metrics.conf.*.{sink}.class": "org.apache.spark.metrics.sink.PrometheusServlet",
        f"spark.metrics.conf.*.{sink}.path": "/metrics/prometheus",
        f"spark.metrics.conf.master.{sink}.path": "/metrics/master/prometheus",
    }


def prepare(settings: Settings) -> None:
    """Write the log configuration and clear the scratch space of earlier servers."""
    home = folder(settings)
    for scratch in ("local", "tmp"):
        shutil.rmtree(home / scratch, ignore_errors=True)
        (home / scratch).mkdir(parents=True)
    write_log_configuration(home)


def write_log_configuration(home: Path) -> None:
    """Warnings and errors to standard error."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "log4j2.properties").write_text(_LOG4J2)


def properties_file(home: Path, values: Mapping[str, str]) -> Path:
    """Settings in a file that only its owner reads: a command line is everybody's."""
    file = home / "spark.properties"
    write_whole(file, "".join(f"{key} {value}\n" for key, value in values.items()), private=True)
    return file


def command(settings: Settings, java: Java, class_path: Sequence[Path]) -> Command:
    """The server's command line, as ``start-connect-server.sh`` would build it."""
    home = folder(settings)
    argv = (
        str(java.executable),
        f"-Xmx{settings.spark.driver_memory}",
        *_COMPILATION,
        *_collection(settings.spark.driver_memory),
        *jvm_options(home),
        f"-Djava.io.tmpdir={home / 'tmp'}",
        *class_archives.options("spark", settings, java, [str(path) for path in whole_class_path(class_path)]),
        "-cp",
        joined(whole_class_path(class_path)),
        "org.apache.spark.deploy.SparkSubmit",
        "--class",
        "org.apache.spark.sql.connect.service.SparkConnectServer",
        "--properties-file",
        str(properties_file(home, configuration(settings, class_path))),
        "spark-internal",
    )
    token = settings.spark.token
    # its Python workers are clients too, and take it from here
    env = {} if token is None else {"SPARK_CONNECT_AUTHENTICATE_TOKEN": token.get_secret_value()}
    return Command(argv, cwd=home, env={**environment(settings), **env})


def _collection(memory: str) -> tuple[str, ...]:
    """The garbage collector of a heap such as ``2g`` or ``512m``; nothing where Java's own choice is right."""
    megabytes = int(memory[:-1]) * (1024 if memory.endswith("g") else 1)
    return _COLLECTION if megabytes <= _LARGEST_SERIAL_MB else ()


def jvm_options(home: Path) -> tuple[str, ...]:
    """What Spark's own launcher tells every JVM, and where its log configuration is."""
    return (
        "-XX:+IgnoreUnrecognizedVMOptions",
        f"--add-modules={MODULE}",
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
        "-Djdk.reflect.useDirectMethodHandle=false",
        "-Dio.netty.tryReflectionSetAccessible=true",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}",
    )


def environment(settings: Settings) -> dict[str, str]:
    """Where Spark and Python are, and the address to bind to."""
    return {
        "SPARK_HOME": str(_home_of_jars(settings)),
        # a worker asks for it where the jars do not lie as in Spark's own distribution
        "SPARK_SCALA_VERSION": "2.13",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": settings.host,
    }


def _home_of_jars(settings: Settings) -> Path:
    """A Spark home that has the jars, and not ``python/lib/pyspark.zip``.

    Spark puts that archive first on the path of its Python workers, and Python keeps no bytecode of an archive: each
    worker would compile pyspark anew, for which it needs more than twice the processor time. Without the archive it
    imports the installed package, which is the same.
    """
    home = folder(settings) / "home"
    home.mkdir(parents=True, exist_ok=True)
    new = home / f"jars.{os.getpid()}"
    new.unlink(missing_ok=True)
    new.symlink_to(spark_home() / "jars")
    new.replace(home / "jars")
    return home
