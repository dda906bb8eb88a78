"""The portfolio view: what the signals would have earned, beside buy-and-hold and random directions."""

from __future__ import annotations

from urllib.parse import urlencode

import dash_mantine_components as dmc
from dash import dcc, html

from dash_app import wording
from dash_app.data.lake_reader import Snapshot
from dash_app.data.portfolio import AccountView, Row
from dash_app.views.parts import Children, aria, fact, notice, plain_table
from dash_app.views.trades import controls
from financelake_assets.config import PortfolioSettings

_HARDLY_LUCK = 0.05
_CURVES = {"signals": "Signals", "buy_and_hold": "Buy and hold"}
_STATISTICS = (
    ("total_return", "Return since the start", "percent"),
    ("yearly_return", "Return per year", "percent"),
    ("yearly_volatility", "Volatility per year", "percent"),
    ("max_drawdown", "Largest drawdown", "percent"),
    ("sharpe", "Sharpe ratio", "number"),
    ("sortino", "Sortino ratio", "number"),
    ("calmar", "Calmar ratio", "number"),
    ("probabilistic_sharpe", "Probability that the true Sharpe ratio is above zero", "percent"),
    ("deflated_sharpe", "The same, deflated by the number of strategies tried", "percent"),
    ("luck_p", "Probability that random directions do as well", "percent"),
)


