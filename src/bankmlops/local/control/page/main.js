// The page's frame: which view the address names, what it reads, and what is told to whoever can't see it change.

import { element, replaceContent } from "./dom.js";
import { ago, elapsed } from "./format.js";
import { follow } from "./live.js";
import { problem } from "./parts.js";
import { openSession, signIn } from "./session.js";
import automl from "./views/automl.js";
import automlRun from "./views/automl_run.js";
import datasets from "./views/datasets.js";
import endpoints from "./views/endpoints.js";
import pipelines from "./views/pipelines.js";
import run from "./views/run.js";
import runs from "./views/runs.js";
import schedules from "./views/schedules.js";

const SECTIONS = [["runs", "Runs"], ["pipelines", "Pipelines"], ["automl", "AutoML"], ["datasets", "Datasets"], ["endpoints", "Endpoints"], ["schedules", "Schedules"]];
const LISTS = { runs, pipelines, automl, datasets, endpoints, schedules };
const DETAILS = { runs: run, automl: automlRun };
const TICK_MILLISECONDS = 1000;

const main = document.getElementById("main");
const connection = document.getElementById("connection");
const announcer = document.getElementById("announcer");
let leave = () => {};
let shown = "";

function route() {
  const [name, ...path] = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded);
  const section = LISTS[name] ? name : "runs";
  const detail = path.length && DETAILS[section];
  return { section, view: detail || LISTS[section], path: detail ? path : [] };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function open() {
  if (location.hash === "#main") return;
  const { section, view, path } = route();
  const place = `${section} ${path[0] ?? ""}`;
  const arrived = shown !== place && shown !== "";
  leave();
  markSection(section);
  leave = show(view, path, arrived);
  shown = place;
}

// Follows what the view reads, and draws it anew with each change.
function show(view, path, arrived) {
  const sources = Object.entries(view.sources(path));
  const data = {};
  let said = null;
  let focusesTitle = arrived;
  let isLeft = false;
  if (arrived || !main.querySelector("#title")) replaceContent(main, element("p", { class: "loading" }, "Loading…"));

  function draw() {
    if (isLeft || sources.some(([name]) => !(name in data))) return;
    document.title = `${view.title(path, data)} – bankmlops`;
    replaceContent(main, view.draw(data, path, { width: room(main), redraw: draw }));
    const states = view.states?.(data) ?? {};
    if (said) announce(said, states);
    said = states;
    if (focusesTitle) main.querySelector("#title")?.focus({ preventScroll: true });
    focusesTitle = false;
  }

  const stops = sources.map(([name, { path: address, isBusy = () => false }]) =>
    follow(address, {
      isBusy,
      onValue: (value) => {
        lost("");
        if (value === undefined) return;
        data[name] = value;
        draw();
      },
      onError: (error) => fail(error, Object.keys(data).length > 0),
    }),
  );
  const onResize = debounced(draw);
  addEventListener("resize", onResize);
  return () => {
    isLeft = true;
    stops.forEach((stop) => stop());
    removeEventListener("resize", onResize);
  };
}

function fail(error, hasData) {
  if (error.status === 401) {
    leave();
    leave = () => {};
    document.title = "Sign in – bankmlops";
    replaceContent(main, signIn(open));
  } else if (error.status === 404 || (error.status && !hasData)) {
    replaceContent(main, [element("h1", { id: "title", tabindex: -1 }, error.status === 404 ? "Not found" : "That did not work"), problem(error.message)]);
  } else {
    lost(error.status ? error.message : "The control server does not answer; trying again. `bankmlops up` starts it.");
  }
}

function lost(words) {
  if (connection.textContent === words) return;
  connection.textContent = words;
  connection.hidden = !words;
  if (words) announcer.textContent = words;
}

// Says which states changed, all in one sentence.
function announce(before, now) {
  const changes = Object.entries(now).filter(([name, state]) => before[name] !== undefined && before[name] !== state);
  if (changes.length) announcer.textContent = changes.map(([name, state]) => `${name}: ${state}`).join(", ");
}

function markSection(current) {
  const list = document.getElementById("sections");
  list.replaceChildren(
    ...SECTIONS.map(([name, words]) =>
      element("li", {}, element("a", { href: `#/${name}`, "aria-current": name === current ? "page" : null, "data-key": `section ${name}` }, words))),
  );
}

function debounced(action) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, 150);
  };
}

function tick() {
  for (const each of document.querySelectorAll("[data-since]")) each.textContent = elapsed(each.dataset.since, null);
  for (const each of document.querySelectorAll("[data-ago]")) each.textContent = ago(each.dataset.ago);
}

addEventListener("hashchange", open);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
setInterval(tick, TICK_MILLISECONDS);
openSession().then(open);

// Pixels that a drawing in a card may take: what is left of the page within its padding and the card's.
function room(page) {
  const { paddingLeft, paddingRight } = getComputedStyle(page);
  return page.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight) - 30;
}
