// A range of UTC days above what the archive has: drag over the strips, type the days, or press a preset.
const SVG = "http://www.w3.org/2000/svg";
const DAY = 86400000;
const LEFT = 92;
const STRIP = 12;
const MAX_STRIPS = 8;

const toMs = (iso) => Date.parse(`${iso}T00:00:00Z`);
const toIso = (ms) => new Date(ms).toISOString().slice(0, 10);

function svgNode(tag, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}

function render({ model, el }) {
  el.classList.add("cl-part");
  const box = element("div", { class: "cl-range" });
  const row = element("div", { class: "cl-row" });
  const first = element("input", { type: "date", "aria-label": "First day (UTC)" });
  const last = element("input", { type: "date", "aria-label": "Last day (UTC)" });
  const presets = element("span", { class: "cl-row", role: "group", "aria-label": "Presets" });
  const length = element("span", { class: "cl-dim" });
  row.append(element("span", { class: "cl-name" }, "Days"), first, element("span", {}, "to"), last, presets, length);
  const drawing = svgNode("svg", { role: "group", "aria-label": "Coverage and chosen range" });
  const note = element("span", { class: "cl-dim cl-coverage-note", role: "status" });
  box.append(row, drawing, note);
  el.append(box);

  let width = 640;
  let drag = null;
  let drawn = [];
  let ends = [0, DAY];
  const lowest = () => ends[0];
  const highest = () => ends[1];

  // the axis spans what exists and what is chosen, a little more than that, and never nothing
  function span() {
    const months = Object.values(model.get("coverage")).flatMap((byMonth) => Object.keys(byMonth)).sort();
    const [from, to] = model.get("value");
    const earliest = toMs(model.get("earliest"));
    const latest = toMs(model.get("latest")) + DAY;
    if (!months.length) return [earliest, latest];
    const a = Math.min(monthEnds(months[0])[0], from ? toMs(from) : latest);
    const b = Math.max(monthEnds(months[months.length - 1])[1], to ? toMs(to) + DAY : earliest);
    const pad = Math.max(15 * DAY, (b - a) * 0.06);
    return [Math.max(earliest, a - pad), Math.min(latest, b + pad)];
  }
  const x = (ms) => LEFT + ((ms - lowest()) / (highest() - lowest())) * (width - LEFT - 8);
  const at = (px) => {
    const share = (px - LEFT) / (width - LEFT - 8);
    const ms = lowest() + Math.max(0, Math.min(1, share)) * (highest() - lowest());
    return Math.min(highest() - DAY, Math.floor(ms / DAY) * DAY);
  };

  function choose(from, to) {
    save(model, "value", [from, to].sort((m, n) => m - n).map(toIso));
  }

  function strips() {
    const coverage = model.get("coverage");
    const names = Object.keys(coverage);
    if (names.length <= MAX_STRIPS) return names.map((name) => [name, coverage[name]]);
    const sum = {};
    for (const name of names) for (const [month, share] of Object.entries(coverage[name])) sum[month] = (sum[month] || 0) + share;
    const mean = Object.fromEntries(Object.entries(sum).map(([month, total]) => [month, total / names.length]));
    const together = [`${names.length.toLocaleString()} symbols`, mean];
    return [together, ...names.slice(0, MAX_STRIPS - 1).map((name) => [name, coverage[name]])];
  }

  function monthEnds(month) {
    const [year, number] = month.split("-").map(Number);
    return [Date.UTC(year, number - 1, 1), Date.UTC(year, number, 1)];
  }

  function runs(byMonth) {
    const out = [];
    for (const month of Object.keys(byMonth).sort()) {
      const [from, to] = monthEnds(month);
      const shade = byMonth[month] >= 0.995 ? 0.8 : byMonth[month] >= 0.5 ? 0.5 : byMonth[month] > 0 ? 0.28 : 0;
      const before = out[out.length - 1];
      if (before && before.to === from && before.shade === shade) before.to = to;
      else if (shade) out.push({ from, to, shade });
    }
    return out;
  }

  function draw() {
    const [from, to] = model.get("value");
    // writing a value moves the cursor: a half-typed day stays unless the range itself moved
    const wrong = !from && model.get("problem"); // what was typed stays, to be mended
    if (!wrong && first.value !== (from || "") && (document.activeElement !== first || from !== drawn[0])) first.value = from || "";
    if (!wrong && last.value !== (to || "") && (document.activeElement !== last || to !== drawn[1])) last.value = to || "";
    drawn = [from, to];
    for (const input of [first, last]) {
      if (input.min !== model.get("earliest")) input.min = model.get("earliest");
      if (input.max !== model.get("latest")) input.max = model.get("latest");
    }
    const days = from && to ? Math.round((toMs(to) - toMs(from)) / DAY) + 1 : 0;
    length.textContent = wrong ? model.get("problem") : days ? `${days.toLocaleString()} day${days === 1 ? "" : "s"}, both ends in` : "";
    presets.replaceChildren(...model.get("presets").map(([label, a, b]) => {
      const button = element("button", { type: "button", "aria-pressed": String(a === from && b === to), class: "cl-chip" }, label);
      button.addEventListener("click", () => choose(toMs(a), toMs(b)));
      return button;
    }));
    note.textContent = model.get("note");
    width = Math.max(260, el.clientWidth || 640);
    if (drag === null) ends = span();
    const lines = strips();
    const rows = Math.max(1, lines.length);
    const height = rows * (STRIP + 4) + 18;
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.setAttribute("height", height);
    const parts = [];
    const years = [];
    for (let year = new Date(lowest()).getUTCFullYear(); Date.UTC(year, 0, 1) < highest(); year += 1) years.push(year);
    if (years.length > 1 && x(Date.UTC(years[1], 0, 1)) - x(lowest()) < 34) years.shift();
    const names = years.length > 3 ? null : ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const skip = Math.ceil(years.length / Math.max(1, Math.floor((width - LEFT) / 44)));
    years.forEach((year, index) => {
      const px = x(Math.max(lowest(), Date.UTC(year, 0, 1)));
      parts.push(svgNode("line", { x1: px, x2: px, y1: 0, y2: height - 14, stroke: "currentColor", opacity: 0.14 }));
      if (index % skip === 0 && px < width - 30) parts.push(svgNode("text", { x: px + 2, y: height - 4, opacity: 0.75 }, String(year)));
      if (!names) return;
      const step = (width - LEFT) / ((highest() - lowest()) / (30.4 * DAY)) > 34 ? 1 : 3;
      for (let month = step; month < 12; month += step) {
        const mx = x(Date.UTC(year, month, 1));
        if (mx > LEFT && mx < width - 24) parts.push(svgNode("text", { x: mx + 2, y: height - 4, opacity: 0.5 }, names[month]));
      }
    });
    lines.forEach(([name, byMonth], index) => {
      const y = index * (STRIP + 4) + 2;
      const short = name.length > 14 ? `${name.slice(0, 13)}…` : name;
      parts.push(svgNode("text", { x: 0, y: y + STRIP - 2 }, short));
      parts.push(svgNode("line", { x1: LEFT, x2: width - 8, y1: y + STRIP, y2: y + STRIP, stroke: "currentColor", opacity: 0.2 }));
      for (const run of runs(byMonth)) {
        const a = x(Math.max(run.from, lowest()));
        const b = x(Math.min(run.to, highest()));
        if (b > a) parts.push(svgNode("rect", { x: a, y, width: Math.max(0.8, b - a), height: STRIP, fill: "currentColor", opacity: run.shade }));
      }
    });
    if (from && to) {
      const a = x(toMs(from));
      const b = Math.max(a + 2, x(toMs(to) + DAY));
      const tall = height - 16;
      parts.push(svgNode("rect", { x: a, y: 0, width: b - a, height: tall, fill: "var(--cl-accent)", opacity: 0.24, "pointer-events": "none" }));
      parts.push(svgNode("rect", { x: a, y: 0.5, width: b - a, height: tall - 1, fill: "none", stroke: "var(--cl-accent)", "stroke-width": 1.5, "pointer-events": "none" }));
      for (const [end, px, label, iso] of [["first", a, "First day", from], ["last", b, "Last day", to]]) {
        parts.push(svgNode("rect", {
          class: "cl-handle", x: px - 3, y: tall / 2 - 9, width: 6, height: 18, rx: 3, tabindex: 0, role: "slider", "data-end": end,
          "aria-label": `${label}, by arrow keys`, "aria-valuetext": iso, "aria-valuenow": Math.round(toMs(iso) / DAY),
          "aria-valuemin": Math.round(lowest() / DAY), "aria-valuemax": Math.round(highest() / DAY) - 1,
        }));
      }
    }
    const focused = document.activeElement?.dataset?.end;
    drawing.replaceChildren(...parts);
    if (focused) drawing.querySelector(`[data-end="${focused}"]`)?.focus();
  }

  const pixel = (event) => ((event.clientX - drawing.getBoundingClientRect().left) * width) / drawing.getBoundingClientRect().width;

  drawing.addEventListener("pointerdown", (event) => {
    const end = event.target.dataset?.end;
    const [from, to] = model.get("value");
    if (pixel(event) < LEFT - 6) return;
    drag = end === "first" ? toMs(to) : end === "last" ? toMs(from) : at(pixel(event));
    drawing.setPointerCapture(event.pointerId);
    event.preventDefault();
    if (end) event.target.focus();
  });
  drawing.addEventListener("pointermove", (event) => {
    if (drag === null) return;
    const [a, b] = [drag, at(pixel(event))].sort((m, n) => m - n);
    model.set("value", [toIso(a), toIso(b)]);
  });
  const release = () => {
    if (drag === null) return;
    drag = null;
    model.save_changes();
  };
  drawing.addEventListener("pointerup", release);
  drawing.addEventListener("pointercancel", release);
  drawing.addEventListener("keydown", (event) => {
    const end = event.target.dataset?.end;
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 30, PageDown: -30 }[event.key];
    if (!end || !step) return;
    event.preventDefault();
    const [from, to] = model.get("value").map(toMs);
    const clip = (ms, a, b) => Math.max(a, Math.min(b, ms));
    if (end === "first") choose(clip(from + step * DAY, lowest(), to), to);
    else choose(from, clip(to + step * DAY, from, highest() - DAY));
  });

  function typed(event) {
    const a = first.value;
    const b = last.value;
    const whole = a >= "2010-01-01" && b >= "2010-01-01";
    const backwards = whole && a > b;
    const problem = backwards ? "they end before they begin" : whole ? "" : "the range has no first or no last day";
    for (const input of [first, last]) input.setAttribute("aria-invalid", String(problem !== "" && (backwards || !input.value)));
    model.set("problem", problem);
    if (problem && event.type === "change") {
      // what is shown is no range, so the query has none either: nothing can be pulled for other days
      save(model, "value", []);
      length.textContent = problem;
    } else if (!problem && (a !== model.get("value")[0] || b !== model.get("value")[1])) choose(toMs(a), toMs(b));
  }
  // a day that is being typed can pass through a range that ends before it begins
  for (const input of [first, last]) {
    input.addEventListener("change", typed);
    input.addEventListener("blur", (event) => {
      if (event.relatedTarget !== first && event.relatedTarget !== last) typed(event);
    });
  }
  keepKeys(el);
  for (const trait of ["value", "earliest", "latest", "coverage", "presets", "note"]) model.on(`change:${trait}`, draw);
  const observer = new ResizeObserver(() => {
    if (Math.abs((el.clientWidth || 640) - width) > 2) draw();
  });
  observer.observe(el);
  draw();
  return () => observer.disconnect();
}

export default { render };
