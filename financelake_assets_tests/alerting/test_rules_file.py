"""The file of rule alerts: what is wrong in it, what stays when it is changed, and that no address is ever told."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from financelake_assets.alerting.rules_file import Quiet, RulesFileError, add, checked, read_rules, remove

FILE = """# mine
alerts:
  # the big one
  - name: btc-100k
    rule: close crosses above 100000
    symbols: [btc-usd]
    interval: 1d
    to: [OPS_TELEGRAM, OPS_MAIL]
    quiet: {start: 22:00, end: 07:00, zone: Europe/Berlin}

  # all strong signals
  - name: strong
    rule: signal is BUY and confidence > 60 %
    to: OPS_TELEGRAM
"""
SECRET = "tgram://123456:abcdef/42"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "alerts.yaml"
    path.write_text(FILE)
    return path


def test_a_file_is_read(file: Path) -> None:
    first, second = read_rules(file)
    assert (first.symbols, first.interval, first.to) == (("BTC-USD",), "1d", ("OPS_TELEGRAM", "OPS_MAIL"))
    assert first.quiet == Quiet(start=time(22), end=time(7), zone="Europe/Berlin"), "YAML takes 22:00 for a number"
    assert (second.to, second.watch.rule.source) == (("OPS_TELEGRAM",), "signals")
    assert read_rules(file.with_name("none.yaml")) == []


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("above 100000", "over 100000", "line 5, rule"),
        ("confidence > 60 %", "confidense > 60 %", "Did you mean confidence?"),
        ("interval: 1d", "interval: 1day", "line 7, interval"),
        ("interval: 1d", "intervall: 1d", "intervall"),
        ("symbols: [btc-usd]", "symbols: ['b d']", "line 6, symbols"),
        ("Europe/Berlin", "Europe/Bonn", "no time zone 'Europe/Bonn'"),
        ("22:00, end: 07:00", "7:00, end: 07:00", "the same time"),
        ("22:00", "25:00", "line 9, quiet.start"),
        ("name: strong", "name: btc-100k", "more than once: btc-100k"),
        (
            "rule: signal is BUY and confidence > 60 %",
            "rule: portfolio drawdown > 10 %\n    symbols: [A]",
            "no symbols",
        ),
        ("alerts:", "alert:", "alert"),
        ("  - name: strong", "  - name: [strong", "is not YAML"),
    ],
)
def test_a_fault_is_told_with_its_place(file: Path, was: str, now: str, told: str) -> None:
    file.write_text(FILE.replace(was, now))
    with pytest.raises(RulesFileError) as error:
        read_rules(file)
    assert told in str(error.value)


def test_the_column_of_a_rule_s_fault_is_in_line(file: Path) -> None:
    file.write_text(FILE.replace("signal is BUY", "signal is BYU"))
    with pytest.raises(RulesFileError) as error:
        read_rules(file)
    lines = str(error.value).splitlines()
    shown = next(number for number, line in enumerate(lines) if "signal is BYU" in line)
    assert lines[shown].index("BYU") == lines[shown + 1].index("^")


@pytest.mark.parametrize("where", ["OPS_TELEGRAM, OPS_MAIL", "OPS_TELEGRAM\n"])
def test_an_address_in_the_file_is_refused_and_not_told(file: Path, where: str) -> None:
    file.write_text(FILE.replace(where, f"'{SECRET}'\n" if where.endswith("\n") else f"'{SECRET}'"))
    with pytest.raises(RulesFileError, match="An address is a secret") as error:
        read_rules(file)
    file.write_text(f"alerts: [{SECRET}: {{")
    with pytest.raises(RulesFileError) as other:
        read_rules(file)
    for one in (error, other):
        assert "abcdef" not in repr(one.value) + str(one.value) + repr(one.value.__cause__)


def test_a_rule_is_added_and_removed_and_all_else_stays(file: Path) -> None:
    fields = {"name": "loss", "rule": "portfolio drawdown > 10 %", "to": ("OPS_MAIL",)}
    quiet = {"start": "22:30", "end": "6:05", "zone": "UTC"}
    added = checked({**fields, "quiet": quiet})
    add(file, added)
    assert file.read_text().startswith(FILE)
    assert read_rules(file)[2] == added
    with pytest.raises(RulesFileError, match="already"):
        add(file, added)
    remove(file, "btc-100k")
    text = file.read_text()
    assert [one.name for one in read_rules(file)] == ["strong", "loss"]
    assert "# all strong signals" in text
    assert "btc" not in text
    remove(file, "loss")
    with pytest.raises(RulesFileError, match="no rule alert 'stronk'") as error:
        remove(file, "stronk")
    assert "strong" in error.value.remedy
    remove(file, "strong")
    assert not file.exists(), "without rules no alerter runs"
    add(file, added)
    assert read_rules(file) == [added]


@pytest.mark.parametrize(
    "text", ["", "alerts:\n", "alerts: []\n", "# only this\n", "alerts:\n- {name: a, rule: close > 1, to: A}\n"]
)
def test_a_rule_is_added_to_any_file(file: Path, text: str) -> None:
    file.write_text(text)
    before = read_rules(file)
    added = checked({"name": "b", "rule": "close > 2", "to": "B", "symbols": "^GSPC"})
    add(file, added)
    assert read_rules(file) == [*before, added]


def test_a_file_in_another_style_is_left_alone(file: Path) -> None:
    text = "alerts: [{name: a, rule: close > 1, to: A}, {name: b, rule: close > 1, to: A}]\n"
    file.write_text(text)
    with pytest.raises(RulesFileError, match="cannot change"):
        remove(file, "a")
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("start", "end", "moment", "quiet"),
    [
        ("22:00", "07:00", "2026-01-10T20:59", False),  # Berlin is an hour ahead of UTC in winter
        ("22:00", "07:00", "2026-01-10T21:00", True),
        ("22:00", "07:00", "2026-01-11T05:59", True),
        ("22:00", "07:00", "2026-01-11T06:00", False),
        ("22:00", "07:00", "2026-07-10T20:00", True),  # and two in summer
        ("12:00", "13:00", "2026-01-10T11:30", True),
        ("12:00", "13:00", "2026-01-10T12:00", False),
    ],
)
def test_quiet_hours_are_on_the_clock_of_their_zone(start: str, end: str, moment: str, quiet: bool) -> None:
    hours = Quiet.model_validate({"start": start, "end": end, "zone": "Europe/Berlin"})
    assert hours.covers(datetime.fromisoformat(moment).replace(tzinfo=UTC)) is quiet
