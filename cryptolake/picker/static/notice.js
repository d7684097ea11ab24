// HTML from the kernel (escaped there). The element stays and its content changes: only so do screen readers
// announce a live region.
function render({ model, el }) {
  el.classList.add("cl-part", "cl-notice");
  const fade = () => el.classList.toggle("cl-stale", model.get("stale"));
  model.on("change:stale", fade);
  fade();
  keepKeys(el);
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
