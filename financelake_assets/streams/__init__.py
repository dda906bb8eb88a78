"""The continuous Spark queries: started, found again, stopped, and described."""
