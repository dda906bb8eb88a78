"""The one place where MLlib over Spark Connect needs a hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession
from pyspark.sql.connect.session import SparkSession as ConnectSession


@contextmanager
def activated(session: SparkSession) -> Iterator[None]:
    """Make a session the active one of this thread for a while.

    Loading a model and asking one for its attributes take the thread's active session, which is none in a new thread
    and may be another one where several are open. pyspark 4.2 has no public way to set it.
    """
    holder = ConnectSession._active_session
    before = getattr(holder, "session", None)
    holder.session = session
    try:
        yield
    finally:
        holder.session = before
