"""Why a message went to quarantine: the closed list, in the order in which a message is judged."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The first thing found wrong with a message. The value is what silver/quarantine stores."""

    NULL_VALUE = "null_value"
    INVALID_UTF8 = "invalid_utf8"
    NOT_JSON = "not_json"
    MISSING_SYMBOL = "missing_symbol"
    UNKNOWN_SYMBOL = "unknown_symbol"
    WRONG_ASSET_CLASS = "wrong_asset_class"
    MISSING_INTERVAL = "missing_interval"
    UNKNOWN_INTERVAL = "unknown_interval"
    MISSING_EVENT_TIME = "missing_event_time"
    WRONG_EVENT_TIME = "wrong_event_time"
    FUTURE_EVENT_TIME = "future_event_time"
    MISSING_PRICE = "missing_price"
    WRONG_TYPE = "wrong_type"
    NOT_FINITE = "not_finite"
    NON_POSITIVE_PRICE = "non_positive_price"
    NEGATIVE_VOLUME = "negative_volume"
    IMPOSSIBLE_EVENT = "impossible_event"
    INCONSISTENT_RANGE = "inconsistent_range"
    UNPROCESSABLE = "unprocessable"


DESCRIPTIONS: dict[Reason, str] = {
    Reason.NULL_VALUE: "the message has no value",
    Reason.INVALID_UTF8: "the value is not UTF-8 text",
    Reason.NOT_JSON: "the value is not one JSON object of at most 1 MiB",
    Reason.MISSING_SYMBOL: "symbol is absent or empty",
    Reason.UNKNOWN_SYMBOL: "symbol is not in this lake's universe",
    Reason.WRONG_ASSET_CLASS: "the message's asset class or topic is not the symbol's",
    Reason.MISSING_INTERVAL: "interval is absent",
    Reason.UNKNOWN_INTERVAL: "interval is none of tick, 1m 2m 5m 15m 30m, 1h 2h 4h 6h 12h, 1d, 1w",
    Reason.MISSING_EVENT_TIME: "event_time is absent",
    Reason.WRONG_EVENT_TIME: "event_time is not an ISO 8601 time of 1800 or later",
    Reason.FUTURE_EVENT_TIME: "event_time is later than the message by more than the accepted skew",
    Reason.MISSING_PRICE: "close is absent",
    Reason.WRONG_TYPE: "a price, volume, dividend or split is not a number",
    Reason.NOT_FINITE: "a price, volume, dividend or split is NaN or infinite",
    Reason.NON_POSITIVE_PRICE: "a price is zero or negative where the asset class does not allow it",
    Reason.NEGATIVE_VOLUME: "volume is negative",
    Reason.IMPOSSIBLE_EVENT: "a dividend is negative, or a split gives no share for an old one",
    Reason.UNPROCESSABLE: "the micro-batch could not be done with the message; all others of it were",
    Reason.INCONSISTENT_RANGE: "high is below, or low above, another price of the bar",
}
