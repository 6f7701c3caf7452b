// A run's steps as a graph: each in the layer after the last step that it waits for, drawn from left to right, or downwards where
// the window is narrow. Each step is a button; the table beside the graph says the same in words.

import { svg } from "./dom.js";
import { duration, elapsed } from "./format.js";

const HEIGHT = 62;
const WIDEST = 250;
const NARROWEST = 132;
const GAP = { layer: 44, least: 20, step: 16 };
const MARGIN = 6;
const NARROW_WINDOW = 640;
const LETTER = { name: 7.6, note: 6.3 };

// The steps that each step waits for; a run that says nothing of that is a chain.
export function dependencies(steps) {
  const names = new Set(steps.map((step) => step.name));
  const known = new Map(steps.map((step) => [step.name, (step.depends_on ?? []).filter((name) => names.has(name))]));
  if ([...known.values()].some((each) => each.length)) return known;
  return new Map(steps.map((step, place) => [step.name, place ? [steps[place - 1].name] : []]));
}

export function layers(steps) {
  const waits = dependencies(steps);
  const depth = new Map(steps.map((step) => [step.name, 0]));
  for (let round = 0; round < steps.length; round += 1) {
    for (const step of steps) {
      const deepest = Math.max(-1, ...waits.get(step.name).map((name) => depth.get(name)));
      depth.set(step.name, Math.min(deepest + 1, steps.length - 1));
    }
  }
  const found = [];
  for (const step of steps) (found[depth.get(step.name)] ??= []).push(step);
  return ordered(found.filter(Boolean), waits);
}

// Steps stand near those that they wait for, so that fewer lines cross.
function ordered(found, waits) {
  const place = new Map();
  for (const layer of found) {
    const wish = new Map(layer.map((step, own) => [step.name, middle(waits.get(step.name).map((name) => place.get(name) ?? own), own)]));
    layer.sort((one, other) => wish.get(one.name) - wish.get(other.name));
    layer.forEach((step, index) => place.set(step.name, index - (layer.length - 1) / 2));
  }
  return found;
}

function middle(numbers, otherwise) {
  return numbers.length ? numbers.reduce((sum, each) => sum + each, 0) / numbers.length : otherwise;
}

export function drawGraph(steps, { width, selected, onSelect }) {
  const plan = arrange(layers(steps), width);
  const picture = svg("svg", {
    class: "graph", role: "group", "aria-label": "Steps of the run, as a graph",
    width: plan.width, height: plan.height, viewBox: `0 0 ${plan.width} ${plan.height}`,
  });
  const waits = dependencies(steps);
  for (const step of steps) {
    for (const name of waits.get(step.name)) picture.append(edge(plan.boxes.get(name), plan.boxes.get(step.name), step, plan.down));
  }
  for (const step of steps) picture.append(node(step, plan.boxes.get(step.name), step.name === selected, onSelect));
  picture.addEventListener("keydown", (event) => moveFocus(event, picture));
  return picture;
}

function arrange(found, width) {
  const down = width < NARROW_WINDOW;
  const widest = Math.max(1, ...found.map((layer) => layer.length));
  const along = down ? widest : found.length;
  const tight = (width - 2 * MARGIN - NARROWEST * along) / Math.max(1, along - 1);
  const gap = down ? GAP.step : Math.max(GAP.least, Math.min(GAP.layer, Math.floor(tight)));
  const room = (width - 2 * MARGIN - gap * (along - 1)) / along;
  const size = Math.max(NARROWEST, Math.min(down && widest === 1 ? 320 : WIDEST, Math.floor(room)));
  const across = (down ? size : HEIGHT) + GAP.step;
  const span = widest * across - GAP.step;
  const boxes = new Map();
  found.forEach((layer, depth) => {
    const start = MARGIN + (span - (layer.length * across - GAP.step)) / 2;
    layer.forEach((step, index) => {
      const beside = start + index * across;
      const onward = MARGIN + depth * ((down ? HEIGHT : size) + (down ? 30 : gap));
      boxes.set(step.name, { x: down ? beside : onward, y: down ? onward : beside, width: size });
    });
  });
  const ends = [...boxes.values()];
  return {
    down, boxes,
    width: Math.max(...ends.map((box) => box.x + box.width), 0) + MARGIN,
    height: Math.max(...ends.map((box) => box.y + HEIGHT), 0) + MARGIN,
  };
}

