// Buttons in a row, and a text field before them where there is one to fill in. Notebooks take Enter for
// themselves on their own buttons; here it presses the button.
function render({ model, el }) {
  el.classList.add("cl-part");
  const row = document.createElement("div");
  row.className = "cl-row cl-buttons";
  row.setAttribute("role", "group");
  el.append(row);
  let field = null;

  function draw() {
    row.setAttribute("aria-label", model.get("label"));
    const names = model.get("names");
    const disabled = model.get("disabled");
    const hints = model.get("hints");
    if (model.get("field") && !field) {
      const label = document.createElement("label");
      field = document.createElement("input");
      field.type = "text";
      field.spellcheck = false;
      field.value = model.get("text");
      field.addEventListener("input", () => {
        model.set("text", field.value);
        model.save_changes();
      });
      label.append(`${model.get("field")} `, field);
      row.prepend(label);
    }
    if (field && field.value !== model.get("text")) field.value = model.get("text");
    const buttons = [...row.querySelectorAll("button")];
    names.forEach((name, index) => {
      let button = buttons[index];
      if (!button) {
        button = document.createElement("button");
        button.type = "button";
        button.addEventListener("click", () => {
          if (button.getAttribute("aria-disabled") !== "true") model.send({ kind: "pressed", name: button.textContent });
        });
        row.append(button);
      }
      button.textContent = name;
      button.title = hints[index] || "";
      // aria-disabled, not disabled: focus stays where it is while something runs
      button.setAttribute("aria-disabled", String(disabled.includes(name)));
    });
  }

  el.dataset.lmSuppressShortcuts = "true";
  el.addEventListener("keydown", (event) => {
    if (event.key !== "Tab" && !event.ctrlKey && !event.metaKey) event.stopPropagation();
  });
  for (const trait of ["names", "disabled", "text"]) model.on(`change:${trait}`, draw);
  draw();
}

export default { render };
