"""Delta tables: declared, opened, written and maintained without Spark, in a folder or an object store."""
