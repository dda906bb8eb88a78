// The chart in the browser: the visible time, the tools that draw and measure, and the player of a replay. The server
// sends a figure; "draw" adds what only the browser knows. Drawings are kept in the browser's storage.
"use strict";

(() => {
  const KEPT = "financelake-drawings", PATIENCE_MS = 180, STEPS = [1, 2, 5];
  const plot = () => document.querySelector("#candles .js-plotly-plot");
  const keep = () => window.dash_clientside.no_update;
  const say = (words) => { const line = document.getElementById("tool-words"); if (line) line.textContent = words; };
  const plain = (text) => String(text).replace(" ", "T");

  let tool = null, held = false, late = false, timer = null;

  // -- the visible time ------------------------------------------------------------------------------------------
  const prices = (data) => (data || []).find((trace) => trace.meta === "prices");
  const first = (x, from) => {
    let low = 0, high = x.length;
    while (low < high) { const mid = (low + high) >> 1; if (x[mid] < from) low = mid + 1; else high = mid; }
    return low;
  };

  // the range of prices between two times: what is visible fills the height
  const fit = (data, range) => {
    const [from, to] = range.map(plain);
    let low = Infinity, high = -Infinity;
    for (const trace of data) {
      if ((trace.yaxis || "y") !== "y" || !trace.x || trace.visible === "legendonly") continue;
      const lows = trace.low || trace.y || [], highs = trace.high || trace.y || [];
      for (let at = 0; at < trace.x.length; at += 1) {
        if (trace.x[at] === null || trace.x[at] < from || trace.x[at] > to) continue;
        if (Number.isFinite(lows[at])) low = Math.min(low, lows[at]);
        if (Number.isFinite(highs[at])) high = Math.max(high, highs[at]);
      }
    }
    if (!Number.isFinite(low) || !Number.isFinite(high)) return null;
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    return [low - room, high + room];
  };

  const groupSize = (bars, most) => {
    let size = 1, at = 0;
    while (bars > size * most) { at += 1; size = STEPS[at % 3] * 10 ** Math.floor(at / 3); }
    return size;
  };

  // whether what is visible needs other bars: older, newer, finer or coarser
  const lacks = (gd) => {
    const meta = gd.layout.meta, x = prices(gd.data)?.x;
    if (!meta || !x?.length) return false;
    const [from, to] = gd.layout.xaxis.range.map(plain);
    const begin = first(x, from), end = first(x, to), seen = Math.max(1, end - begin), edge = seen / 4;
    return (meta.older && begin < edge) || (meta.newer && end > x.length - edge)
      || groupSize(seen * meta.group, meta.most) !== meta.group;
  };

  const follow = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const gd = plot();
      if (held) return follow();
      if (gd && !gd.layout.xaxis.autorange && lacks(gd)) {
        const span = gd.layout.xaxis.range.map((one) => plain(one).slice(0, 19));
        window.dash_clientside.set_props("span", { data: span });
      }
    }, PATIENCE_MS);
  };

  // -- drawings --------------------------------------------------------------------------------------------------
  const stored = () => { try { return JSON.parse(localStorage.getItem(KEPT)) || {}; } catch { return {}; } };
  const layoutName = () => sessionStorage.getItem("financelake-layout") || "";
  const mine = (series) => stored()[layoutName()]?.[series] || [];
  const store = (series, shapes) => {
    const all = stored(), name = layoutName();
    all[name] = { ...all[name], [series]: shapes };
    if (!shapes.length) delete all[name][series];
    try { localStorage.setItem(KEPT, JSON.stringify(all)); } catch { say("This browser keeps no drawings."); }
  };
  const KEPT_PARTS = ["type", "x0", "x1", "y0", "y1", "xref", "yref", "label", "fillcolor", "opacity", "line"];
  const bare = (shape) => Object.fromEntries(KEPT_PARTS.filter((name) => name in shape).map((name) => [name, shape[name]]));

  const number = (value, digits) => value.toLocaleString(undefined, { maximumFractionDigits: digits, signDisplay: "exceptZero" });
  const measured = (gd, shape) => {
    const x = prices(gd.data)?.x || [], [from, to] = [plain(shape.x0), plain(shape.x1)];
    const bars = (first(x, to) - first(x, from)) * (gd.layout.meta?.group || 1);
    const change = shape.y1 - shape.y0, percent = shape.y0 ? (change / Math.abs(shape.y0)) * 100 : NaN;
    const seconds = Math.abs(Date.parse(`${to.slice(0, 19)}Z`) - Date.parse(`${from.slice(0, 19)}Z`)) / 1000;
    const price = gd.layout.yaxis.tickformat?.includes("%") ? `${number(change * 100, 2)} points` : number(change, 4);
    const share = Number.isFinite(percent) && !gd.layout.yaxis.tickformat?.includes("%") ? ` (${number(percent, 2)} %)` : "";
    return `${price}${share}, ${Math.abs(bars)} bars, ${window.financelake.words(seconds)}`;
  };

  const ink = (gd) => gd.layout.font?.color || "#888";
  const shaped = (gd, shape) => {
    const made = { ...bare(shape), line: { color: ink(gd), width: 1.5, ...(tool === "measure" ? { dash: "dot" } : {}) } };
    if (tool === "level") return { ...made, type: "line", xref: "paper", x0: 0, x1: 1, y1: made.y0 };
    if (tool === "measure") {
      const words = measured(gd, shape);
      say(words);
      return { ...made, fillcolor: "rgba(128,128,128,0.13)", label: { text: words, textposition: "top center", font: { size: 12, color: ink(gd) } } };
    }
    return { ...made, ...(tool === "box" ? { fillcolor: "rgba(128,128,128,0.13)" } : {}) };
  };

  const MODES = { line: "drawline", level: "drawline", box: "drawrect", measure: "drawrect" };
  const hold = (name) => {
    tool = name;
    document.querySelectorAll("[data-tool]").forEach((one) =>
      one.setAttribute("aria-pressed", String(one.dataset.tool === name)));
    const gd = plot();
    if (gd?.layout?.meta) window.Plotly.relayout(gd, { dragmode: MODES[name] || "pan" });
  };

  const drawn = (gd) => {
    const own = (gd.layout.shapes || []).filter((shape) => shape.editable);
    const before = mine(gd.layout.meta.series).length;
    const kept = own.map((shape, at) => (tool && at >= before ? shaped(gd, shape) : bare(shape)));
    store(gd.layout.meta.series, kept);
    if (tool) hold(null);
    return Date.now();
  };

  // -- the player ------------------------------------------------------------------------------------------------
  let playing = null, unchanged = 0, seen = "";
  const stop = () => {
    clearInterval(playing);
    playing = null;
    const button = document.getElementById("replay-play");
    if (!button) return;
    button.textContent = "▶ Play";
    button.setAttribute("aria-pressed", "false");
  };
  const tick = () => {
    if (!document.getElementById("replay-step")?.offsetParent) return stop();
    if (window.financelake.asked() > 0) return; // one bar at a time, as fast as the page can draw
    unchanged = seen === window.location.search ? unchanged + 1 : 0;
    seen = window.location.search;
    if (unchanged > 3) return stop(); // the newest bar
    document.getElementById("replay-step").click();
  };
  const play = () => {
    if (playing) return stop();
    const speed = Number(document.getElementById("replay-speed")?.value) || 1;
    unchanged = 0;
    playing = setInterval(tick, 1000 / speed);
    const button = document.getElementById("replay-play");
    button.textContent = "❚❚ Pause";
    button.setAttribute("aria-pressed", "true");
  };

  // moving a chart and playing a replay are no places to go back to
  const push = window.history.pushState.bind(window.history);
  const place = (search) => {
    const query = new URLSearchParams(search);
    const replaying = query.has("replay");
    ["from", "to", "replay"].forEach((name) => query.delete(name));
    if (replaying) query.delete("bar");
    return `${replaying}${query}`;
  };
  window.history.pushState = (state, title, url) => {
    const next = new URL(String(url ?? ""), window.location.href);
    const here = next.pathname === window.location.pathname && place(next.search) === place(window.location.search);
    return here ? window.history.replaceState(state, title, url) : push(state, title, url);
  };

  document.addEventListener("click", (event) => {
    const pressed = event.target.closest?.("[data-tool]");
    if (pressed) hold(pressed.dataset.tool === tool ? null : pressed.dataset.tool);
    const id = event.target.id, gd = plot();
    if (id === "replay-play") play();
    if (id === "replay-live") stop();
    if (gd?.layout?.meta && (id === "tool-undo" || id === "tool-clear")) {
      const series = gd.layout.meta.series;
      store(series, id === "tool-clear" ? [] : mine(series).slice(0, -1));
      window.dash_clientside.set_props("redraw", { data: Date.now() });
    }
  });
  document.addEventListener("change", (event) => {
    if (event.target.id === "replay-speed" && playing) { stop(); play(); }
  });
  document.addEventListener("pointerdown", (event) => { held = Boolean(event.target.closest?.("#candles")); }, true);
  document.addEventListener("pointerup", () => {
    held = false;
    if (late) window.dash_clientside.set_props("redraw", { data: Date.now() });
  }, true);

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    chart: {
      draw: (figure) => {
        if (!figure?.layout?.meta) return keep();
        late = held;
        if (held) return keep(); // a drag that is under way would end
        const gd = plot(), { meta } = figure.layout;
        const same = gd?.layout?.meta?.view === meta.view && gd.layout.xaxis?.range;
        const range = same ? (gd.layout.xaxis.autorange ? null : gd.layout.xaxis.range.slice()) : meta.span;
        const rise = range && fit(figure.data, range);
        const own = mine(meta.series).map((shape) => ({ ...shape, editable: true }));
        return {
          data: figure.data,
          layout: {
            ...figure.layout,
            dragmode: MODES[tool] || "pan",
            shapes: [...(figure.layout.shapes || []), ...own],
            xaxis: { ...figure.layout.xaxis, ...(range ? { range, autorange: false } : { autorange: true }) },
            yaxis: { ...figure.layout.yaxis, ...(rise ? { range: rise, autorange: false } : { autorange: true }) },
          },
        };
      },

      // after the visitor moved the chart, or drew something
      moved: (event) => {
        const gd = plot(), names = Object.keys(event || {});
        if (!gd?.layout?.meta) return keep();
        if (names.some((name) => name.startsWith("shapes"))) return drawn(gd);
        if (event["xaxis.autorange"]) {
          window.dash_clientside.set_props("span", { data: null });
          return Date.now();
        }
        if (!names.some((name) => name.startsWith("xaxis.range"))) return keep();
        const rise = fit(gd.data, gd.layout.xaxis.range);
        if (rise) window.Plotly.relayout(gd, { "yaxis.range": rise, "yaxis.autorange": false });
        follow();
        return keep();
      },
    },
  });
  window.financelake = Object.assign(window.financelake || {}, { play, stopReplay: stop });
})();
