// A profile: a histogram a column and a page of rows. The kernel counts over all rows; the page holds what it shows.
function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const count = (value) => value.toLocaleString("en");
const rowsOf = (value) => `${count(value)} row${value === 1 ? "" : "s"}`;
const id = () => `cl-${Math.random().toString(36).slice(2)}`;

// The bars of one column. `choose` is given the filter that the chosen bars make, or null for none.
function histogram(column, choose) {
  const words = column.kind === "words";
  const bars = column.bins.map((bin) => {
    const bar = node("div", { role: "option", class: "cl-bar", id: id(), "aria-selected": "false" },
      node("i", { class: "cl-all" }), node("i", { class: "cl-some" }));
    if (words) bar.append(node("span", {}, bin.text), node("b", {}));
    if (!bin.by) bar.setAttribute("aria-disabled", "true");
    return bar;
  });
  const box = node("div", {
    role: "listbox", class: words ? "cl-words" : "cl-bars", tabindex: "0", "aria-multiselectable": "true",
    "aria-orientation": words ? "vertical" : "horizontal",
    "aria-label": `${column.name}: rows by ${words ? "value" : "range"}. Arrow keys move, Enter keeps only these, Escape keeps all.`,
  }, ...bars);
  // What a bar says lies over the column's ends, which keep their place: no column changes its width under the mouse.
  const still = node("div", { class: "cl-ends" });
  const over = node("div", { class: "cl-ends cl-over" });
  const ends = node("div", { class: "cl-below" }, still, over);
  let counts = column.bins.map((bin) => bin.rows);
  let chosen = null;
  let active = 0;
  let anchor = null; // where a range of bars began that is not applied yet

  const told = () => {
    const bin = column.bins[active];
    over.replaceChildren(node("span", {}, bin.text), node("span", {}, rowsOf(counts[active])));
  };
  const rest = () => {
    const kinds = column.distinct === null ? "" : `${count(column.distinct)} value${column.distinct === 1 ? "" : "s"}`;
    over.replaceChildren();
    still.replaceChildren(...(words ? [node("span", {}, kinds)] : [node("span", {}, column.low), node("span", {}, column.high)]));
  };
  const isChosen = (bin) => {
    if (!chosen || !bin.by) return false;
    if (words) return chosen.values.includes(bin.by.value);
    const low = chosen.low === null || bin.by.low >= chosen.low;
    return low && (chosen.high === null || bin.by.high <= chosen.high) && !chosen.values.length;
  };

  function mark() {
    const [from, to] = anchor === null ? [0, -1] : [Math.min(anchor, active), Math.max(anchor, active)];
    bars.forEach((bar, at) => {
      bar.setAttribute("aria-selected", String(isChosen(column.bins[at])));
      bar.classList.toggle("cl-brushed", at >= from && at <= to);
      bar.classList.toggle("cl-active", at === active);
    });
    box.setAttribute("aria-activedescendant", bars[active].id);
  }

  function apply() {
    const [from, to] = anchor === null ? [active, active] : [Math.min(anchor, active), Math.max(anchor, active)];
    anchor = null;
    const [first, last] = [column.bins[from].by, column.bins[to].by];
    if (words) {
      if (!first) return;
      const before = chosen ? chosen.values : [];
      const values = before.includes(first.value) ? before.filter((each) => each !== first.value) : [...before, first.value];
      choose(values.length ? { column: column.name, values } : null);
    } else if (chosen && chosen.low === first.low && chosen.high === last.high) choose(null);
    else choose({ column: column.name, low: first.low, high: last.high });
  }

  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -bars.length, End: bars.length }[event.key];
    if (step) {
      anchor = event.shiftKey && !words ? anchor ?? active : null;
      active = Math.max(0, Math.min(bars.length - 1, active + step));
      if (words) bars[active].scrollIntoView({ block: "nearest", inline: "nearest" });
      told();
      mark();
    } else if (event.key === "Enter" || event.key === " ") apply();
    else if (event.key === "Escape" && (chosen || anchor !== null)) {
      if (anchor === null) choose(null);
      anchor = null;
      mark();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  box.addEventListener("keydown", keys);
  box.addEventListener("focus", () => { if (box.matches(":focus-visible")) told(); });
  box.addEventListener("blur", () => { anchor = null; mark(); rest(); });
  box.addEventListener("pointerleave", () => { if (anchor === null && document.activeElement !== box) rest(); });
  box.addEventListener("pointerdown", (event) => {
    const at = bars.indexOf(event.target.closest?.(".cl-bar"));
    if (at < 0 || event.button) return;
    active = at;
    anchor = words ? null : at;
    if (!words) box.setPointerCapture(event.pointerId);
    mark();
  });
  const under = (event) => {
    if (words) return bars.indexOf(event.target.closest?.(".cl-bar"));
    const edge = box.getBoundingClientRect();
    return Math.max(0, Math.min(bars.length - 1, Math.floor(((event.clientX - edge.left) / edge.width) * bars.length)));
  };
  box.addEventListener("pointermove", (event) => {
    const at = under(event);
    if (at < 0 || (at === active && ends.dataset.at === String(at))) return;
    active = at;
    ends.dataset.at = String(at);
    told();
    mark();
  });
  box.addEventListener("pointerup", (event) => {
    if (event.button || (!words && anchor === null)) return;
    if (words && under(event) < 0) return;
    apply();
    mark();
  });
  box.addEventListener("pointercancel", () => { anchor = null; mark(); });

  function draw(now, filter) {
    counts = now;
    chosen = filter;
    const all = column.bins.map((bin) => bin.rows);
    const some = counts.some((each, at) => each !== all[at]);
    const most = Math.max(1, ...all);
    // Filtered by another column, the bars have a scale of their own: their shape is what one compares.
    const mostNow = filter || !some ? most : Math.max(1, ...counts);
    bars.forEach((bar, at) => {
      const tall = (value, of) => (value ? `${Math.max(2, (value / of) * 100)}%` : "0");
      const side = words ? "width" : "height";
      bar.children[0].style[side] = some ? tall(all[at], most) : "0";
      bar.children[1].style[side] = tall(counts[at], mostNow);
      bar.setAttribute("aria-label", `${column.bins[at].text}: ${rowsOf(counts[at])}`);
      if (words) bar.children[3].textContent = count(counts[at]);
    });
    mark();
    if (document.activeElement !== box) rest();
  }
  return { box, ends, draw };
}

