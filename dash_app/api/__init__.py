"""The read-only HTTP API of the page's server: rows of tables, the lake's status, and new rows as they are committed.

Every address is below ``/api/v1``, needs the page's token or login, and answers JSON or server-sent events. Rows are
read with ``financelake_assets.lake``, never with Spark.
"""
