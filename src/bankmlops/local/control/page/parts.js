// What the views share: headings, tables that become cards on a phone, states, tiles, and what an empty list says.

import { element } from "./dom.js";
import { ago, elapsed, moment } from "./format.js";

export function chip(status, words = status) {
  return element("span", { class: `chip ${status}` }, words);
}

export function heading(title, ...beside) {
  return element("div", { class: "heading" }, element("h1", { tabindex: -1, id: "title" }, title), ...beside);
}

export function link(words, ...path) {
  return element("a", { href: `#/${path.map(encodeURIComponent).join("/")}`, "data-key": `link ${path.join("/")}` }, words);
}

export function outside(words, url) {
  return element("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, words, element("span", { class: "unseen" }, " (opens in a new tab)"));
}

export function when(iso) {
  if (!iso) return "–";
  return element("time", { datetime: iso, title: moment(iso), "data-ago": iso }, ago(iso));
}

// A duration that goes on while there is no end.
export function lasting(started, ended) {
  const attributes = started && !ended ? { "data-since": started } : {};
  return element("span", attributes, elapsed(started, ended) || "–");
}

// Rows below a caption. A column is [title, cell of a row, "number" where it stands at the right].
export function table(caption, columns, rows, keyOf = () => null) {
  return element(
    "div", { class: "card scrolls" },
    element(
      "table", { role: "table" },
      element("caption", { class: "unseen" }, caption),
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, columns.map(([title, , kind]) => element("th", { scope: "col", role: "columnheader", class: kind }, title)))),
      element("tbody", { role: "rowgroup" }, rows.map((row) => tableRow(columns, row, keyOf(row)))),
    ),
  );
}

function tableRow(columns, row, key) {
  const cells = columns.map(([title, cell, kind], place) => {
    const content = cell(row);
    const style = [kind, content === "–" ? "nothing" : ""].filter(Boolean).join(" ") || null;
    return element(place ? "td" : "th", { role: place ? "cell" : "rowheader", scope: place ? null : "row", class: style, "data-label": title }, element("div", {}, content));
  });
  return element("tr", { role: "row", class: key }, cells);
}

export function pairs(named) {
  const shown = Object.entries(named).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element("dl", { class: "pairs" }, shown.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

export function tiles(named) {
  return element("ul", { class: "tiles" }, named.map(([value, name, path]) =>
    element("li", {}, element("a", { href: `#/${path}`, "data-key": `tile ${path} ${name}` }, element("b", {}, value), element("span", {}, name)))));
}

export function section(title, ...content) {
  return element("section", {}, element("h2", {}, title), ...content);
}

export function empty(words, ...commands) {
  return element("div", { class: "empty" }, element("p", {}, words), commands.map((command) => element("pre", {}, element("code", {}, command))));
}

export function problem(message) {
  return element("p", { class: "problem", role: "note" }, message);
}
