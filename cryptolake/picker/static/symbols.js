// Symbols: filters, type-ahead over thousands of names, and the chosen ones. All of it runs in the page, so
// that no key waits for the kernel.
const ROW = 22;
const MAX_CHOSEN = 60;

// A glob as the kernel reads it: *, ?, [...].
function globToRegExp(glob) {
  let pattern = "";
  for (let i = 0; i < glob.length; i += 1) {
    const sign = glob[i];
    const close = sign === "[" ? glob.indexOf("]", i + 2) : -1;
    if (sign === "*") pattern += ".*";
    else if (sign === "?") pattern += ".";
    else if (close > 0) {
      const body = glob.slice(i + 1, close).replace(/\\/g, "\\\\").replace(/^!/, "^");
      pattern += `[${body}]`;
      i = close;
    } else pattern += sign.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  }
  return new RegExp(`^${pattern}$`);
}

const isGlob = (text) => /[*?[]/.test(text);

function render({ model, el }) {
  el.classList.add("cl-part");
  const id = uniqueId();
  const search = element("input", {
    type: "search", role: "combobox", "aria-label": "Search symbols", "aria-expanded": "true",
    "aria-controls": `${id}-list`, "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false",
    placeholder: "Search, or a pattern such as ETH*", class: "cl-search",
  });
  const quote = element("select", { "aria-label": "Quote asset" });
  const contract = element("select", { "aria-label": "Contract" });
  const listedOn = element("input", { type: "date", "aria-label": "Listed on" });
  const exclude = element("input", { type: "text", "aria-label": "Exclude", placeholder: "*UP*, *DOWN*", class: "cl-narrow" });
  const all = element("button", { type: "button", class: "cl-all" });
  const rule = element("button", { type: "button", class: "cl-rule", title: "Keep the filters as a rule: symbols listed later join" }, "Keep as rule");
  const clear = element("button", { type: "button", class: "cl-clear" }, "Clear");
  const list = element("div", { class: "cl-list", role: "listbox", id: `${id}-list`, "aria-label": "Symbols", "aria-multiselectable": "true", tabindex: "-1" });
  const space = element("div");
  list.append(space);
  const count = element("span", { role: "status", class: "cl-dim cl-count" });
  const chosen = element("div", { class: "cl-chosen", role: "group", "aria-label": "Chosen symbols" });
  const name = element("span", { class: "cl-name" }, "Symbols");
  el.append(
    element("div", { class: "cl-symbols" },
      element("div", { class: "cl-row" }, name, search, all, clear),
      element("div", { class: "cl-row cl-filters" },
        element("label", {}, element("span", { class: "cl-dim" }, "quote"), quote),
        element("label", {}, element("span", { class: "cl-dim" }, "contract"), contract),
        element("label", {}, element("span", { class: "cl-dim" }, "listed on"), listedOn),
        element("label", {}, element("span", { class: "cl-dim" }, "without"), exclude), rule),
      list, count, chosen),
  );

  let rows = [];       // [name, quote, contract]
  let shown = [];      // indices into rows
  let active = 0;
  let chosenSet = new Set();

  function filters() {
    const without = exclude.value.toUpperCase().split(/[\s,]+/).filter(Boolean);
    return { quote: quote.value, contract: contract.value, listed_on: listedOn.value, exclude: without };
  }

  function find() {
    const text = search.value.trim().toUpperCase();
    const by = filters();
    const without = by.exclude.map(globToRegExp);
    const glob = isGlob(text) ? globToRegExp(text) : null;
    const [day, names] = model.get("listed");
    const listed = by.listed_on && day === by.listed_on ? new Set(names) : null;
    const exact = [];
    const first = [];
    const rest = [];
    rows.forEach((row, index) => {
      if (by.quote && row[1] !== by.quote) return;
      if (by.contract && row[2] !== by.contract) return;
      if (listed && !listed.has(row[0])) return;
      if (without.some((pattern) => pattern.test(row[0]))) return;
      if (glob) {
        if (glob.test(row[0])) first.push(index);
        return;
      }
      const at = text ? row[0].indexOf(text) : 0;
      if (row[0] === text) exact.push(index);
      else if (at === 0) first.push(index);
      else if (at > 0) rest.push(index);
    });
    shown = exact.concat(first, rest);
    active = 0;
    list.scrollTop = 0;
    drawList();
    drawCount();
  }

  function drawList() {
    space.style.height = `${shown.length * ROW}px`;
    const from = Math.max(0, Math.floor(list.scrollTop / ROW) - 3);
    const to = Math.min(shown.length, from + Math.ceil(list.clientHeight / ROW || 8) + 6);
    const text = search.value.trim().toUpperCase();
    const drawn = [];
    for (let at = from; at < to; at += 1) {
      const [symbol, quoted, kind] = rows[shown[at]];
      const selected = chosenSet.has(symbol);
      const label = element("span");
      const hit = text && !isGlob(text) ? symbol.indexOf(text) : -1;
      if (hit < 0) label.textContent = symbol;
      else label.append(symbol.slice(0, hit), element("mark", {}, symbol.slice(hit, hit + text.length)), symbol.slice(hit + text.length));
      const option = element("div", { role: "option", class: "cl-option", id: `${id}-${at}`, "aria-selected": String(selected), "aria-setsize": shown.length, "aria-posinset": at + 1 },
        element("span", { "aria-hidden": "true" }, selected ? "✓" : ""), label, element("span", { class: "cl-dim" }, [quoted, kind].filter(Boolean).join(" · ")));
      option.style.top = `${at * ROW}px`;
      option.classList.toggle("cl-active", at === active);
      option.addEventListener("mousedown", (event) => {
        event.preventDefault();
        active = at;
        toggle(symbol);
      });
      drawn.push(option);
    }
    space.replaceChildren(...drawn);
    if (shown.length) search.setAttribute("aria-activedescendant", `${id}-${active}`);
    else search.removeAttribute("aria-activedescendant");
  }

  function drawCount() {
    const busy = model.get("busy");
    const text = search.value.trim();
    const of = `${shown.length.toLocaleString()} of ${rows.length.toLocaleString()} symbols`;
    count.textContent = busy || (rows.length ? (isGlob(text) ? `${of}; Enter keeps the pattern ${text.toUpperCase()}` : of) : model.get("note"));
    all.textContent = `Select all ${shown.length.toLocaleString()}`;
    all.disabled = !shown.length;
    const by = filters();
    rule.disabled = !(by.quote || by.contract || by.listed_on || by.exclude.length);
  }

  function drawChosen() {
    const value = model.get("value");
    const kept = model.get("rule");
    const parts = [];
    const words = Object.entries(kept).filter(([, v]) => v && String(v).length).map(([k, v]) => `${k.replace("_", " ")} ${[].concat(v).join(", ")}`);
    if (words.length) {
      const drop = element("button", { type: "button", "aria-label": "Remove the rule", class: "cl-drop-rule" }, `rule: ${words.join("; ")} ×`);
      drop.addEventListener("click", () => save(model, "rule", {}));
      parts.push(drop);
    }
    for (const symbol of value.slice(0, MAX_CHOSEN)) {
      const drop = element("button", { type: "button", "aria-label": `Remove ${symbol}`, "data-symbol": symbol }, `${symbol} ×`);
      drop.addEventListener("click", () => {
        toggle(symbol);
        search.focus();
      });
      parts.push(drop);
    }
    if (value.length > MAX_CHOSEN) parts.push(element("span", { class: "cl-dim" }, `and ${(value.length - MAX_CHOSEN).toLocaleString()} more`));
    if (!parts.length) parts.push(element("span", { class: "cl-dim" }, "none chosen"));
    chosen.replaceChildren(...parts);
    clear.disabled = !value.length && !words.length;
  }

  function toggle(symbol) {
    const now = model.get("value");
    save(model, "value", chosenSet.has(symbol) ? now.filter((s) => s !== symbol) : [...now, symbol]);
  }

  function fill(select, words) {
    const kept = select.value;
    select.replaceChildren(element("option", { value: "" }, "any"), ...words.map((word) => element("option", { value: word }, word)));
    if (words.includes(kept)) select.value = kept;
  }

  function onRows() {
    rows = model.get("rows");
    const counts = new Map();
    rows.forEach((row) => row[1] && counts.set(row[1], (counts.get(row[1]) || 0) + 1));
    fill(quote, [...counts].sort((a, b) => b[1] - a[1]).map(([word]) => word));
    fill(contract, [...new Set(rows.map((row) => row[2]).filter(Boolean))].sort());
    find();
  }

  function onValue() {
    chosenSet = new Set(model.get("value"));
    drawList();
    drawChosen();
  }

  function move(to) {
    if (!shown.length) return;
    active = Math.max(0, Math.min(shown.length - 1, to));
    const top = active * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    drawList();
  }

  search.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page }[event.key];
    if (step) {
      event.preventDefault();
      move(active + step);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const text = search.value.trim().toUpperCase();
      if (isGlob(text)) {
        if (!chosenSet.has(text)) toggle(text);
        search.value = "";
        find();
      } else if (shown.length) toggle(rows[shown[active]][0]);
      else if (!rows.length && text) {
        toggle(text); // no list to choose from: take the name as typed
        search.value = "";
      }
    } else if (event.key === "Escape" && search.value) {
      event.preventDefault();
      event.stopPropagation();
      search.value = "";
      find();
    } else if (event.key === "Backspace" && !search.value && model.get("value").length) {
      save(model, "value", model.get("value").slice(0, -1));
    }
  });
  search.addEventListener("input", find);
  for (const input of [quote, contract]) input.addEventListener("change", find);
  listedOn.addEventListener("change", () => {
    if (listedOn.value >= "2010-01-01") model.send({ kind: "listed on", day: listedOn.value });
    find();
  });
  exclude.addEventListener("input", find);
  list.addEventListener("scroll", drawList);
  // Many names are kept as what was said of them, so that symbols listed later join.
  function keepRule() {
    const text = search.value.trim().toUpperCase();
    const pattern = text ? [isGlob(text) ? text : `*${text}*`] : [];
    if (!rule.disabled) model.set("rule", filters());
    search.value = "";
    save(model, "value", pattern.length || !rule.disabled ? pattern : ["*"]);
    find();
  }
  all.addEventListener("click", () => {
    if (shown.length > MAX_CHOSEN) {
      keepRule();
      return;
    }
    const now = model.get("value");
    const more = shown.map((index) => rows[index][0]).filter((symbol) => !chosenSet.has(symbol));
    save(model, "value", [...now, ...more]);
  });
  rule.addEventListener("click", () => save(model, "rule", filters()));
  clear.addEventListener("click", () => {
    model.set("rule", {});
    save(model, "value", []);
    search.focus();
  });
  keepKeys(el);
  model.on("change:rows", onRows);
  model.on("change:value", onValue);
  model.on("change:rule", drawChosen);
  model.on("change:busy", drawCount);
  model.on("change:note", drawCount);
  model.on("change:listed", find);
  onRows();
  onValue();
  model.send({ kind: "shown" });
  requestAnimationFrame(drawList);
}

export default { render };
