// What a visitor keeps in the browser by name, layouts and watch lists, and the tour of a first visit.
"use strict";

(() => {
  const KINDS = {
    // a layout is the address without the symbol and the moment, and the drawings under its name
    layout: { key: "financelake-layouts", of: (query) => {
      ["symbol", "interval", "bar", "replay", "from", "to"].forEach((name) => query.delete(name));
      return query.toString();
    } },
    list: { key: "financelake-lists", of: (query) => query.get("list") || "" },
  };
  const read = (kind) => { try { return JSON.parse(localStorage.getItem(KINDS[kind].key)) || {}; } catch { return {}; } };
  const write = (kind, all) => localStorage.setItem(KINDS[kind].key, JSON.stringify(all));
  const go = (query) => window.dash_clientside.set_props("url", { search: `?${query}` });

  const opened = (kind, name) => {
    const query = new URLSearchParams(window.location.search), kept = read(kind)[name] ?? "";
    if (kind === "list") {
      kept ? query.set("list", kept) : query.delete("list");
      return go(query);
    }
    const next = new URLSearchParams(kept);
    for (const stays of ["symbol", "interval", "bar"]) if (query.has(stays)) next.set(stays, query.get(stays));
    sessionStorage.setItem("financelake-layout", name);
    window.dash_clientside.set_props("redraw", { data: Date.now() });
    return go(next);
  };

  const button = (words, act, label) => {
    const made = document.createElement("button");
    Object.assign(made, { type: "button", textContent: words, className: "button", onclick: act });
    if (label) made.setAttribute("aria-label", label);
    return made;
  };
  const show = (kind) => {
    const place = document.getElementById(`${kind}-kept`);
    if (!place) return;
    const names = Object.keys(read(kind)).sort();
    const mark = JSON.stringify(names);
    if (place.dataset.shown === mark) return;
    place.dataset.shown = mark;
    place.replaceChildren(...names.map((name) => {
      const line = document.createElement("li");
      line.append(button(name, () => opened(kind, name)),
        button("✕", () => { const all = read(kind); delete all[name]; write(kind, all); show(kind); }, `Delete ${kind} ${name}`));
      return line;
    }));
  };

  const save = (kind) => {
    const field = document.getElementById(`${kind}-name`), name = field?.value.trim().slice(0, 40);
    if (!name) return field?.focus();
    write(kind, { ...read(kind), [name]: KINDS[kind].of(new URLSearchParams(window.location.search)) });
    if (kind === "layout") {
      // the drawings of the layout that is shown go with it
      const drawings = JSON.parse(localStorage.getItem("financelake-drawings") || "{}");
      drawings[name] = drawings[sessionStorage.getItem("financelake-layout") || ""] || {};
      localStorage.setItem("financelake-drawings", JSON.stringify(drawings));
      sessionStorage.setItem("financelake-layout", name);
    }
    return show(kind);
  };

  // -- the tour --------------------------------------------------------------------------------------------------
  const TAKEN = "financelake-tour";
  const taken = () => { localStorage.setItem(TAKEN, "1"); document.getElementById("tour-offer").hidden = true; };
  const turn = (by) => {
    const steps = [...document.querySelectorAll(".tour-step")], now = steps.findIndex((one) => !one.hidden);
    const next = by === 0 ? 0 : Math.min(steps.length - 1, Math.max(0, now + by));
    steps.forEach((one, at) => { one.hidden = at !== next; });
    document.getElementById("tour-back").disabled = next === 0;
    document.getElementById("tour-next").disabled = next === steps.length - 1;
  };
  const ACTS = {
    "tour-begin": () => { turn(0); document.getElementById("tour").showModal(); taken(); },
    "tour-decline": taken,
    "tour-back": () => turn(-1),
    "tour-next": () => turn(1),
    "tour-close": () => document.getElementById("tour").close(),
    "layout-save": () => save("layout"),
    "list-save": () => save("list"),
  };
  document.addEventListener("click", (event) => ACTS[event.target.id]?.());
  const look = () => {
    Object.keys(KINDS).forEach(show);
    const offer = document.getElementById("tour-offer");
    if (offer && !localStorage.getItem(TAKEN)) offer.hidden = false;
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
})();
