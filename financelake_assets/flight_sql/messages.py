"""The messages of Flight SQL, as far as this server reads or writes them.

Input: bytes of a command or an action. Output: its name and its message; or the other way. pyarrow brings Flight and
not the messages of Flight SQL, so their fields are declared here: name, number and type, from Arrow's `FlightSql.proto
<https://github.com/apache/arrow/blob/main/format/FlightSql.proto>`_. A field that is not declared is skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_PACKAGE = "arrow.flight.protocol.sql"
_KINDS = {"text": 9, "bytes": 12, "bool": 8, "int32": 5, "uint32": 13}
"""Of ``FieldDescriptorProto.Type``."""

_KEYS_OF = {"catalog": (1, "text"), "db_schema": (2, "text"), "table": (3, "text")}
_HANDLE = {"prepared_statement_handle": (1, "bytes")}
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "CommandStatementQuery": {"query": (1, "text")},
    "CommandPreparedStatementQuery": _HANDLE,
    "CommandStatementUpdate": {"query": (1, "text")},
    "CommandPreparedStatementUpdate": _HANDLE,
    "CommandStatementIngest": {},
    "CommandGetCatalogs": {},
    "CommandGetDbSchemas": {"catalog": (1, "text"), "db_schema_filter_pattern": (2, "text")},
    "CommandGetTables": {
        "catalog": (1, "text"),
        "db_schema_filter_pattern": (2, "text"),
        "table_name_filter_pattern": (3, "text"),
        "table_types": (4, "texts"),
        "include_schema": (5, "bool"),
    },
    "CommandGetTableTypes": {},
    "CommandGetPrimaryKeys": _KEYS_OF,
    "CommandGetExportedKeys": _KEYS_OF,
    "CommandGetImportedKeys": _KEYS_OF,
    "CommandGetCrossReference": {},
    "CommandGetSqlInfo": {"info": (1, "uint32s")},
    "CommandGetXdbcTypeInfo": {"data_type": (1, "int32")},
    "ActionCreatePreparedStatementRequest": {"query": (1, "text")},
    "ActionCreatePreparedStatementResult": {
        **_HANDLE,
        "dataset_schema": (2, "bytes"),
        "parameter_schema": (3, "bytes"),
    },
    "ActionClosePreparedStatementRequest": _HANDLE,
}


@dataclass(frozen=True)
class Told:
    """A message and its name. A field that was not sent is ``None``, or empty if it can be repeated."""

    name: str
    message: Any

    def get(self, field: str) -> Any:
        """What a field says."""
        value = getattr(self.message, field)
        repeated = _MESSAGES[self.name][field][1].endswith("s") and not isinstance(value, (str, bytes))
        return value if repeated or self.message.HasField(field) else None


def _declared() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="financelake/flight_sql.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            repeated = kind in ("texts", "uint32s")
            message.field.add(
                name=field,
                number=number,
                type=_KINDS[kind.removesuffix("s") if repeated else kind],
                label=3 if repeated else 1,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


_CLASSES = _declared()


def read(encoded: bytes) -> Told | None:
    """The message in a command's or an action's bytes; ``None`` if it is none that this server knows."""
    try:
        packed = any_pb2.Any.FromString(encoded)
        package, _, name = packed.TypeName().rpartition(".")
        if package != _PACKAGE or name not in _CLASSES:
            return None
        return Told(name, _CLASSES[name].FromString(packed.value))
    except DecodeError:
        return None


def written(name: str, **fields: object) -> bytes:
    """A message as an action's answer, or as a command."""
    packed = any_pb2.Any()
    packed.Pack(_CLASSES[name](**fields))
    return bytes(packed.SerializeToString())
