"""The lake's feeds of real markets: one process a provider, which loads history, keeps it up to date and follows it."""
