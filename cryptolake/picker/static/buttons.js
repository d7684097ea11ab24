// Buttons in a row, and a text field before them where `field` names one.
function render({ model, el }) {
  el.classList.add("cl-part");
  const row = element("div", { class: "cl-row cl-buttons", role: "group", "aria-label": model.get("label") });
  el.append(row);
  const field = model.get("field") ? element("input", { type: "text", spellcheck: "false" }) : null;
  if (field) {
    field.addEventListener("input", () => save(model, "text", field.value));
    row.append(element("label", {}, `${model.get("field")} `, field));
  }
  const hints = model.get("hints");
  const buttons = model.get("names").map((name, index) => {
    const button = element("button", { type: "button", title: hints[index] || "" }, name);
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-disabled") !== "true") model.send({ kind: "pressed", name });
    });
    row.append(button);
    return button;
  });

  function draw() {
    if (field && field.value !== model.get("text")) field.value = model.get("text");
    const disabled = model.get("disabled");
    // aria-disabled, not disabled: the focus stays on the button while its work runs
    for (const button of buttons) button.setAttribute("aria-disabled", String(disabled.includes(button.textContent)));
  }

  keepKeys(el);
  for (const trait of ["disabled", "text"]) model.on(`change:${trait}`, draw);
  draw();
}

export default { render };
