"""Supervision of a lake's processes: which there are, how they start, whether they are well."""
