"""Settings of what a lake is for: the feed, the model, its signals, and the portfolio that trades them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from financelake_assets.config.group import Group
from financelake_assets.intervals import BAR_LENGTHS, canonical

AssetClass = Literal["stock", "crypto", "commodity"]
ASSET_CLASSES: tuple[AssetClass, ...] = ("stock", "crypto", "commodity")


class SilverSettings(Group):
    """What is built of smaller bars, what the survey takes for a jump of the price, how long refusals are kept."""

    built_intervals: tuple[str, ...] = Field(
        (), description="larger bars that are built of bars of 1m, told or made of trades: some of 2m to 1d"
    )
    quarantine_days: float = Field(90.0, ge=1, description="refused messages are kept this long, to be repaired")
    jump_sigmas: float = Field(10.0, gt=0, description="a jump is a move of more typical moves of late than this")
    jump_share: float = Field(0.1, gt=0, description="and of more than this share of the close before")

    @field_validator("built_intervals")
    @classmethod
    def _are_built_of_minutes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(_of_bars(one) for one in value))
        if wrong := sorted(set(found) & {"1m", "1w"}):
            raise ValueError(f"{', '.join(wrong)} cannot be built of bars of 1m; 2m to 1d can")
        return found


_HTTP = r"^https?://[^/]+"
_WS = r"^wss?://[^/]+"


class FeedSettings(Group):
    """What `up` publishes to bronze by itself."""

    provider: Literal["auto", "replay", "universe", "none"] = Field(
        "auto",
        description="universe: the symbols of the universe file, from their providers; replay: packaged real history; "
        "auto: the universe file where it names a provider to follow, else the replay; or nothing",
    )
    bars_per_second: float = Field(
        2.0, ge=0, description="speed of the replay's live part over all symbols; 0 is as fast as possible"
    )
    live_days: int = Field(365, ge=0, description="the last days of each symbol that are played as live")
    requests_per_minute: int = Field(60, ge=1, description="to an exchange's REST interface, of all this user's lakes")
    kraken_rest: str = Field("https://api.kraken.com", pattern=_HTTP, description="where Kraken answers")
    kraken_stream: str = Field("wss://ws.kraken.com/v2", pattern=_WS, description="where Kraken tells its trades")
    binance_rest: str = Field(
        "https://data-api.binance.vision", pattern=_HTTP, description="where Binance answers, without a key"
    )
    binance_stream: str = Field(
        "wss://data-stream.binance.vision/ws", pattern=_WS, description="where Binance tells its trades"
    )
    coinbase_rest: str = Field(
        "https://api.exchange.coinbase.com", pattern=_HTTP, description="where Coinbase Exchange answers"
    )
    coinbase_stream: str = Field(
        "wss://ws-feed.exchange.coinbase.com", pattern=_WS, description="where Coinbase Exchange tells its trades"
    )


_NOT_OF_THE_FOREST = (
    "learners",
    *("intervals", "skipped_intervals", "further_horizons"),
    *("folds", "refits", "refit_rows", "holdout_fraction", "holdout_since", "coverage", "boosted_trees"),
    *("min_rows", "retrain_rows", "retrain_days", "max_age_days"),
)


class ModelSettings(Group):
    """The random forest, one for each market. Chosen in the training period (docs/decisions/0003-model-choices.md)."""

    learners: dict[str, str] = Field(
        {}, description="by interval, the installed model that learns it instead of the forest: docs/plugins.md"
    )
    symbols: tuple[str, ...] = Field((), description="learn from these symbols alone; empty is all")
    intervals: tuple[str, ...] = Field(
        (), description="have a model for these intervals alone; empty is every interval with enough labelled bars"
    )
    skipped_intervals: tuple[str, ...] = Field(
        (), description="have no model for these intervals: no training, and no new signals of an earlier model"
    )
    interval: str = Field("1d", description="the bars that `financelake train` learns from unless it names others")
    horizon: int = Field(1, ge=1, description="how many bars ahead a prediction looks")
    further_horizons: tuple[Annotated[int, Field(ge=1, le=250)], ...] = Field(
        (),
        description="predict so many bars ahead too, each with a model of its own; signals come from `horizon` alone",
    )
    trees: int = Field(40, ge=1)
    depth: int = Field(6, ge=1, le=20)
    min_instances_per_node: int = Field(50, ge=1)
    subsampling_rate: float = Field(0.5, gt=0, le=1)
    features_a_split: float | None = Field(
        None, gt=0, le=1, description="share of the inputs that a split is chosen from; unset is a third, or the root"
    )
    seed: int = 20_001
    folds: int = Field(4, ge=2, le=50, description="walk-forward folds; each costs one more training")
    refits: int = Field(
        12,
        ge=0,
        description="how many refits the walk-forward makes as often as a live lake does, the newest ones; each costs "
        "one more training. A market's first training makes none",
    )
    refit_rows: int = Field(
        1_000_000, ge=0, description="how many rows these refits may learn, those of all added up; 0 is any number"
    )
    boosted_trees: int = Field(
        0, ge=0, le=1_000, description="gradient-boosted trees to compare the forest with; 0 is none, each costs time"
    )
    window_days: int | None = Field(
        None, ge=30, description="a sliding window: learn from so many days; unset is all history, an expanding one"
    )
    holdout_fraction: float = Field(
        0.2, gt=0, lt=0.9, description="latest part of each symbol without a cut-off, which the verdict rests on"
    )
    holdout_since: dict[str, date] = Field(
        {}, description="by symbol, the day from which on nothing was looked at when settings were chosen: its cut-off"
    )
    coverage: float = Field(0.8, gt=0, lt=1, description="nominal coverage of the prediction interval")
    min_rows: int = Field(500, ge=50, description="an interval with fewer labelled bars than this gets no model")
    retrain_rows: int = Field(
        5_000, ge=100, description="new bars of an interval since its last training that start the next"
    )
    retrain_days: float | None = Field(
        None, gt=0, description="age of the newest model at which the next training starts; unset is max_age_days / 3"
    )
    max_age_days: float = Field(90, gt=0, description="older champions give no signals")

    @field_validator("intervals", "skipped_intervals")
    @classmethod
    def _are_of_bars(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_of_bars(one) for one in value)

    @field_validator("further_horizons")
    @classmethod
    def _are_sorted(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(value)))

    @field_validator("learners")
    @classmethod
    def _learn_bars(cls, value: dict[str, str]) -> dict[str, str]:
        return {_of_bars(interval): name for interval, name in value.items()}

    @field_validator("interval")
    @classmethod
    def _is_of_bars(cls, value: str) -> str:
        return _of_bars(value)

    @model_validator(mode="after")
    def _trains_before_the_champion_expires(self) -> Self:
        if self.trains_after_days >= self.max_age_days:
            raise ValueError(f"retrain_days must be below max_age_days, {self.max_age_days:g}")
        return self

    @model_validator(mode="after")
    def _further_is_not_first(self) -> Self:
        if self.horizon in self.further_horizons:
            raise ValueError(f"further_horizons has {self.horizon}, which is the horizon")
        return self

    @property
    def trains_after_days(self) -> float:
        """Age of the newest model at which the next training starts, however few bars are new."""
        return self.max_age_days / 3 if self.retrain_days is None else self.retrain_days

    def has_model(self, interval: str) -> bool:
        """Whether the settings want a model for an interval."""
        return interval not in self.skipped_intervals and (not self.intervals or interval in self.intervals)

    def of_the_forest(self) -> dict[str, Any]:
        """What decides what a version predicts, as plain values: not when and how it is judged."""
        told = self.model_dump(mode="json", exclude=set(_NOT_OF_THE_FOREST))
        # a forest that leaves it to MLlib is the one that it was before there was a choice
        return {name: value for name, value in told.items() if name != "features_a_split" or value is not None}


class SignalSettings(Group):
    """When a prediction becomes BUY or SELL. Costs are one-way, in basis points of the price."""

    cost_bps: dict[AssetClass, float] = Field({"stock": 2.0, "crypto": 5.0, "commodity": 3.0})
    min_confidence: float = Field(
        0.5, ge=0.0, le=1, description="probability of the predicted direction below which to HOLD"
    )
    outlier_sigmas: float = Field(
        10.0, gt=0, description="a bar's own move of more standard deviations than this is taken for an error: HOLD"
    )
    most_dissimilar: float = Field(
        1.0, gt=0, description="a bar that is less like the training data is not trusted: HOLD; 1 is their own limit"
    )
    settle_bars: int = Field(
        1, ge=0, le=20, description="a direction holds back while the opposite one was due in so many bars before"
    )

    @field_validator("cost_bps")
    @classmethod
    def _every_class_is_named(cls, value: dict[AssetClass, object]) -> dict[AssetClass, object]:
        missing = set(ASSET_CLASSES) - set(value)
        if missing:
            raise ValueError(f"nothing for {', '.join(sorted(missing))}")
        return value

    @field_validator("cost_bps")
    @classmethod
    def _costs_are_not_negative(cls, value: dict[AssetClass, float]) -> dict[AssetClass, float]:
        if any(cost < 0 for cost in value.values()):
            raise ValueError("a cost is negative")
        return value


class PortfolioSettings(Group):
    """The paper portfolio: one account for each asset class, interval and currency, in which signals are executed."""

    capital: float = Field(100_000.0, gt=0, description="the equity of each account at its start, in its own currency")
    slippage_bps: float = Field(1.0, ge=0, description="one-way, on top of the signal's costs")
    target_volatility: float = Field(
        0.10, gt=0, description="yearly volatility that a position is sized to, as a share of the account"
    )
    max_position: float = Field(0.5, gt=0, description="largest position in one symbol, as a share of the account")
    max_exposure: float = Field(1.0, gt=0, description="largest sum of all positions, as a share of the account")
    short: bool = Field(True, description="whether SELL opens a short position; otherwise it only closes a long one")
    min_holding_bars: int = Field(1, ge=1, description="a position is neither closed nor reversed before")
    kill_switch_drawdown: float = Field(
        0.2,
        gt=0,
        le=1,
        description="loss at which every position is closed; half as much, with half the size, each time after",
    )
    kill_switch_bars: int = Field(20, ge=1, description="steps without positions after the kill switch")
    absent_steps: int = Field(
        20, ge=1, description="a position in a symbol without a bar for so many steps is closed at its last price"
    )
    seed: int = Field(20_002, description="of the control that trades when the signals do, in random directions")


def _of_bars(interval: str) -> str:
    found = canonical(interval)
    if found is None or found not in BAR_LENGTHS:
        raise ValueError(f"{interval!r} is no interval of bars; there are {', '.join(BAR_LENGTHS)}")
    return found
