"""The continuous Spark queries: how clients start, find, stop and describe them."""