// One line that narrows a column by what is typed.
function filterForm(head, choose) {
  const column = node("select", { "aria-label": "Column to filter" },
    ...head.columns.map((each, at) => node("option", { value: at }, each.name)));
  const low = node("input", { type: "text", "aria-label": "From, this value included", placeholder: "from", spellcheck: "false" });
  const high = node("input", { type: "text", "aria-label": "To, this value included", placeholder: "to", spellcheck: "false" });
  const value = node("input", { type: "text", "aria-label": "Value to keep", placeholder: "value", spellcheck: "false", list: id() });
  const known = node("datalist", { id: value.getAttribute("list") });
  const form = node("form", { class: "cl-filter" }, column, low, high, value, known, node("button", { type: "submit" }, "Filter"));
  const chosen = () => head.columns[Number(column.value)];
  function follow() {
    const words = chosen().kind === "words";
    low.hidden = high.hidden = words;
    value.hidden = !words;
    const time = chosen().kind === "time";
    low.placeholder = time ? "from 2025-01-31 00:00" : "from";
    high.placeholder = time ? "to, a day is whole" : "to";
    known.replaceChildren(...chosen().bins.filter((bin) => bin.by && bin.by.value).map((bin) => node("option", { value: bin.by.value })));
  }
  const typed = (input) => {
    const text = input.value.trim();
    return text === "" ? null : chosen().kind === "number" && text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = chosen().name;
    if (chosen().kind === "words") choose(name, value.value ? { column: name, values: [value.value] } : null);
    else choose(name, low.value || high.value ? { column: name, low: typed(low), high: typed(high), closed: true } : null);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") for (const input of [low, high, value]) input.value = "";
    if (event.key !== "Tab" && !event.ctrlKey && !event.metaKey) event.stopPropagation();
  });
  column.addEventListener("change", () => {
    for (const input of [low, high, value]) input.value = "";
    follow();
  });
  follow();
  return form;
}

