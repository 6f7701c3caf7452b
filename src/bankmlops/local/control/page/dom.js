// Makes elements out of text alone: nothing that a server says is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

// Puts new content in the place of the old without taking the reader's place: focus and what was opened stay.
export function replaceContent(parent, content) {
  const focused = keyOf(document.activeElement);
  const opened = new Set([...parent.querySelectorAll("details[open]")].map(keyOf));
  const scrolled = new Map([...parent.querySelectorAll("[data-scroll]")].map((each) => [each.dataset.scroll, place(each)]));
  parent.replaceChildren(...[content].flat(Infinity).filter(Boolean));
  for (const each of parent.querySelectorAll("details")) if (opened.has(keyOf(each))) each.open = true;
  for (const each of parent.querySelectorAll("[data-scroll]")) putBack(each, scrolled.get(each.dataset.scroll));
  if (focused) parent.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function keyOf(node) {
  return node?.dataset?.key ?? null;
}

function place(node) {
  const atEnd = node.scrollHeight - node.scrollTop - node.clientHeight < 24;
  return { left: node.scrollLeft, top: node.scrollTop, atEnd };
}

// A log that was read at its end stays at its end; one that is new begins there.
function putBack(node, before) {
  node.scrollLeft = before?.left ?? 0;
  if (node.matches("pre")) node.scrollTop = !before || before.atEnd ? node.scrollHeight : before.top;
}
