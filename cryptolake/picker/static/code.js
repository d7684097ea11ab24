// The query as code, and a button that copies it.
function render({ model, el }) {
  el.classList.add("cl-part");
  const pre = element("pre", { tabindex: "0", "aria-label": "The selection as code" });
  const button = element("button", { type: "button", class: "cl-copy" });
  const idle = () => (button.textContent = "Copy as code");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(model.get("code"));
    } catch {
      const range = document.createRange();
      range.selectNodeContents(pre);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(idle, 1500);
  });
  const draw = () => (pre.textContent = model.get("code"));
  el.dataset.lmSuppressShortcuts = "true";
  model.on("change:code", draw);
  idle();
  draw();
  el.append(element("div", { class: "cl-code" }, pre, button));
}

export default { render };
