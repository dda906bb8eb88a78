"""Supervision of a lake's processes: the list of processes, their start and their health."""
