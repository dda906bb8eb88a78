"""FinanceLake Pro: the dashboard, which reads Delta tables with delta-rs and never waits for a JVM."""
