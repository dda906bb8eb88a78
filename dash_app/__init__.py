"""FinanceLake Pro: the dashboard, which reads gold with delta-rs and never waits for a JVM."""
