// What every view uses. anywidget loads one module for each widget, so the kernel puts this text before it.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// The notebook would take keys pressed in a control as its own shortcuts: D twice deletes the cell.
function keepKeys(el) {
  el.dataset.lmSuppressShortcuts = "true";
  el.addEventListener("keydown", (event) => {
    if (!["Tab", "Escape"].includes(event.key) && !event.ctrlKey && !event.metaKey) event.stopPropagation();
  });
}

// Set a trait and send it to the kernel.
function save(model, trait, value) {
  model.set(trait, value);
  model.save_changes();
}

function uniqueId() {
  return `cl-${Math.random().toString(36).slice(2)}`;
}
