"""The model card: a description of a version and of its quality, with its weaknesses, in Markdown.

Input: a record and its metrics. Output: text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from financelake_assets.model.evaluation import ALL, HOLDOUT, Verdict

if TYPE_CHECKING:
    from financelake_assets.model.record import ModelRecord

_MEANING = {
    Verdict.EDGE: "On the holdout it is significantly better than the naive forecast, which repeats the last price.",
    Verdict.NO_EDGE: "On the holdout it is not significantly better than the naive forecast, the last price.",
    Verdict.NOT_ENOUGH_DATA: "The holdout is too short to compare it with the naive forecast, the last price.",
}
_COLUMNS = (
    ("rows", "d", "rows"),
    ("r2_price", ".4f", "R² price"),
    ("r2_price_naive", ".4f", "R² naive"),
    ("skill", "+.4f", "skill"),
    ("skill_low", "+.4f", "from"),
    ("skill_high", "+.4f", "to"),
    ("oos_r2_return", "+.4f", "R² return"),
    ("hit_rate", ".3f", "hit rate"),
    ("majority_rate", ".3f", "majority"),
    ("ic", "+.3f", "IC"),
    ("rank_ic", "+.3f", "rank IC"),
    ("mase", ".3f", "MASE"),
    ("mase_naive", ".3f", "naive MASE"),
    ("ic_t", "+.2f", "IC t"),
    ("delayed_ic", "+.3f", "IC one bar later"),
    ("delayed_ic_t", "+.2f", "its t"),
    ("brier", ".4f", "Brier"),
    ("brier_naive", ".4f", "a coin's"),
    ("coverage", ".3f", "coverage"),
    ("interval_width", ".4f", "width"),
    ("qlike", ".4f", "QLIKE"),
    ("qlike_naive", ".4f", "realised QLIKE"),
    ("verdict", "", "verdict"),
)


def model_card(record: ModelRecord, metrics: list[dict[str, Any]]) -> str:
    """The card of a version.

    Args:
        record: the version.
        metrics: its rows of gold.model_metrics.
    """
    return "\n\n".join(
        [
            f"# Model {record.model_version}",
            f"**Verdict: {record.verdict.value}.** {_MEANING[record.verdict]}",
            f"{record.status.value.capitalize()}: {record.status_reason}.",
            f"A forest of {record.parameters['trees']} trees, depth {record.parameters['depth']}, for the log return "
            f"over {record.horizon} bar(s) of {record.interval} in units of its expected standard deviation; two "
            "forests with half as many trees: one for the probability of a rise, one for the size of the move.",
            f"Trained on data from {record.train_start:%Y-%m-%d} to {record.train_end:%Y-%m-%d}, silver version "
            f"{record.silver_version}; seed {record.parameters['seed']}; {_trials(record)}",
            "## The holdout: the latest part of each symbol, predicted out of sample",
            _table([row for row in metrics if row["fold"] == HOLDOUT]),
            "The R² of the price is near one for any forecast that stays close to the last price, so compare it with "
            "the naive R². Skill is `1 - MSE/MSE_naive`, with its 95 % interval. The IC one bar later uses the return "
            "that begins at the next bar's close, which is all that a trade after the prediction can earn. QLIKE is "
            "the loss of the predicted volatility (less is better), beside that of the recent realised volatility.",
            "## All symbols, fold by fold",
            _table([row for row in metrics if row["fold"] != HOLDOUT and row["symbol"] == ALL], first="fold"),
            "## The most important inputs",
            "Impurity: how much the trees split on the input. Permutation: how much the squared error on unseen bars "
            "grows when the input is shuffled; around zero, the trees split on noise.",
            _importance(record),
            "## Calibration of its probabilities",
            "On the holdout, in groups with about the same number of bars: the stated probability of a rise, and how "
            "often the price rose, with the 95 % interval.",
            _reliability(record),
            "## Parameters",
            "\n".join(f"- {name}: {value}" for name, value in record.parameters.items()),
        ]
    )


def _trials(record: ModelRecord) -> str:
    if record.trials is None:
        return "the number of variants that were tried is not recorded."
    return f"its settings were chosen among {record.trials} variants, compared inside the training period."


def _importance(record: ModelRecord) -> str:
    names = sorted(record.importance, key=lambda name: -record.importance[name])[:12]
    lines = ["| input | impurity | permutation |", "| --- | --- | --- |"]
    lines += [
        f"| {name} | {record.importance[name]:.3f} | {_cell(record.permutation.get(name), '+.4f')} |" for name in names
    ]
    return "\n".join(lines)


def _reliability(record: ModelRecord) -> str:
    lines = ["| bars | stated | rose | from | to |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {one['rows']} | {one['predicted']:.3f} | {one['observed']:.3f} | {one['low']:.3f} | {one['high']:.3f} |"
        for one in record.reliability
    ]
    return "\n".join(lines)


def _table(rows: list[dict[str, Any]], first: str = "symbol") -> str:
    head = [first, *(title for _, _, title in _COLUMNS)]
    lines = [head, ["---"] * len(head)]
    lines += [[str(row[first]), *(_cell(row[name], form) for name, form, _ in _COLUMNS)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any, form: str) -> str:
    return "" if value is None else format(value, form)