function draw(model, el) {
  const head = model.get("head");
  el.style.display = head.columns ? "" : "none";
  if (!head.columns) {
    el.replaceChildren();
    return () => {};
  }
  let view = model.get("first");
  let state = { filters: [], sort: null, page: 0 };
  let asked = Math.floor(Math.random() * 1e9); // the answer to another view's question is none of this one's
  let waiting = false;
  let next = null;

  const status = node("span", { role: "status", class: "cl-status" });
  const chips = node("span", { class: "cl-kept" });
  const body = node("tbody");
  const code = node("code", {});
  const copy = node("button", { type: "button" }, "Copy");
  const before = node("button", { type: "button" }, "Previous");
  const after = node("button", { type: "button" }, "Next");
  const where = node("span", {});
  const columns = head.columns.map((column) => {
    const bars = histogram(column, (filter) => narrow(column.name, filter));
    const button = node("button", { type: "button", class: "cl-sort" }, node("span", {}, column.name), node("i", { "aria-hidden": "true" }));
    const told = [column.unit === "1" ? "ratio" : column.unit || (column.kind === "words" ? "" : column.type), column.scale === "log" ? "log bins" : ""].filter(Boolean).join(", ");
    const nulls = node("button", { type: "button", class: "cl-nulls" }, `${count(column.nulls)} null`);
    nulls.addEventListener("click", () => narrow(column.name, isOf(column.name)?.values?.length ? null : { column: column.name, values: [null] }));
    const meta = node("div", { class: "cl-meta" }, node("span", { title: column.type }, told));
    if (column.nulls && column.kind !== "words") meta.append(nulls);
    const cell = node("th", { scope: "col", class: column.kind === "number" ? "cl-number" : "" }, button, meta, bars.box, bars.ends);
    button.addEventListener("click", () => {
      const now = state.sort && state.sort[0] === column.name ? (state.sort[1] ? "falls" : "rises") : "none";
      ask({ ...state, page: 0, sort: { none: [column.name, false], rises: [column.name, true], falls: null }[now] });
    });
    return { column, bars, button, cell, nulls };
  });
  const rows = node("div", { class: "cl-scroll", tabindex: "0", role: "region", "aria-label": "Rows" },
    node("table", {}, node("thead", {}, node("tr", {}, ...columns.map((each) => each.cell))), body));
  const box = node("div", { class: "cl-profile" },
    node("div", { class: "cl-line" }, node("strong", {}, head.heading), status, node("span", { class: "cl-dim" }, head.alike)),
    node("div", { class: "cl-line" }, filterForm(head, narrow), chips),
    rows,
    node("div", { class: "cl-line cl-foot" }, before, where, after, node("span", { class: "cl-question" }, code, copy)));

  const isOf = (name) => state.filters.find((each) => each.column === name);

  function narrow(name, filter) {
    const others = state.filters.filter((each) => each.column !== name);
    ask({ ...state, page: 0, filters: filter ? [...others, filter] : others });
  }

  // One question at a time: what was asked for meanwhile, the latest of it, is asked when the answer is here.
  function ask(wanted) {
    state = wanted;
    if (waiting) {
      next = wanted;
      return;
    }
    waiting = true;
    asked += 1;
    box.setAttribute("aria-busy", "true");
    model.send({ kind: "view", id: asked, ...wanted });
  }

  function answered(told) {
    if (told.kind !== "view" || told.id !== asked) return;
    waiting = false;
    if (next) {
      const wanted = next;
      next = null;
      ask(wanted);
      return;
    }
    box.removeAttribute("aria-busy");
    if (told.failed) {
      state = { filters: view.filters, sort: view.sort, page: view.page };
      status.textContent = told.failed;
      status.classList.add("cl-bad");
      return;
    }
    view = told;
    state = { filters: told.filters, sort: told.sort, page: told.page };
    show();
  }

  function show() {
    status.classList.remove("cl-bad");
    status.textContent = view.filters.length ? `${count(view.rows)} of them shown` : "";
    columns.forEach((each, at) => {
      const filter = view.filters.find((one) => one.column === each.column.name) ?? null;
      each.bars.draw(view.counts[at], filter);
      each.nulls.setAttribute("aria-pressed", String(Boolean(filter?.values?.length)));
      const sorted = view.sort && view.sort[0] === each.column.name ? (view.sort[1] ? "descending" : "ascending") : "none";
      each.cell.setAttribute("aria-sort", sorted);
      each.button.lastChild.textContent = { none: "", ascending: "▲", descending: "▼" }[sorted];
    });
    chips.replaceChildren(...view.filters.map((filter) => {
      const chip = node("button", { type: "button", "aria-label": `Remove the filter ${filter.label}` }, `${filter.label} ×`);
      chip.addEventListener("click", () => { narrow(filter.column, null); rows.focus({ preventScroll: true }); });
      return chip;
    }));
    body.replaceChildren(...view.cells.map((cells) => node("tr", {}, ...cells.map((cell, at) =>
      node("td", { class: cell === null ? "cl-null" : head.columns[at].kind === "number" ? "cl-number" : "" }, cell ?? "null")))));
    const first = view.page * head.page;
    where.textContent = view.rows ? `rows ${count(first + 1)} to ${count(first + view.cells.length)} of ${count(view.rows)}` : "no row";
    if (view.rows > head.deepest && view.page === view.pages - 1) where.textContent += "; sort or filter to see the others";
    before.setAttribute("aria-disabled", String(view.page === 0));
    after.setAttribute("aria-disabled", String(view.page >= view.pages - 1));
    code.textContent = view.code;
    box.dataset.rows = String(view.rows);
  }

  function turn(by) {
    const page = state.page + by;
    if (page < 0 || page >= view.pages) return;
    ask({ ...state, page });
    rows.scrollTop = 0;
  }
  before.addEventListener("click", () => turn(-1));
  after.addEventListener("click", () => turn(1));
  copy.addEventListener("click", async () => {
    await navigator.clipboard?.writeText(view.code);
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  // The notebook would take keys as its own shortcuts: D twice deletes the cell.
  box.addEventListener("keydown", (event) => {
    if (!["Tab", "Escape"].includes(event.key) && !event.ctrlKey && !event.metaKey) event.stopPropagation();
  });
  el.dataset.lmSuppressShortcuts = "true";
  el.replaceChildren(box);
  model.on("msg:custom", answered);
  show();
  return () => model.off("msg:custom", answered);
}

function render({ model, el }) {
  let end = draw(model, el);
  const again = () => {
    end();
    end = draw(model, el);
  };
  const fade = () => el.classList.toggle("cl-faint", model.get("stale"));
  model.on("change:head", again);
  model.on("change:stale", fade);
  fade();
  return () => {
    model.off("change:stale", fade);
    model.off("change:head", again);
    end();
  };
}

export default { render };
