// A row of toggles. Arrow keys move, Space and Enter toggle; one Tab stop for the row.
function render({ model, el }) {
  el.classList.add("cl-part");
  const row = document.createElement("div");
  row.className = "cl-row";
  const name = document.createElement("span");
  name.className = "cl-name";
  name.id = `cl-${Math.random().toString(36).slice(2)}`;
  const group = document.createElement("div");
  group.className = "cl-chips";
  group.setAttribute("role", "group");
  group.setAttribute("aria-labelledby", name.id);
  row.append(name, group);
  el.append(row);

  const chips = () => [...group.children];

  function toggle(value) {
    const option = model.get("options").find((each) => each.value === value);
    const now = model.get("value");
    if (!option || (!option.enabled && !now.includes(value))) return;
    const order = model.get("options").map((each) => each.value);
    const next = now.includes(value) ? now.filter((v) => v !== value) : [...now, value];
    next.sort((a, b) => order.indexOf(a) - order.indexOf(b));
    model.set("value", next);
    model.save_changes();
  }

  function draw() {
    name.textContent = model.get("label");
    const value = model.get("value");
    const options = model.get("options");
    const focused = chips().findIndex((chip) => chip === document.activeElement);
    while (group.children.length > options.length) group.lastChild.remove();
    while (group.children.length < options.length) {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.className = "cl-chip";
      chip.addEventListener("click", () => toggle(chip.dataset.value));
      group.append(chip);
    }
    const stop = focused >= 0 ? focused : Math.max(0, options.findIndex((o) => value.includes(o.value)));
    options.forEach((option, index) => {
      const chip = group.children[index];
      chip.dataset.value = option.value;
      chip.textContent = option.label || option.value;
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
    event.stopPropagation();
    const all = chips();
    const at = all.indexOf(document.activeElement);
    const next = all[(at + step + all.length) % all.length];
    all.forEach((chip) => (chip.tabIndex = chip === next ? 0 : -1));
    next.focus();
  });
  keepKeys(el);
  for (const trait of ["label", "options", "value"]) model.on(`change:${trait}`, draw);
  draw();
  return () => model.off("change", draw);
}

// The notebook must not take the keys pressed in here as its own commands.
function keepKeys(el) {
  el.dataset.lmSuppressShortcuts = "true";
  el.addEventListener("keydown", (event) => {
    if (!["Tab", "Escape"].includes(event.key) && !event.ctrlKey && !event.metaKey) event.stopPropagation();
  });
}

export default { render };
