"use strict";
// Comfort only: without scripts everything is on the page already.

for (const part of document.querySelectorAll("[data-filter]")) {
  const bar = part.querySelector(".filter");
  if (!bar) continue;
  const text = bar.querySelector("input[type=search]");
  const only = bar.querySelector("input[type=checkbox]");
  const told = bar.querySelector("output");
  const rows = Array.from(part.querySelectorAll("tbody tr"), (row) => [row, row.textContent.toLowerCase()]);
  const apply = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [row, content] of rows) {
      const fits = words.every((word) => content.includes(word)) && (!only.checked || row.classList.contains("barring"));
      row.hidden = !fits;
      if (fits) shown += 1;
    }
    told.textContent = `${shown} of ${rows.length}`;
  };
  text.addEventListener("input", apply);
  text.addEventListener("change", apply);
  only.addEventListener("change", apply);
  bar.hidden = false;
}

for (const graph of document.querySelectorAll("[data-graph]")) {
  const svg = graph.querySelector("svg");
  const story = graph.querySelector(".story");
  const whole = svg.viewBox.baseVal;
  const full = { x: 0, y: 0, w: whole.width, h: whole.height };
  let view = { ...full };
  const show = () => svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.w} ${view.h}`);
  const scale = () => svg.getScreenCTM().a;
  const at = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const zoom = (factor, x = view.x + view.w / 2, y = view.y + view.h / 2) => {
    const w = Math.min(Math.max(view.w * factor, full.w / 60, 60), full.w * 2);
    const ratio = w / view.w;
    view = { x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio, w, h: view.h * ratio };
    show();
  };
  const pick = (node) => {
    for (const lit of svg.querySelectorAll(".lit")) lit.classList.remove("lit");
    for (const other of svg.querySelectorAll(".node")) other.setAttribute("aria-pressed", String(other === node));
    svg.classList.toggle("picked", node !== null);
    story.hidden = node === null;
    story.textContent = node === null ? "" : node.dataset.story;
    if (node === null) return;
    for (const id of node.dataset.lit.trim().split(" ")) document.getElementById(id).classList.add("lit");
  };
  const actions = {
    in: () => zoom(1 / 1.4),
    out: () => zoom(1.4),
    fit: () => { view = { ...full }; show(); },
    full: () => zoom(scale()),
  };
  for (const button of graph.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => actions[button.dataset.zoom]());
  }
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const point = at(event);
    zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, point.x, point.y);
  }, { passive: false });
  let last = null;
  let moved = false;
  svg.addEventListener("pointerdown", (event) => {
    last = event.button === 0 ? { x: event.clientX, y: event.clientY } : null;
    moved = false;
  });
  svg.addEventListener("pointermove", (event) => {
    if (last === null) return;
    const dx = event.clientX - last.x;
    const dy = event.clientY - last.y;
    if (!moved && Math.hypot(dx, dy) < 4) return;
    if (!moved) svg.setPointerCapture(event.pointerId);
    moved = true;
    view = { ...view, x: view.x - dx / scale(), y: view.y - dy / scale() };
    last = { x: event.clientX, y: event.clientY };
    show();
  });
  svg.addEventListener("pointerup", () => { last = null; });
  svg.addEventListener("pointercancel", () => { last = null; });
  svg.addEventListener("click", (event) => {
    if (moved) return;
    const node = event.target.closest(".node");
    pick(node !== null && node.getAttribute("aria-pressed") === "true" ? null : node);
  });
  svg.addEventListener("keydown", (event) => {
    if (event.key === "Escape") pick(null);
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    const node = event.target.closest(".node");
    if (node !== null) pick(node);
  });
  graph.classList.add("live");
  graph.querySelector(".tools").hidden = false;
}

let closed = [];
window.addEventListener("beforeprint", () => {
  closed = Array.from(document.querySelectorAll(":not(td) > details:not([open])"));
  for (const details of closed) details.open = true;
});
window.addEventListener("afterprint", () => {
  for (const details of closed) details.open = false;
});
