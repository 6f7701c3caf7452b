// Puts the run's HTML, which Python made and escaped, in place of the one before, and says aloud which states changed.

function states(root) {
  return new Map([...root.querySelectorAll("[data-step]")].map((row) => [row.dataset.step, row.dataset.state]));
}

function render({ model, el }) {
  const shown = document.createElement("div");
  const announcer = document.createElement("div");
  announcer.setAttribute("role", "status");
  announcer.style.cssText = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)";
  el.append(shown, announcer);

  function draw() {
    const before = states(shown);
    shown.innerHTML = model.get("html");
    const changed = [...states(shown)].filter(([name, state]) => before.has(name) && before.get(name) !== state);
    if (changed.length) announcer.textContent = changed.map(([name, state]) => `${name}: ${state}`).join(", ");
  }

  model.on("change:html", draw);
  draw();
  return () => model.off("change:html", draw);
}

export default { render };
