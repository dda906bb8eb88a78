"""The lake on a laptop: jars, broker, Spark server, supervision and the command line."""
