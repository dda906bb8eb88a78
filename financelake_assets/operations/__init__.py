"""Running a lake: start and stop, status, checks of the machine, back-up, reset, alerts, decisions."""
