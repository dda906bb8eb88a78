"""Faults in a person's YAML file: which line they are in, and names that are there twice.

Input: the composed tree of a file, and the place of a value as pydantic tells it. Output: ``line 5, calendar``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import yaml


def where(tree: yaml.Node | None, place: tuple[int | str, ...], top: str) -> str:
    """``line 5, calendar``: the nearest part of the file to what is wrong.

    Args:
        tree: the file, by ``yaml.compose``.
        place: keys and numbers that lead to the value.
        top: the key of the list that the file is; it is named only where nothing else is.
    """
    node = tree
    for step in place:
        found = child(node, step)
        if found is None:
            break
        node = found
    line = f"line {node.start_mark.line + 1}" if node is not None else "line 1"
    name = ".".join(part for part in map(str, place) if not part.isdigit() and part != top)
    return f"{line}, {name or top}"


def child(node: yaml.Node | None, step: int | str) -> yaml.Node | None:
    """A part of a node by its key or number; ``None`` where there is none."""
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        found: yaml.Node = node.value[step]
        return found
    return None


def refuse_twice(names: Iterable[str]) -> None:
    """Raise where a name is there more than once; for a validator of pydantic.

    Raises:
        ValueError: it says which.
    """
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise ValueError(f"more than once: {', '.join(twice)}")
