"""Adds symbols to the text of a universe file and takes them out again; everything else in it stays as it was.

Input: the file's text. Output: the new text. Comments and the order of the lines are the user's. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

NEW = "# The symbols of this lake: docs/providers.md says what can be in here.\nsymbols:\n"


def with_symbol(text: str, fields: Mapping[str, str | bool]) -> str:
    """The text with one more symbol at the end of its list; an empty text becomes a file."""
    line = yaml.safe_dump(dict(fields), default_flow_style=True, sort_keys=False, width=10_000).strip()
    node = _list(text)
    if node is None:
        return (text if text.strip() else NEW) + f"  - {line}\n"
    if node.flow_style:
        end = node.end_mark.index - 1
        return f"{text[:end].rstrip()}{', ' if node.value else ''}{line}{text[end:]}"
    last = node.value[-1]
    lines = text.splitlines(keepends=True)
    indent = re.match(r"\s*", lines[_first_line(lines, last)])
    behind = _last_line(last) + 1
    if not lines[behind - 1].endswith("\n"):
        lines[behind - 1] += "\n"
    lines.insert(behind, f"{indent[0] if indent else ''}- {line}\n")
    return "".join(lines)


def without_symbol(text: str, place: int) -> str:
    """The text without the symbol at this place of its list."""
    node = _list(text)
    if node is None:
        return text
    one = node.value[place]
    if not node.flow_style:
        lines = text.splitlines(keepends=True)
        del lines[_first_line(lines, one) : _last_line(one) + 1]
        return "".join(lines)
    if place + 1 < len(node.value):
        return text[: one.start_mark.index] + text[node.value[place + 1].start_mark.index :]
    begin = node.value[place - 1].end_mark.index if place else one.start_mark.index
    return text[:begin] + text[one.end_mark.index :]


def _list(text: str) -> yaml.SequenceNode | None:
    tree = yaml.compose(text, yaml.SafeLoader)
    if not isinstance(tree, yaml.MappingNode):
        return None
    found = [value for key, value in tree.value if key.value == "symbols"]
    return found[0] if found and isinstance(found[0], yaml.SequenceNode) and found[0].value else None


def _first_line(lines: list[str], node: yaml.Node) -> int:
    """The line with the dash before an entry of a block list."""
    line: int = node.start_mark.line
    while line > 0 and not re.match(r"\s*-(\s|$)", lines[line]):
        line -= 1
    return line


def _last_line(node: yaml.Node) -> int:
    """The line on which the last word of an entry stands: a block's own end lies behind the comments after it."""
    if isinstance(node, yaml.ScalarNode) or getattr(node, "flow_style", False) or not node.value:
        return int(node.end_mark.line)
    last = node.value[-1]
    return _last_line(last[1] if isinstance(last, tuple) else last)
