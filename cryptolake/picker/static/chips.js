// A row of toggles. Arrow keys move, Space and Enter toggle; one Tab stop for the row.
function render({ model, el }) {
  el.classList.add("cl-part");
  const name = element("span", { class: "cl-name", id: uniqueId() }, model.get("label"));
  const group = element("div", { class: "cl-chips", role: "group", "aria-labelledby": name.id });
  el.append(element("div", { class: "cl-row" }, name, group));

  const chips = () => [...group.children];

  function toggle(value) {
    const options = model.get("options");
    const option = options.find((each) => each.value === value);
    const now = model.get("value");
    if (!option || (!option.enabled && !now.includes(value))) return;
    const next = new Set(now.includes(value) ? now.filter((v) => v !== value) : [...now, value]);
    save(model, "value", options.map((each) => each.value).filter((v) => next.has(v)));
  }

  function draw() {
    const value = model.get("value");
    const options = model.get("options");
    const focused = chips().findIndex((chip) => chip === document.activeElement);
    while (group.children.length > options.length) group.lastChild.remove();
    while (group.children.length < options.length) {
      const chip = element("button", { type: "button", class: "cl-chip" });
      chip.addEventListener("click", () => toggle(chip.dataset.value));
      group.append(chip);
    }
    const stop = focused >= 0 ? focused : Math.max(0, options.findIndex((o) => value.includes(o.value)));
    options.forEach((option, index) => {
      const chip = group.children[index];
      chip.dataset.value = option.value;
      chip.textContent = option.value;
      chip.title = option.why || "";
      chip.setAttribute("aria-pressed", String(value.includes(option.value)));
      chip.setAttribute("aria-disabled", String(!option.enabled && !value.includes(option.value)));
      chip.tabIndex = index === stop ? 0 : -1;
    });
  }

  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = chips();
    const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
    for (const chip of all) chip.tabIndex = chip === next ? 0 : -1;
    next.focus();
  });
  keepKeys(el);
  for (const trait of ["options", "value"]) model.on(`change:${trait}`, draw);
  draw();
}

export default { render };
