// Every pipeline run, newest first, below the figures that are read first.

import { chip, empty, heading, lasting, link, section, table, tiles, when } from "../parts.js";
import { element } from "../dom.js";
import { isFinal, plural, short } from "../format.js";

const isBusy = (runs) => runs.some((run) => !isFinal(run.status));

export default {
  title: () => "Runs",
  sources: () => ({
    runs: { path: "/page/runs", isBusy },
    pipelines: { path: "/page/pipelines" },
    endpoints: { path: "/page/endpoints" },
    schedules: { path: "/page/schedules" },
  }),
  states: ({ runs }) => Object.fromEntries(runs.map((run) => [`run ${nameOf(run)} ${short(run.id)}`, run.status])),
  draw: ({ runs, pipelines, endpoints, schedules }) => [heading("Runs"), figures(runs, pipelines, endpoints, schedules), list(runs)],
};

function figures(runs, pipelines, endpoints, schedules) {
  const active = pipelines.filter((each) => each.status === "Active").length;
  const healthy = endpoints.filter((each) => each.state === "Healthy").length;
  const next = schedules.map((each) => each.next_fire).filter(Boolean).sort()[0];
  return tiles([
    [String(runs.filter((run) => !isFinal(run.status)).length), "running now", "runs"],
    [String(active), `published ${active === 1 ? "pipeline" : "pipelines"}`, "pipelines"],
    [endpoints.length ? `${healthy} of ${endpoints.length}` : "0", endpoints.length ? "endpoints healthy" : "endpoints", "endpoints"],
    [next ? when(next) : "–", "next scheduled run", "schedules"],
  ]);
}

function list(runs) {
  if (!runs.length) {
    return empty("No pipeline has run yet. Publish one and trigger it:", "bankmlops pipelines publish NAME --dataset DATASET\nbankmlops pipelines trigger NAME");
  }
  return section("All runs", table("Pipeline runs, newest first", [
    ["Run", (run) => link(nameOf(run), "runs", run.id)],
    ["State", (run) => chip(run.status, run.status === "NotStarted" ? "Waiting" : run.status)],
    ["Steps", (run) => steps(run)],
    ["Started", (run) => when(run.started)],
    ["Took", (run) => lasting(run.started, run.ended), "number"],
    ["By", (run) => run.run_source || "–"],
    ["Id", (run) => element("code", { title: run.id }, short(run.id))],
  ], runs));
}

function steps(run) {
  const done = run.steps.filter((step) => step.status === "Completed").length;
  const dots = run.steps.map((step) => element("i", { class: step.status, title: `${step.name}: ${step.status}` }));
  return element("span", { class: "dots", role: "img", "aria-label": `${done} of ${plural(run.steps.length, "step")} completed` }, dots);
}

export function nameOf(run) {
  return run.name || run.experiment_name || run.id;
}
