"""What a stranger's message may do to the terminal that shows it: nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financelake_assets.cli.quarantine_command import _shown, visible


@pytest.mark.parametrize("text", ["\x1b[2J", "\x1b]52;c;cm0=\x07", "\x9b31m", "a\rb", "\b", "\u202e", "\x00"])
def test_what_a_terminal_obeys_is_an_escape(text: str) -> None:
    assert visible(text).isprintable()
    assert _shown(text).isprintable()


def test_ordinary_text_stays() -> None:
    assert visible('{"symbol": "Zürich é 日本"}\n\tx') == '{"symbol": "Zürich é 日本"}\n\tx'


@given(st.binary())
def test_no_bytes_reach_a_terminal_as_a_command(raw: bytes) -> None:
    shown = visible(raw.decode(errors="backslashreplace"))
    assert all(letter.isprintable() or letter in "\n\t" for letter in shown)
