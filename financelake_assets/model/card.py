"""The model card: a description of a version and of its quality, with its weaknesses, in Markdown.

Input: a record and its metrics. Output: text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from financelake_assets.model.calibration import POOLED
from financelake_assets.model.evaluation import ALL, HOLDOUT
from financelake_assets.model.verdict import Verdict

if TYPE_CHECKING:
    from financelake_assets.model.record import ModelRecord

_MEANING = {
    Verdict.EDGE: "On the holdout it predicts a part of the next return, beyond chance.",
    Verdict.NO_EDGE: "On the holdout it predicts nothing of the next return beyond chance.",
    Verdict.WORSE: "On the holdout the next return goes against its predictions beyond chance, large ones most: it "
    "predicts the opposite.",
    Verdict.NOT_ENOUGH_DATA: "The holdout is too short for a verdict.",
}
_NOTEWORTHY = 0.01
_ANSWERS = (
    ("rows", "d", "rows"),
    ("predictable", "", "predictable"),
    ("clark_west_t", "+.2f", "t, beyond zero"),
    ("clark_west_mean_t", "+.2f", "t, beyond the mean"),
    ("predictable_p", ".4f", "p"),
    ("predictable_q", ".4f", "q"),
    ("smallest_edge", ".4f", "smallest edge"),
    ("accurate", "", "accurate"),
    ("skill", "+.4f", "skill"),
    ("skill_low", "+.4f", "from"),
    ("skill_high", "+.4f", "to"),
    ("accurate_q", ".4f", "q"),
    ("tradable", "", "tradable"),
    ("trades", "d", "trades"),
    ("net_return", "+.4%", "net a trade"),
    ("net_move", "+.3f", "in moves"),
    ("net_move_low", "+.3f", "from"),
    ("net_move_high", "+.3f", "to"),
    ("tradable_q", ".4f", "q"),
)
_TELLING = (
    *("rows", "predictable", "clark_west_t", "clark_west_mean_t", "predictable_q"),
    *("accurate", "skill", "skill_low", "skill_high"),
    *("tradable", "trades", "net_move", "net_move_low", "net_move_high"),
)
"""The answers that the forest is compared with its baselines by."""

_COLUMNS = (
    ("rows", "d", "rows"),
    ("r2_price", ".4f", "R² price"),
    ("r2_price_naive", ".4f", "R² naive"),
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
    ("qlike_naive", ".4f", "naive QLIKE"),
    ("qlike_gain", "+.4f", "gain"),
    ("qlike_gain_low", "+.4f", "from"),
    ("qlike_gain_high", "+.4f", "to"),
)


_BESIDE = (
    *(column for column in _ANSWERS if column[0] in _TELLING),
    ("over_forest", "+.4f", "skill over the forest"),
    ("over_forest_low", "+.4f", "from"),
    ("over_forest_high", "+.4f", "to"),
)


def model_card(record: ModelRecord, metrics: list[dict[str, Any]], baselines: Sequence[dict[str, Any]] = ()) -> str:
    """The card of a version.

    Args:
        record: the version.
        metrics: its rows of gold.model_metrics.
        baselines: its rows of gold.baseline_metrics; a version of an earlier release has none.
    """
    held_out = [row for row in metrics if row["fold"] == HOLDOUT]
    folds = [row for row in metrics if row["fold"] != HOLDOUT and row["symbol"] == ALL]
    return "\n\n".join(
        [
            f"# Model {record.model_version}",
            f"**Verdict: {record.verdict.value}.** {_meaning(record, held_out)}",
            f"{record.status.value.capitalize()}: {record.status_reason}.",
            _learner(record),
            f"Trained on data from {record.train_start:%Y-%m-%d} to {record.train_end:%Y-%m-%d}, silver version "
            f"{record.silver_version}; seed {record.parameters['seed']}; {_trials(record)}{_later(record)}",
            _walked(record),
            *([] if not record.plugins else [_plugins(record)]),
            *([] if not record.labels else [_labels(record)]),
            *([] if not record.costs else [_costs(record)]),
            "## Three answers from the holdout, which no choice used, predicted out of sample",
            _table(held_out, _ANSWERS),
            "**Predictable**: it predicts a part of the return that neither zero nor the mean of the training data "
            "predicts (Clark & West 2007). **Accurate**: its squared errors are smaller than those of a forecast that "
            "repeats the last price; skill is `1 - MSE/MSE_naive` of returns in units of the expected move. "
            "**Tradable**: trades that begin at the next bar's open, and end after as many bars as the horizon, earn "
            "more than their costs and slippage. Each is a two-sided test at 5 %. A day counts once, whatever the "
            "number of symbols. q is the p-value adjusted for the number of symbols (Benjamini & Hochberg 1995). The "
            "smallest edge is the skill that this much data shows in four of five cases; for a smaller one, *no edge* "
            "says little.",
            *_beside(next(iter(record.learner), "forest"), held_out, baselines),
            "## More about the holdout",
            _table(held_out, _COLUMNS),
            "The R² of the price is near one for any forecast that stays close to the last price, so compare it with "
            "the naive R². The IC one bar later uses the return that begins at the next bar's close, which is all that "
            "a trade after the prediction can earn. QLIKE is the loss of the predicted volatility (less is better), "
            "beside that of the recent realised volatility; both are scaled to the same earlier rows. The gain is how "
            "much less the loss is, with its 95 % interval.",
            "## All symbols, fold by fold",
            _table(folds, _ANSWERS, first="fold"),
            _table(folds, _COLUMNS, first="fold"),
            "## The most important inputs",
            "Impurity: how much the trees of a forest split on the input. Permutation: how much the squared error on "
            "unseen bars grows when the input is shuffled; around zero, the model learnt noise of it. "
            + _contributions(record),
            _importance(record),
            *([] if record.held_back is None else _held_back(record.held_back.sentence)),
            "## Calibration of its probabilities",
            "On the holdout, in groups with about the same number of bars: the stated probability of a rise, and how "
            "often the price rose, with the 95 % interval.",
            _reliability(record),
            "## Parameters",
            "\n".join(f"- {name}: {value}" for name, value in record.parameters.items()),
        ]
    )


def _held_back(sentence: str) -> list[str]:
    return [
        "## Bars unlike all that it learnt",
        f"{sentence} Such a bar's signal is HOLD (`unlike_training`). The limit follows from the learnt rows alone, "
        "and each fold of the walk-forward had its own. All other figures here are of all bars.",
    ]


def _beside(own: str, held_out: list[dict[str, Any]], baselines: Sequence[dict[str, Any]]) -> list[str]:
    """The forest, or the plug-in of that name, beside the other learners, over all symbols and by class, held out."""
    known = [row for row in baselines if row["fold"] == HOLDOUT and _is_of_several(row)]
    if not known:
        return []
    forest = [{**row, "baseline": own} for row in held_out if _is_of_several(row)]
    rows = sorted((*forest, *known), key=lambda row: (row["symbol"] != ALL, row["symbol"]))
    named = [{**row, "learner": f"{row['baseline']}, {row['symbol']}"} for row in rows]
    return [
        f"## The {own} beside other learners",
        "The same inputs, folds and tests. `linear` is a ridge regression; `boosted` are gradient-boosted trees, where "
        "`FINANCELAKE_MODEL__BOOSTED_TREES` asks for them. None of them gives signals. Where none of them has an edge "
        f"either, the {own} is not the reason. *Skill over the forest* is `1 - MSE/MSE of the {own}`, in expected "
        f"moves: below zero, the {own} is better.",
        _table(named, _BESIDE, first="learner"),
    ]


def _is_of_several(row: dict[str, Any]) -> bool:
    return bool(row["symbol"] == ALL or row["symbol"].startswith(POOLED))


def _meaning(record: ModelRecord, held_out: list[dict[str, Any]]) -> str:
    if held_out and all(row["predictable"] is None for row in held_out):
        return (
            "An earlier release judged this version: its skill is of prices, and the three questions below were not "
            "asked."
        )
    return _MEANING[record.verdict]


def _learner(record: ModelRecord) -> str:
    of_return = (
        f"for the log return over {record.horizon} bar(s) of {record.interval} in units of its expected standard "
        "deviation"
    )
    others = "one for the probability of a rise, one for the size of the move"
    if record.learner:
        ((name, facts),) = record.learner.items()
        return f"Three regressors of the plug-in {name} {facts['version']}: one {of_return}, {others}."
    trees, depth = record.parameters["trees"], record.parameters["depth"]
    return f"A forest of {trees} trees, depth {depth}, {of_return}; two forests with half as many trees: {others}."


def _walked(record: ModelRecord) -> str:
    """How old the forests were that forecast the bars which it is judged on."""
    folds = f"Judged by a walk-forward of {record.parameters['folds']} folds"
    old = "which serves all of it where a live lake makes new ones"
    if record.refits is None:
        return f"{folds}, each with one forest, {old}."
    return f"{folds}, with refits: {record.refits.sentence}. The bars before have one forest a fold, {old}."


def _plugins(record: ModelRecord) -> str:
    told = [
        f"{name} {facts['version']} ({', '.join(facts['columns'])}; look-back {facts['lookback']} bars{_others(facts)})"
        for name, facts in record.plugins.items()
    ]
    return f"Beside FinanceLake's own features it learnt from those of plug-ins: {', '.join(told)}."


def _others(facts: Mapping[str, Any]) -> str:
    """The other series that a plug-in asks for."""
    told = [
        f"{other['symbol'] or 'the symbol'} {other['interval'] or 'at its interval'} and {other['bars']} bars before"
        for other in facts.get("others", {}).values()
    ]
    return f"; knows {', '.join(told)}" if told else ""


def _labels(record: ModelRecord) -> str:
    told = [f"{name} {facts['version']}" for name, facts in record.labels.items()]
    return (
        f"Of the return it learnt the label {', '.join(told)}. Calibration turns what it says of that into a return "
        f"over {record.horizon} bar(s), and all figures are of that return."
    )


def _costs(record: ModelRecord) -> str:
    told = [f"{name} {facts['version']} (look-back {facts['lookback']} bars)" for name, facts in record.costs.items()]
    return f"Its trades are judged with the costs of plug-ins: {', '.join(told)}."


def _trials(record: ModelRecord) -> str:
    if record.trials is None:
        return "the number of variants that were tried is not recorded."
    told = f"{record.trials} strategies were tried until this one, with those before this release's settings."
    return told if record.overfitting is None else f"{told} {record.overfitting.sentence}"


def _later(record: ModelRecord) -> str:
    """That a market which ended before the others is predicted by what was learnt of later years."""
    if not record.later_share or record.later_share < _NOTEWORTHY:
        return ""
    symbol = min(record.learnt_until, key=lambda one: record.learnt_until[one])
    return (
        f" {record.later_share:.0%} of the rows are later than {record.learnt_until[symbol]:%Y-%m-%d}, where those of "
        f"{symbol} end. What it earns on such a market from then on could not have been earned at the time. The "
        "figures below are not affected: each fold learnt from earlier bars only."
    )


def _contributions(record: ModelRecord) -> str:
    if record.learner:
        return "What an input contributes to a single prediction is not known: a model of a plug-in does not tell."
    if not record.contributions:
        return "An earlier release did not measure what the inputs contribute to its predictions."
    return (
        "Contribution: by how much the input moves a prediction up or down, the mean of the absolute Shapley values "
        "over bars of the last fold, in expected moves before calibration. It tells what the forest uses, right or "
        "wrong, and the forest that is served learnt these bars too."
    )


def _importance(record: ModelRecord) -> str:
    by = record.importance or record.permutation  # only a forest has the first
    names = sorted(by, key=lambda name: -by[name])[:12]
    shown = [
        ("impurity", record.importance, ".3f"),
        ("permutation", record.permutation, "+.4f"),
        *([("contribution", record.contributions, ".4f")] if record.contributions else []),
    ]
    lines = [["input", *(title for title, _, _ in shown)], ["---"] * (len(shown) + 1)]
    lines += [[name, *(_cell(known.get(name), form) for _, known, form in shown)] for name in names]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _reliability(record: ModelRecord) -> str:
    lines = ["| bars | stated | rose | from | to |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {one['rows']} | {one['predicted']:.3f} | {one['observed']:.3f} | {one['low']:.3f} | {one['high']:.3f} |"
        for one in record.reliability
    ]
    return "\n".join(lines)


def _table(rows: list[dict[str, Any]], shown: tuple[tuple[str, str, str], ...], first: str = "symbol") -> str:
    head = [first, *(title for _, _, title in shown)]
    lines = [head, ["---"] * len(head)]
    lines += [[str(row[first]), *(_cell(row.get(name), form) for name, form, _ in shown)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any, form: str) -> str:
    return "" if value is None else format(value, form)
