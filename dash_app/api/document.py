"""The API's description in OpenAPI 3.1, made from the tables' declarations and the parameters that are checked.

Output: JSON, the same for every lake of a release.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import orjson

from dash_app.api.parameters import PARAMETERS, STREAM_PARAMETERS
from financelake_assets.gold.schema import PREDICTIONS, SIGNALS
from financelake_assets.model.schema import MODELS
from financelake_assets.query.row_schema import INTEGER, TEXT, TIME, Schema, of_column, of_row, or_null
from financelake_assets.silver.schema import BARS
from financelake_assets.storage.delta import TableSpec

VERSION = "1.0.0"

_REFUSALS = {
    "400": "A parameter is wrong.",
    "401": "Without the token or login.",
    "404": "The lake has no such symbol, interval or cursor.",
    "410": "The version that a cursor or an event's id names is no longer kept.",
    "503": "Not now: ask again after `Retry-After` seconds.",
}


@lru_cache(maxsize=1)
def rendered() -> bytes:
    """The document."""
    return orjson.dumps(_document(), option=orjson.OPT_INDENT_2)


def _document() -> Schema:
    tables = {"bars": BARS, "predictions": PREDICTIONS, "signals": SIGNALS}
    paths: Schema = {f"/api/v1/{name}": {"get": _rows(name, spec)} for name, spec in tables.items()}
    for name in ("predictions", "signals"):
        paths[f"/api/v1/{name}/stream"] = {"get": _stream(name)}
    paths["/api/v1/status"] = {"get": _plain("status", "The lake's tables, feed and champion.", _ref("Status"))}
    paths["/api/v1/openapi.json"] = {"get": _plain("document", "This document.", {"type": "object"})}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "FinanceLake",
            "version": VERSION,
            "description": "Read-only: bars, predictions and signals of one lake. Times are UTC.",
        },
        "paths": paths,
        "security": [{"token": []}, {"login": []}],
        "components": {
            "schemas": {
                **{spec.name: of_row(spec) for spec in tables.values()},
                "Problem": _PROBLEM,
                "Status": _status(),
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "The lake's token, which `up` prints."},
                "login": {"type": "http", "scheme": "basic", "description": "Where the page has a login."},
            },
        },
    }


_PROBLEM: Schema = {
    "type": "object",
    "properties": {"message": TEXT, "remedy": TEXT},
    "required": ["message", "remedy"],
}


def _rows(name: str, spec: TableSpec) -> Schema:
    headers = {
        "Link": {"description": "The next page, `rel=next`, if there is one.", "schema": TEXT},
        "X-Table-Version": {"description": "The Delta version of the rows.", "schema": {"type": "integer"}},
    }
    content = {"application/json": {"schema": {"type": "array", "items": _ref(spec.name)}}}
    return {
        "operationId": name,
        "summary": f"Newest {name} first.",
        "description": spec.description,
        "parameters": [_parameter(each) for each in PARAMETERS],
        "responses": {"200": {"description": "The rows.", "headers": headers, "content": content}, **_refused()},
    }


def _stream(name: str) -> Schema:
    last = {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The id of the last event, to continue after it. Browsers send it.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,18}-[0-9]{1,9}$"},
    }
    content = {"text/event-stream": {"schema": TEXT}}
    return {
        "operationId": f"{name}Stream",
        "summary": f"New {name} as they are committed.",
        "description": f"One event for each row; its data is a row of {name}. The stream ends from time to time: come "
        "back with the last id.",
        "parameters": [*map(_parameter, STREAM_PARAMETERS), last],
        "responses": {"200": {"description": "Events.", "content": content}, **_refused()},
    }


def _plain(name: str, summary: str, schema: Schema) -> Schema:
    done = {"description": summary, "content": {"application/json": {"schema": schema}}}
    return {"operationId": name, "summary": summary, "responses": {"200": done, **_refused("400", "401")}}


def _refused(*only: str) -> Schema:
    content = {"application/json": {"schema": _ref("Problem")}}
    return {
        code: {"description": words, "content": content}
        for code, words in _REFUSALS.items()
        if code in (only or _REFUSALS)
    }


def _parameter(name: str) -> Schema:
    return {"name": name, "in": "query", "allowEmptyValue": True, **PARAMETERS[name]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _status() -> Schema:
    table = {"name": TEXT, "rows": INTEGER, "version": INTEGER, "bytes": INTEGER, "newest": or_null(TIME)}
    kinds = {field.name: field.type for field in MODELS.schema}
    names = ("model_version", "status", "verdict", "trained_at", "promoted_at", "interval", "horizon")
    model = {name: of_column(kinds[name], nullable=True) for name in names}
    fields = {
        "loaded": {"type": "boolean"},
        "as_of": TIME,
        "newest_bar": or_null(TIME),
        "feed": _object({"phase": or_null(TEXT), "progress": or_null({"type": "number"})}),
        "tables": {"type": "array", "items": _object(table)},
        "model": {"anyOf": [_object(model), {"type": "null"}]},
        "models": {"type": "array", "items": _object(model)},
        "problems": {"type": "array", "items": TEXT},
    }
    return _object(fields)


def _object(fields: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(fields), "required": list(fields)}