def skeleton() -> html.Div:
    """The view without data."""
    select = dmc.SegmentedControl(id="account-select", data=[""], value="", size="sm", **aria(label="Account"))
    graph = dcc.Graph(
        id="equity",
        figure={"data": [], "layout": {"xaxis": {"visible": False}, "yaxis": {"visible": False}}},
        config={"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["select2d", "lasso2d"]},
        style={"height": "var(--chart)"},
    )
    body = html.Div(
        [
            html.Div(id="kill-switch"),
            html.P(id="portfolio-words"),
            html.Figure([graph, html.Figcaption(id="equity-words", className="fine")]),
            controls(),
            html.Div(id="portfolio-page", className="stack"),
            html.Div(id="trades", className="stack"),
        ],
        id="portfolio-body",
        className="stack",
        hidden=True,
    )
    head = html.Div([html.H1("Portfolio"), html.Div(select, id="account-box", hidden=True)], className="view-head")
    section = html.Section([head, html.Div(id="portfolio-notice"), body], className="panel pad")
    return html.Div([dcc.Store(id="portfolio-seen"), section], className="single")


def missing(snapshot: Snapshot) -> html.Div:
    """Why there is no account."""
    if not snapshot.loaded:
        return notice("Reading the lake", "One moment.")
    if snapshot.equity.state == "broken":
        return notice("The portfolio cannot be read", snapshot.equity.problem or "", kind="problem", role="alert")
    if snapshot.signals.state != "ready":
        return notice("No portfolio yet", "It trades the signals on paper, and there are no signals yet.")
    return notice(
        "No portfolio yet",
        "There are signals. The paper portfolio takes its first step when all bars of one time have a signal.",
    )


def in_words(account: AccountView) -> str:
    """The result of the account in sentences."""
    told = account.statistics
    signals, hold = (told.get(name, {}).get("total_return") for name in ("signals", "buy_and_hold"))
    since = wording.bar_time(account.statistics.get("signals", {}).get("start"), account.interval)
    verdict = ""
    if signals is not None and hold is not None and wording.known(signals) and wording.known(hold):
        verdict = " It did better than that." if signals > hold else " It did not do better than that."
    return (
        f"Trading the {account.name} signals on paper since {since} earned {_signed(signals)} net of costs; buying and "
        f"holding the same symbols {_signed(hold)}.{verdict} {_luck(told.get('signals', {}).get('luck_p'))}"
    ).strip()


def _luck(p: float | None) -> str:
    """How likely the same positions in directions by lot do as well."""
    if not wording.known(p):
        return ""
    said = "That is hardly luck." if p is not None and p <= _HARDLY_LUCK else "That can be luck."
    return f"The same positions in directions by lot do as well with a probability of {wording.percent(p, 1)}. {said}"


def kill_switch(account: AccountView, rules: PortfolioSettings) -> html.Div:
    """The state of the kill switch in words."""
    loss = wording.percent(rules.kill_switch_drawdown, 0)
    drawdown = wording.percent(account.equity["drawdown"][-1], 1)
    if account.halted:
        text = (
            f"The kill switch is active: the account is {drawdown} below its highest equity. Every position is closed "
            f"at its next bar, and none is opened for {rules.kill_switch_bars} steps. Then the switch is armed again, "
            "for half the loss, and new positions are half as large."
        )
        return html.Div([html.Strong("Halted", className="tag"), html.Span(text)], className="banner", role="alert")
    return html.Div(
        f"The kill switch is not active: the account is {drawdown} below its highest equity. At a loss of {loss} it "
        "closes every position. After that it allows half the loss and positions half as large, until the account is "
        "at its highest again.",
        className="muted",
    )


def chart_words(account: AccountView) -> str:
    """The chart in one sentence, for visitors who do not see it."""
    rows = account.equity
    return (
        f"{wording.count(rows.height)} steps from {wording.bar_time(rows['event_time'][0], account.interval)} to "
        f"{wording.bar_time(rows['event_time'][-1], account.interval)} {wording.zone(account.interval)}: "
        f"equity {_money(rows['equity'][0])} to "
        f"{_money(rows['equity'][-1])}, buy and hold to {_money(rows['buy_and_hold'][-1])}, the same positions in "
        f"random directions to between {_money(rows['luck_low'][-1])} and {_money(rows['luck_high'][-1])} in nine of "
        "ten cases. Below: drawdown from the highest equity."
    )


def page(account: AccountView) -> Children:
    """Figures and positions."""
    return [
        *_facts(account),
        *_statistics(account),
        *_positions(account),
        *_backtest(account),
        _sheet(account, "account"),
    ]


def _facts(account: AccountView) -> Children:
    last, told = account.equity.row(-1, named=True), account.statistics.get("signals", {})
    return [
        html.Dl(
            [
                fact(
                    "Equity",
                    _money(last["equity"]),
                    f"{wording.bar_time(last['event_time'], account.interval)} {wording.zone(account.interval)}",
                ),
                fact("Cash", _money(last["cash"]), f"exposed {wording.percent(last['exposure'], 0)}"),
                fact(
                    "Costs paid",
                    _money(told.get("costs")),
                    f"turnover {wording.number(told.get('turnover'), 1)} times the account",
                ),
                fact("Trades", wording.count(told.get("trades")), f"{wording.count(last['positions'])} positions open"),
                fact("Won", wording.percent(told.get("win_rate"), 0), "of the closed trades, net of costs"),
                fact("Profit factor", wording.number(told.get("profit_factor"), 2), "won / lost; above 1 is a gain"),
            ],
            className="facts",
        )
    ]


def _statistics(account: AccountView) -> Children:
    told = account.statistics
    if not told:
        return []
    tried = told.get("signals", {}).get("trials")
    steps = told.get("signals", {}).get("steps")
    return [
        html.H2("Beside buy-and-hold and random directions", className="section"),
        _compared(told),
        html.P(
            f"Over {wording.count(steps)} steps; the best of {wording.count(tried)} strategies that were tried. With "
            "few steps every ratio is uncertain: the probabilities show how uncertain.",
            className="fine",
        ),
    ]


def _compared(told: dict[str, Row]) -> html.Div:
    body = [
        [title, *[_as(kind, told.get(curve, {}).get(name)) for curve in _CURVES]] for name, title, kind in _STATISTICS
    ]
    return plain_table("Yearly ratios with a risk-free rate of zero", ["Figure", *_CURVES.values()], body)


def _backtest(account: AccountView) -> Children:
    """What the model's out-of-sample forecasts of all history would have earned by the same rules."""
    title = html.H2("Back-test over all history", className="section")
    told = account.backtest
    if not told:
        missing_yet = "None yet: each training makes one, or `financelake backtest` does."
        return [title, html.P(missing_yet, className="muted")]
    one = told["signals"]
    first, last = (wording.bar_time(one[name], account.interval) for name in ("start", "event_time"))
    return [
        title,
        html.P(
            f"What the walk-forward of {one['model_version']} forecast out of sample, traded by the same code as live: "
            f"{wording.count(one['steps'])} steps from {first} to {last}, {wording.count(one['trades'])} trades. "
            f"{_luck(one['luck_p'])}"
        ),
        _compared(told),
        _sheet(account, "backtest"),
    ]


def _sheet(account: AccountView, of: str) -> html.P:
    """A file with the monthly returns, drawdowns, exposure and more."""
    named = {"class": account.key.asset_class, "interval": account.interval, "currency": account.key.currency}
    query = urlencode({"of": of, **{name: value for name, value in named.items() if value is not None}})
    name = "Tear sheet of the back-test" if of == "backtest" else "Tear sheet of the account"
    return html.P(html.A(name, href=f"/tear-sheet.html?{query}", className="button"))


def _positions(account: AccountView) -> Children:
    title = html.H2("Positions", className="section")
    if not account.positions:
        return [title, html.P("The account has only cash.", className="muted")]
    names = [
        "Symbol",
        "Side",
        "Value",
        "Share",
        "Profit",
        "Bars held",
        "Bars left",
        f"Priced ({wording.zone(account.interval)})",
    ]
    body = [[row["symbol"], _side(row["side"]), *_position(row, account.interval)] for row in account.positions]
    return [title, plain_table("Open positions, profit net of the costs so far", names, body, ("Side",))]


def _position(row: Row, interval: str) -> list[str]:
    return [
        _money(row["value"]),
        wording.percent(row["share"], 1),
        _money(row["profit"], sign=True),
        wording.count(row["bars_held"]),
        wording.count(row["bars_left"]),
        wording.bar_time(row["event_time"], interval),
    ]


def _side(side: str | None) -> str:
    return {"long": "▲ long", "short": "▼ short"}.get(side or "", side or wording.UNKNOWN)


def _as(kind: str, value: float | None) -> str:
    return wording.percent(value, 1) if kind == "percent" else wording.number(value, 2)


def _signed(value: float | None) -> str:
    return wording.percent(value, 1, sign=True)


def _money(value: float | None, *, sign: bool = False) -> str:
    return wording.number(value, 0, sign=sign)
