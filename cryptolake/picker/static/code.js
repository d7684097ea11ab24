// The sentence as code, and a button that copies it.
function render({ model, el }) {
  el.classList.add("cl-part");
  const box = document.createElement("div");
  box.className = "cl-code";
  const pre = document.createElement("pre");
  pre.tabIndex = 0;
  pre.setAttribute("aria-label", "The selection as code");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "cl-copy";
  const idle = () => (button.textContent = "Copy as code");
  button.addEventListener("click", async () => {
    const text = model.get("code");
    try {
      await navigator.clipboard.writeText(text);
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
  box.append(pre, button);
  el.append(box);
}

export default { render };