function edge(from, to, step, down) {
  const [x1, y1] = down ? [from.x + from.width / 2, from.y + HEIGHT] : [from.x + from.width, from.y + HEIGHT / 2];
  const [x2, y2] = down ? [to.x + to.width / 2, to.y] : [to.x, to.y + HEIGHT / 2];
  const half = down ? (y2 - y1) / 2 : (x2 - x1) / 2;
  const bend = down ? `${x1} ${y1 + half} ${x2} ${y2 - half}` : `${x1 + half} ${y1} ${x2 - half} ${y2}`;
  const state = step.status === "NotStarted" ? "waits" : step.status === "Running" ? "flows" : "";
  return svg("path", { class: `edge ${state}`, d: `M${x1} ${y1} C${bend} ${x2} ${y2}` });
}

function node(step, box, isSelected, onSelect) {
  const note = noteOf(step);
  const letters = (kind) => Math.floor((box.width - 46) / LETTER[kind]);
  const select = () => onSelect(step.name);
  return svg(
    "g",
    {
      class: `node ${step.status}`, transform: `translate(${box.x} ${box.y})`, tabindex: 0, role: "button",
      "aria-pressed": isSelected ? "true" : "false", "aria-label": `${step.name}: ${wordOf(step)}${note ? `, ${note}` : ""}`,
      "data-key": `node ${step.name}`, "data-step": step.name, onclick: select,
      onkeydown: (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        select();
      },
    },
    svg("title", {}, `${step.name}: ${wordOf(step)}`),
    svg("rect", { class: "box", width: box.width, height: HEIGHT, rx: 12 }),
    icon(step.status, step.reused_from),
    svg("text", { class: "name", x: 40, y: 27 }, cut(step.name, letters("name"))),
    svg("text", { class: "note", x: 40, y: 46 }, cut(note || wordOf(step), letters("note"))),
  );
}

// What a step says of itself in a few words: its newest line while it runs, then how long it took.
export function noteOf(step) {
  if (step.status === "Running") return step.progress || elapsed(step.started, null);
  if (step.reused_from) return "reused";
  if (step.status === "Failed") return step.error ? step.error : duration(step.seconds);
  return step.seconds ? duration(step.seconds) : "";
}

export function wordOf(step) {
  if (step.status === "NotStarted" && step.reason) return "not run";
  return { NotStarted: "waiting", Running: "running", Completed: "completed", Failed: "failed", Canceled: "canceled" }[step.status] ?? step.status;
}

const SIGNS = {
  Completed: "M-4.5 .3 -1.4 3.4 4.6-3.2",
  Failed: "M-3.4-3.4 3.4 3.4M3.4-3.4-3.4 3.4",
  Canceled: "M-4 0H4",
  Running: "M-2.2-3.8 4 0-2.2 3.8Z",
};

function icon(status, isReused) {
  const sign = status === "Completed" && isReused ? "M3.6-2.6A4.4 4.4 0 1 0 4.3 1M3.9-5V-2.2H1.1" : SIGNS[status];
  return svg(
    "g", { class: "icon", transform: "translate(22 31)", "aria-hidden": "true" },
    status === "Running" ? svg("circle", { class: "pulse", r: 10 }) : null,
    svg("circle", { class: "disc", r: 10 }),
    sign ? svg("path", { class: "sign", d: sign }) : null,
  );
}

function cut(text, letters) {
  return text.length > letters ? `${text.slice(0, Math.max(1, letters - 1)).trimEnd()}…` : text;
}

function moveFocus(event, picture) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const nodes = [...picture.querySelectorAll(".node")];
  const next = nodes[nodes.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}
