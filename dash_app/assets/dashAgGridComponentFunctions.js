// Cells of the tables, as React elements: text is always text.
"use strict";

(() => {
  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  const el = (...all) => window.React.createElement(...all);
  const SHAPES = { BUY: "▲", SELL: "▼", HOLD: "■" };

  cells.SymbolCell = ({ data }) =>
    el("span", { className: "cell-two" }, el("strong", null, data.symbol), el("small", null, data.asset_class));

  cells.PriceCell = ({ data }) => {
    const way = data.change > 0 ? "up" : data.change < 0 ? "down" : "flat";
    return el("span", { className: "cell-two right" }, el("span", { className: "num" }, data.price),
      el("small", { className: `change ${way}` }, data.change_text));
  };

  cells.SignalCell = ({ data }) => {
    if (!data.signal) return el("span", { className: "chip none", title: "Choose the symbol to see why" }, "none yet");
    const chip = el("span", { className: `chip ${data.signal.toLowerCase()}`, title: data.why || undefined },
      el("span", { "aria-hidden": "true" }, `${SHAPES[data.signal] || ""} `), data.signal);
    if (!data.behind) return chip;
    return el("span", { className: "cell-two" }, chip, el("small", { title: "The newest bar has not been scored yet" }, "bar before"));
  };

  cells.FreshCell = ({ data }) => {
    const age = data.arrived === null ? "–" : window.financelake.words((window.financelake.now() - data.arrived) / 1000);
    const title = `${data.fresh}; newest bar ${data.time}`;
    const late = data.overdue > 999 ? "999+" : data.overdue;
    const note = data.overdue ? el("small", { className: "late" }, `▲ ${late} late`)
      : data.history ? el("small", null, "history") : null;
    return el("span", { className: note ? "cell-two right" : "", title }, el("span", null, age), note);
  };

  // two lines: a value, and what belongs to it in small print
  cells.TwoCell = ({ value, data, colDef }) =>
    el("span", { className: "cell-two" }, el("span", null, value), el("small", null, data[colDef.cellRendererParams.small]));

  cells.SparkCell = ({ data }) => {
    const values = (data.spark || []).filter((value) => value !== null);
    if (values.length < 2) return null;
    const low = Math.min(...values);
    const span = Math.max(...values) - low || 1;
    const points = values
      .map((value, at) => `${((at / (values.length - 1)) * 62 + 1).toFixed(1)},${(25 - ((value - low) / span) * 22).toFixed(1)}`)
      .join(" ");
    const way = values[values.length - 1] >= values[0] ? "up" : "down";
    return el("svg", { viewBox: "0 0 64 28", width: 64, height: 28, className: `spark ${way}`, role: "img",
      "aria-label": `${way === "up" ? "Risen" : "Fallen"} over the last ${values.length} bars` },
    el("polyline", { points, fill: "none", strokeWidth: 1.5, strokeLinejoin: "round" }));
  };
})();
