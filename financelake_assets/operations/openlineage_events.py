"""OpenLineage events of a lake: what each commit of a table was made of, and how each Dagster run went.

Input: a commit of a table, or a run. Output: events of the OpenLineage specification 2-0-2 (openlineage.io/spec). A
commit's event has the same run id whenever it is made, so an event that is sent twice is one run to its reader.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from openlineage.client import event_v2 as ol
from openlineage.client import facet_v2 as facets
from openlineage.client.facet_v2 import DatasetFacet

from financelake_assets.bronze.topics import BRONZE
from financelake_assets.config import Settings
from financelake_assets.query.commits import Commit
from financelake_assets.query.names import BY_NAME, dotted
from financelake_assets.storage.delta import TableSpec

PRODUCER = "https://pypi.org/project/financelake"
"""Says which program made an event."""


@dataclass(frozen=True)
class JobRun:
    """A Dagster run. Times are in seconds since 1970; ``failure`` says why it did not succeed, once it is over."""

    id: str
    job: str
    began: float | None
    ended: float | None
    failure: str | None


def of_commit(spec: TableSpec, settings: Settings, commit: Commit, table_id: str) -> ol.RunEvent:
    """A commit of a table as a run that wrote it.

    Args:
        spec: the table.
        settings: the lake, which names places.
        commit: what was committed.
        table_id: the table's id in Delta: a table that was made again has other runs.
    """
    namespace, name = place_of(spec, settings)
    statistics = facets.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=commit.rows, fileCount=len(commit.added)
    )
    return ol.RunEvent(
        eventTime=commit.time.isoformat(),
        eventType=ol.RunState.COMPLETE,
        run=ol.Run(runId=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{table_id}/{commit.version}"))),
        job=_job(settings, f"commit.{dotted(spec)}", "STREAMING", "COMMIT"),
        inputs=[ol.InputDataset(namespace=one, name=other) for one, other in sources_of(spec, settings)],
        outputs=[
            ol.OutputDataset(
                namespace=namespace,
                name=name,
                facets=_of_table(spec, settings, commit.version),
                outputFacets={"outputStatistics": statistics},
            )
        ],
        producer=PRODUCER,
    )


def of_run(run: JobRun, settings: Settings) -> list[ol.RunEvent]:
    """A Dagster run as its events: that it began, and how it ended."""
    moments = [] if run.began is None else [(run.began, ol.RunState.START)]
    if run.ended is not None:
        moments.append((run.ended, ol.RunState.COMPLETE if run.failure is None else ol.RunState.FAIL))
    events = []
    for moment, state in moments:
        shown = ol.Run(runId=run.id)
        if state is ol.RunState.FAIL and run.failure is not None:
            said = facets.error_message_run.ErrorMessageRunFacet(message=run.failure, programmingLanguage="PYTHON")
            shown = ol.Run(runId=run.id, facets={"errorMessage": said})
        events.append(
            ol.RunEvent(
                eventTime=datetime.fromtimestamp(moment, UTC).isoformat(),
                eventType=state,
                run=shown,
                job=_job(settings, f"dagster.{run.job}", "BATCH", "JOB"),
                producer=PRODUCER,
            )
        )
    return events


def place_of(spec: TableSpec, settings: Settings) -> tuple[str, str]:
    """Namespace and name of a table as the specification wants them: ``file`` and a path, or a bucket and a key."""
    path = spec.path(settings)
    parts = urlsplit(path)
    return (f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/")) if parts.netloc else ("file", path)


def sources_of(spec: TableSpec, settings: Settings) -> list[tuple[str, str]]:
    """Namespaces and names of what a table is made of: other tables, or the bronze topics."""
    tables = sorted({source.rpartition(".")[0] for sources in spec.made_of.values() for source in sources})
    found = [place_of(_table(name), settings) for name in tables]
    # a row that names its offset, and no table, came from a topic
    topics = BRONZE if not tables and {"topic", "offset"} <= set(spec.schema.names) else ()
    return found + [(f"kafka://{settings.kafka_bootstrap}", topic) for topic in topics]


def _of_table(spec: TableSpec, settings: Settings, version: int) -> dict[str, DatasetFacet]:
    schema = facets.schema_dataset
    columns = [schema.SchemaDatasetFacetFields(name=one.name, type=str(one.type)) for one in spec.schema]
    found: dict[str, DatasetFacet] = {
        "schema": schema.SchemaDatasetFacet(fields=columns),
        "documentation": facets.documentation_dataset.DocumentationDatasetFacet(description=spec.description),
        "version": facets.dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=str(version)),
    }
    if spec.made_of:
        lineage = facets.column_lineage_dataset
        found["columnLineage"] = lineage.ColumnLineageDatasetFacet(
            fields={
                column: lineage.Fields(inputFields=[*_inputs(sources, settings)])
                for column, sources in spec.made_of.items()
            }
        )
    return found


def _inputs(sources: tuple[str, ...], settings: Settings) -> Iterator[facets.column_lineage_dataset.InputField]:
    for source in sources:
        table, _, column = source.rpartition(".")
        namespace, name = place_of(_table(table), settings)
        yield facets.column_lineage_dataset.InputField(namespace=namespace, name=name, field=column)


def _table(full_name: str) -> TableSpec:
    return BY_NAME[full_name.replace("/", ".")]


def _job(settings: Settings, name: str, processing: str, kind: str) -> ol.Job:
    facet = facets.job_type_job.JobTypeJobFacet(processingType=processing, integration="FINANCELAKE", jobType=kind)
    return ol.Job(namespace=settings.lineage.namespace, name=name, facets={"jobType": facet})
