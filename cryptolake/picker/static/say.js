// What the picker says: finished HTML (escaped in the kernel), announced to screen readers.
function render({ model, el }) {
  el.classList.add("cl-part", "cl-say");
  const draw = () => {
    el.setAttribute("role", model.get("role"));
    el.setAttribute("aria-live", model.get("role") === "alert" ? "assertive" : "polite");
    el.innerHTML = model.get("html");
  };
  model.on("change:html", draw);
  model.on("change:role", draw);
  draw();
}

export default { render };
