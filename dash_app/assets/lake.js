// Code that runs in the browser: the pulse that tells an open page of new data, the status in words, and changes of the
// address after a click. It makes no HTML from data.
"use strict";

(() => {
  const MISSES_BEFORE_DISCONNECTED = 2;
  const BETWEEN_WORDS_MS = 5000; // a screen reader has time for what was said before
  const SHORTEST_PAUSE = 0.1; // seconds between two questions where the server holds the answer back until there is news
  const state = { stamp: null, newest: null, ahead: 0, misses: 0, feed: null, every: 0.5, held: false, stale: 30, loaded: false, progress: null, asked: 0 };

  const words = (seconds) => {
    if (seconds < 90) return `${Math.max(0, Math.floor(seconds))} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
    return `${Math.round(seconds / 86400)} days`;
  };
  window.financelake = Object.assign(window.financelake || {}, {
    words, now: () => Date.now() + state.ahead, asked: () => state.asked,
  });

  // a visitor's colour scheme goes before the system's
  const wish = window.matchMedia("(prefers-color-scheme: dark)");
  const chosen = document.cookie.match(/(?:^|; )financelake-theme=(light|dark)/)?.[1];
  const scheme = () => chosen || (wish.matches ? "dark" : "light");
  if (chosen) document.documentElement.dataset.theme = chosen;

  // Dash drops an answer when the page sends the same request again before it arrives. If a page on a busy machine
  // heard of every change at once, it would stay empty. So the next stamp waits until the last requests have ended.
  const plain = window.fetch;
  window.fetch = async (...all) => {
    const update = String(all[0]?.url || all[0]).includes("_dash-update-component");
    if (!update) return plain(...all);
    state.asked += 1;
    try {
      const answer = await plain(...all);
      const body = await answer.arrayBuffer(); // wait for the whole answer, not only its head
      return new Response(answer.status === 204 ? null : body, answer);
    } finally {
      setTimeout(() => { state.asked -= 1; }, 0); // after Dash has processed it
    }
  };

  const status = () => {
    const age = state.newest === null ? null : (Date.now() + state.ahead - state.newest) / 1000;
    const data = age === null ? "no bars yet" : `newest bar ${words(age)} ago`;
    if (state.misses >= MISSES_BEFORE_DISCONNECTED) return ["lost", `Disconnected, trying again · ${data}`];
    if (!state.loaded) return ["waiting", "Reading the lake"];
    if (age === null) return ["waiting", "Waiting for the first bars"];
    if (state.feed === "history") return ["live", `Loading history${share()} · ${data}`];
    if (paused) return ["idle", `Paused · ${data}`];
    if (age <= state.stale) return ["live", `Live · ${data}`];
    if (state.feed === "idle") return ["idle", `Replay finished · ${data}`];
    return ["stale", `Stale · ${data}`];
  };

  const share = () => (state.progress === null ? "" : ` ${Math.floor(state.progress * 100)} %`);

  // a paused page keeps what it shows, and still tells how old the newest bar is
  let paused = false;
  const pause = () => {
    paused = !paused;
    const button = document.getElementById("pause");
    button.textContent = paused ? "Go on" : "Pause";
    button.setAttribute("aria-pressed", String(paused));
    say();
    if (!paused) pulse();
  };

  let said = "";
  const say = () => {
    const [kind, text] = status();
    if (kind + text === said || !window.dash_clientside?.set_props) return;
    said = kind + text;
    window.dash_clientside.set_props("status", { children: text, className: `status ${kind}` });
  };

  // what a screen reader hears: new BUY and SELL signals, and that the connection is lost or back. Never a signal while
  // the page is paused or shows the past
  const MOST_NAMED = 5;
  let heardUntil = null, unsaid = [], spokenAt = -Infinity, wasLost = false, turn = false;
  const hear = (signals) => {
    const past = paused || new URLSearchParams(window.location.search).has("replay");
    const fresh = heardUntil === null || past ? [] : signals.filter(([given]) => given > heardUntil);
    unsaid.push(...fresh.map(([, symbol, interval, side]) => `${side} ${symbol} ${interval}`));
    heardUntil = Math.max(heardUntil ?? 0, ...signals.map(([given]) => given));
  };
  const speak = () => {
    const lost = status()[0] === "lost", turned = lost !== wasLost;
    if ((!turned && !unsaid.length) || performance.now() - spokenAt < BETWEEN_WORDS_MS) return;
    const more = unsaid.length - MOST_NAMED;
    const named = unsaid.slice(0, MOST_NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
    const words = [turned ? (lost ? "Disconnected." : "Connected again.") : "", named && `New signals: ${named}.`];
    [unsaid, spokenAt, wasLost, turn] = [[], performance.now(), lost, !turn];
    // the same words twice are no change, which nobody would hear: a blank at the end makes them one
    window.dash_clientside.set_props("said", { children: words.filter(Boolean).join(" ") + (turn ? "" : "\u00a0") });
  };

  let timer = null, asking = false;
  const pulse = async () => {
    clearTimeout(timer);
    if (asking) return;
    asking = true;
    try {
      // the server answers when something is new, or after a second
      const seen = state.sent && !paused ? `?seen=${state.sent}` : "";
      const answer = await fetch(`/pulse${seen}`, { signal: AbortSignal.timeout(6000), cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const now = await answer.json();
      Object.assign(state, now, { ahead: now.now - Date.now(), misses: 0 });
      hear(now.signals);
      if (now.stamp !== state.sent && state.asked === 0 && !(paused && state.sent)) {
        state.sent = now.stamp;
        window.dash_clientside.set_props("stamp", { data: now.stamp });
      }
    } catch {
      state.misses += 1;
    }
    say();
    const patience = state.misses ? Math.min(5, state.misses) : 1; // a server that is down is asked less often
    const gap = state.held && !state.misses && !paused ? SHORTEST_PAUSE : patience * state.every;
    asking = false;
    if (!document.hidden) timer = setTimeout(pulse, gap * 1000);
  };

  // ages grow without new data; only the market view has the list, and not at once
  const age = () => {
    try {
      window.dash_ag_grid.getApi("watch").refreshCells({ columns: ["arrived"], force: true });
    } catch {
      // there is no list to draw
    }
  };

  const VIEWS = ["market", "signals", "portfolio", "model", "lake", "alerts"];
  const help = (open) => {
    const sheet = document.getElementById("help");
    if (sheet && sheet.open !== open) open ? sheet.showModal() : sheet.close();
  };
  const focusOn = (id) => {
    const field = document.getElementById(id);
    field?.scrollIntoView({ block: "nearest" });
    field?.focus();
  };

  const press = (id) => document.getElementById(id)?.click();

  const step = (by) => {
    const grid = window.dash_ag_grid?.getApi?.("watch");
    if (!grid || !grid.getDisplayedRowCount()) return;
    const [now] = grid.getSelectedNodes();
    const last = grid.getDisplayedRowCount() - 1;
    const next = grid.getDisplayedRowAtIndex(Math.min(last, Math.max(0, (now?.rowIndex ?? -1) + by)));
    next.setSelected(true, true);
    grid.ensureNodeVisible(next);
  };

  // one key without Control, Alt or Meta, and never while somebody types
  const KEYS = {
    "?": () => help(true),
    "/": () => focusOn(document.getElementById("watch-search") ? "watch-search" : "signals-search"),
    f: () => focusOn("screen-text"),
    i: () => focusOn("show-select"),
    j: () => step(1),
    k: () => step(-1),
    p: () => pause(),
    r: () => press(document.getElementById("replay-start")?.hidden ? "replay-live" : "replay-start"),
    ",": () => press("replay-back"),
    ".": () => press("replay-step"),
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (typing || event.ctrlKey || event.altKey || event.metaKey || document.getElementById("help")?.open) return;
    const view = VIEWS[Number(event.key) - 1];
    const act = view ? () => document.getElementById(`to-${view}`)?.click() : KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  document.addEventListener("click", (event) => {
    if (event.target.id === "help-button") help(true);
    if (event.target.id === "help-close") help(false);
    if (event.target.id === "pause") pause();
  });

  const begin = () => {
    if (!window.dash_clientside?.set_props || !document.getElementById("status")) return setTimeout(begin, 50);
    wish.addEventListener("change", () => window.dash_clientside.set_props("scheme", { data: scheme() }));
    // a page that nobody looks at asks for nothing, and is up to date as soon as somebody does
    document.addEventListener("visibilitychange", () => { if (!document.hidden) pulse(); });
    setInterval(() => { say(); speak(); }, 1000);
    setInterval(age, 5000);
    return pulse();
  };
  begin();

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    lake: {
      scheme,

      // the server formats times and numbers, so the page must be loaded again
      prefer: (zone, numbers, theme, candles) => {
        const name = zone === "browser" ? Intl.DateTimeFormat().resolvedOptions().timeZone : zone;
        const keep = (cookie, value) => {
          document.cookie = `${cookie}=${value}; Path=/; Max-Age=31536000; SameSite=Lax`;
        };
        keep("financelake-zone", name);
        keep("financelake-numbers", numbers);
        keep("financelake-theme", theme);
        keep("financelake-candles", candles);
        window.location.reload();
        return window.dash_clientside.no_update;
      },

      search: (text) => {
        const patch = { quickFilterText: text || "" };
        window.dash_ag_grid?.getApi?.("watch")?.updateGridOptions(patch);
        return window.dash_clientside.no_update;
      },

      searchSignals: (text) => {
        window.dash_ag_grid?.getApi?.("signals")?.updateGridOptions({ quickFilterText: text || "" });
        return window.dash_clientside.no_update;
      },

      // a choice of BUY, SELL or HOLD filters the list; a line leads to its chart
      chooseSignal: (side, rows, search, seen) => {
        const keep = window.dash_clientside.no_update;
        if (!seen) return keep;
        if (window.dash_clientside.callback_context.triggered_id === "signals") {
          if (!Array.isArray(rows) || !rows.length) return keep;
          const bar = rows[0].id.split("|").pop();
          return `/?${new URLSearchParams({ symbol: rows[0].symbol, interval: rows[0].interval, bar })}`;
        }
        const query = new URLSearchParams(search || "");
        if ((query.get("signal") || "all") === side) return keep;
        return side === "all" ? "/signals" : `/signals?signal=${encodeURIComponent(side)}`;
      },

      // an asset class filters the list
      chooseClass: (name, search, seen) => {
        if (!seen) return window.dash_clientside.no_update;
        const query = new URLSearchParams(search || "");
        if ((query.get("class") || "all") === name) return window.dash_clientside.no_update;
        if (name === "all") query.delete("class");
        else query.set("class", name);
        return `?${query}`;
      },

      // an account of the portfolio is an asset class, an interval and maybe a currency
      chooseAccount: (name, search, known) => {
        const keep = window.dash_clientside.no_update;
        const [kind, interval, currency] = String(name || "").split("/");
        if (!interval) return keep;
        const query = new URLSearchParams(search || "");
        const [first] = known || [];
        const named = [query.get("class"), query.get("interval") || interval, query.get("currency")];
        const shown = query.get("class") ? named.filter(Boolean).join("/") : first?.value;
        if (shown === name) return keep;
        query.set("class", kind);
        query.set("interval", interval);
        if (currency) query.set("currency", currency);
        else query.delete("currency");
        return `?${query}`;
      },

      // a choice in the list or the controls becomes the address, unless the page already shows it
      choose: (rows, symbol, interval, bars, search, shown) => {
        const keep = window.dash_clientside.no_update;
        if (!shown) return keep;
        const next = { ...shown };
        const by = window.dash_clientside.callback_context.triggered_id;
        if (by === "watch") {
          if (!Array.isArray(rows) || !rows.length) return keep;
          next.symbol = rows[0].symbol;
        } else if (by === "symbol-select") next.symbol = symbol;
        else if (by === "interval-select") next.interval = interval;
        else if (by === "bars-select") next.bars = bars;
        if (["symbol", "interval", "bars"].every((name) => !next[name] || next[name] === shown[name])) return keep;
        const query = new URLSearchParams(search || "");
        query.set("symbol", next.symbol);
        if (next.symbol !== shown.symbol || next.interval !== shown.interval) query.delete("bar");
        if (next.symbol !== shown.symbol) query.delete("interval");
        else if (next.interval !== shown.interval) query.set("interval", next.interval);
        if (next.bars !== shown.bars) query.set("bars", next.bars);
        ["from", "to"].forEach((name) => query.delete(name));
        return `?${query}`;
      },
    },
  });
})();
