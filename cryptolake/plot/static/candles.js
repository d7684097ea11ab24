// Candles that ask the kernel for what they show: the page holds one level of detail of a window about the view.
const UP = "#2a9d8f";
const DOWN = "#e76f51";
const LINES = ["#4c8bf5", "#e9a03b", "#c678dd", "#8a8f98"];
const WAIT = 120; // milliseconds without movement before finer bars are asked for

function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const floats = (view) => new Float64Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
const text = (value, digits) => value.toLocaleString("en", { maximumFractionDigits: digits });

// Digits after the point that tell prices of this size apart.
function digitsOf(value) {
  const size = Math.abs(value);
  return size === 0 ? 2 : Math.max(2, Math.min(8, 5 - Math.floor(Math.log10(size))));
}

function time(seconds) {
  return new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ").replace(/:00$/, "");
}

// A page may say its colour in any space (`color(srgb …)`, `oklch(…)`), and the library reads few of them.
function rgb(colour) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  return pen.getImageData(0, 0, 1, 1).data;
}

function render({ model, el }) {
  const lwc = LightweightCharts;
  const names = model.get("names");
  const name = names.length > 1
    ? node("select", { "aria-label": "Symbol" }, ...names.map((each, at) => node("option", { value: at }, each)))
    : node("strong", {}, names[0]);
  const shown = node("span", { class: "cl-chart-dim" });
  const legend = node("span", { class: "cl-chart-legend" });
  const drawn = node("span", { class: "cl-chart-lines" });
  const said = node("span", { role: "status", class: "cl-chart-dim" });
  const plot = node("div", {
    class: "cl-chart-plot", tabindex: "0", role: "application",
    "aria-label": `${model.get("label")}. Arrow keys move, plus and minus zoom, 0 shows all.`,
  });
  const box = node("div", { class: "cl-chart" }, node("div", { class: "cl-chart-head" }, name, shown, drawn, said), legend, plot);
  el.append(box);

  const chart = lwc.createChart(plot, {
    autoSize: true,
    layout: { background: { color: "transparent" }, attributionLogo: true },
    timeScale: { timeVisible: true, secondsVisible: false, minBarSpacing: 0.05, rightOffset: 2 },
    crosshair: { mode: lwc.CrosshairMode.Normal },
    localization: { timeFormatter: (seconds) => `${time(seconds)} UTC` },
  });
  const candles = chart.addSeries(lwc.CandlestickSeries, {
    upColor: UP, downColor: DOWN, wickUpColor: UP, wickDownColor: DOWN, borderVisible: false,
  });
  let volume = null;
  let lines = [];
  let series = 0;
  let asked = 0;
  let loaded = null; // { since, until, first, last }: seconds of the bars here, and of all there are
  let span = null;   // seconds that the view spanned when the bars here were asked for
  let bars = new Map();
  let timer = null;
  let setting = false;
  let kept = null;
  let wanted = null;

  function colours() {
    const [red, green, blue] = rgb(getComputedStyle(box).color);
    const ink = `rgb(${red}, ${green}, ${blue})`;
    const grid = `rgba(${red}, ${green}, ${blue}, 0.12)`;
    chart.applyOptions({
      layout: { textColor: ink, panes: { separatorColor: grid } },
      grid: { vertLines: { color: grid }, horzLines: { color: grid } },
      rightPriceScale: { borderColor: grid },
      timeScale: { borderColor: grid },
    });
  }

  function ask(since, until, view = null) {
    asked += 1;
    kept = view;
    clearTimeout(timer);
    // Until all is here, no move of before asks for a part of it in its place.
    if (!view) setting = true;
    said.textContent = "…";
    model.send({ kind: "view", id: asked, series, since, until });
  }

  function drawLines(told, columns) {
    for (const line of lines) chart.removeSeries(line.series);
    lines = told.map((line, at) => {
      const colour = LINES[at % LINES.length];
      const kind = line.apart ? lwc.HistogramSeries : lwc.LineSeries;
      const pane = line.apart ? (volume ? 2 : 1) : 0;
      const made = chart.addSeries(kind, {
        color: colour, lineWidth: 1, priceLineVisible: false, lastValueVisible: false,
        priceFormat: { type: "price", precision: 4, minMove: 0.0001 },
      }, pane);
      const [times, values] = [floats(columns[2 * at]), floats(columns[2 * at + 1])];
      const points = [];
      times.forEach((when, i) => points.push(Number.isNaN(values[i]) ? { time: when } : { time: when, value: values[i] }));
      made.setData(points);
      return { name: line.name, series: made, mark: node("span", { style: `--line: ${colour}` }, line.name) };
    });
    drawn.replaceChildren(...lines.map((line) => line.mark));
  }

  function draw(told, buffers) {
    const [times, open, high, low, close, traded] = buffers.slice(0, 6).map(floats);
    const digits = digitsOf(close.find((value) => !Number.isNaN(value)) ?? 1);
    const points = [];
    const volumes = [];
    bars = new Map();
    times.forEach((when, i) => {
      const whole = !Number.isNaN(open[i]) && !Number.isNaN(close[i]);
      const bar = { time: when, open: open[i], high: high[i], low: low[i], close: close[i] };
      points.push(whole ? bar : { time: when });
      bars.set(when, whole ? { ...bar, volume: traded[i] } : null);
      if (!Number.isNaN(traded[i])) {
        volumes.push({ time: when, value: traded[i], color: `${close[i] >= open[i] ? UP : DOWN}99` });
      } else volumes.push({ time: when });
    });
    // The view may have moved on since these were asked for: it stays where it is.
    const here = kept ? chart.timeScale().getVisibleRange() ?? kept : null;
    setting = true;
    wanted = null;
    candles.applyOptions({ priceFormat: { type: "price", precision: digits, minMove: 10 ** -digits } });
    candles.setData(points);
    if (volume === null && traded.some((value) => value > 0)) {
      volume = chart.addSeries(lwc.HistogramSeries, { priceFormat: { type: "volume" }, priceLineVisible: false, lastValueVisible: false }, 1);
    }
    if (volume) volume.setData(volumes);
    drawLines(told.lines, buffers.slice(6));
    chart.panes().forEach((pane, at) => pane.setStretchFactor(at === 0 ? 4 : 1));
    loaded = { since: times[0], until: times[times.length - 1], first: told.first, last: told.last, finest: told.finest };
    shown.textContent = told.shown;
    said.textContent = "";
    colours(); // known once the page has the chart
    if (here) chart.timeScale().setVisibleRange(here);
    else chart.timeScale().fitContent();
    const now = chart.timeScale().getVisibleRange();
    span = now ? now.to - now.from : loaded.until - loaded.since; // before its first layout a chart has no range
    requestAnimationFrame(() => requestAnimationFrame(() => { setting = false; moved(); }));
    tell(null);
    box.dataset.bars = String(points.length);
    box.dataset.shown = told.shown;
  }

  // Bars are asked for when the view has another width than these were meant for, or comes near their end.
  function moved() {
    if (setting || !loaded) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      const view = chart.timeScale().getVisibleRange();
      if (!view || span === null) return;
      const wide = Math.max(view.to - view.from, 1);
      const nearStart = view.from - loaded.since < wide * 0.2 && loaded.since > loaded.first;
      const nearEnd = loaded.until - view.to < wide * 0.2 && loaded.until < loaded.last - 1;
      const finer = wide < span * 0.6 && !loaded.finest;
      const coarser = wide > span * 1.8 && (loaded.since > loaded.first || loaded.until < loaded.last - 1);
      if (nearStart || nearEnd || finer || coarser) ask(view.from - wide, view.to + wide, { from: view.from, to: view.to });
    }, WAIT);
  }

  function tell(seconds) {
    const keys = [...bars.keys()];
    const when = seconds ?? keys[keys.length - 1];
    const bar = bars.get(when);
    if (when === undefined) return;
    if (!bar) {
      legend.textContent = `${time(when)} UTC  no bar`;
      return;
    }
    const digits = digitsOf(bar.close);
    const parts = ["open", "high", "low", "close"].map((each) => `${each} ${text(bar[each], digits)}`);
    if (volume) parts.push(`volume ${text(bar.volume, 4)}`);
    for (const line of lines) {
      const at = line.series.data().find((point) => point.time === when);
      if (at && at.value !== undefined) parts.push(`${line.name} ${text(at.value, 6)}`);
    }
    legend.textContent = `${time(when)} UTC  ${parts.join("  ")}`;
  }

  // The library takes a range over with its next frame; a key that comes before goes on from it.
  function show(range) {
    wanted = range;
    chart.timeScale().setVisibleLogicalRange(range);
    requestAnimationFrame(() => requestAnimationFrame(() => { wanted = null; }));
  }

  function keys(event) {
    const scale = chart.timeScale();
    const range = wanted ?? scale.getVisibleLogicalRange();
    if (!range || event.ctrlKey || event.metaKey || event.altKey) return;
    const wide = range.to - range.from;
    const step = { ArrowLeft: -0.1, ArrowRight: 0.1, PageUp: -0.9, PageDown: 0.9 }[event.key];
    const zoom = { "+": 0.7, "=": 0.7, "-": 1 / 0.7, _: 1 / 0.7 }[event.key];
    const middle = (range.from + range.to) / 2;
    if (step) show({ from: range.from + step * wide, to: range.to + step * wide });
    else if (zoom) show({ from: middle - (wide * zoom) / 2, to: middle + (wide * zoom) / 2 });
    else if (event.key === "0" || event.key === "Home") ask(null, null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function answered(told, buffers) {
    if (told.id !== asked) return;
    if (told.kind === "bars") draw(told, buffers);
    else if (told.kind === "failed") {
      setting = false;
      said.textContent = told.text;
    }
  }

  el.dataset.lmSuppressShortcuts = "true";
  plot.addEventListener("keydown", keys);
  if (names.length > 1) name.addEventListener("change", () => { series = Number(name.value); ask(null, null); });
  chart.timeScale().subscribeVisibleTimeRangeChange(moved);
  chart.subscribeCrosshairMove((at) => tell(at.time ?? null));
  model.on("msg:custom", answered);
  const themes = new MutationObserver(colours);
  for (const root of [document.body, document.documentElement]) themes.observe(root, { attributes: true });
  colours();
  ask(null, null);
  return () => {
    clearTimeout(timer);
    themes.disconnect();
    model.off("msg:custom", answered);
    chart.remove();
  };
}

export default { render };
