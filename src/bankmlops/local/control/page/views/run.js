// One pipeline run: its graph with live states, the same as a table, and all that is known of the step that was chosen.

import { element } from "../dom.js";
import { elapsed, isFinal, moment, output, score, short } from "../format.js";
import { drawGraph, noteOf, wordOf } from "../graph.js";
import { chip, heading, lasting, link, pairs, problem, section, table, when } from "../parts.js";
import { nameOf } from "./runs.js";

const isBusy = ({ run }) => !isFinal(run.status);

export default {
  title: (_path, { run }) => `${nameOf(run.run)}: ${run.run.status}`,
  sources: ([id, step]) => {
    const sources = { run: { path: `/page/runs/${encodeURIComponent(id)}`, isBusy } };
    if (step) sources.log = { path: `/page/runs/${encodeURIComponent(id)}/steps/${encodeURIComponent(step)}/log`, isBusy: ({ ended }) => !ended };
    return sources;
  },
  states: ({ run: { run } }) => ({ run: run.status, ...Object.fromEntries(run.steps.map((step) => [`step ${step.name}`, wordOf(step)])) }),
  draw: ({ run: { run, training }, log }, [id, name], { width }) => {
    const step = run.steps.find((each) => each.name === name);
    const choose = (chosen) => { location.hash = address(id, chosen === name ? "" : chosen); };
    return [
      element("p", { class: "trail" }, link("Runs", "runs")),
      heading(nameOf(run), chip(run.status, run.status === "NotStarted" ? "Waiting" : run.status)),
      run.error ? problem(run.error) : null,
      facts(run),
      best(training),
      section("Graph", element("div", { class: "card drawing", "data-scroll": "graph" }, drawGraph(run.steps, { width, selected: name, onSelect: choose }))),
      step ? details(step, training[step.name], log, id) : null,
      section("Steps", steps(run, id, training)),
      Object.keys(run.outputs).length ? section("Outputs", element("div", { class: "card" }, pairs(readable(run.outputs)))) : null,
    ];
  },
};

function readable(outputs) {
  return Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, output(value)]));
}

function address(id, step) {
  return `#/runs/${encodeURIComponent(id)}${step ? `/${encodeURIComponent(step)}` : ""}`;
}

function facts(run) {
  return element("div", { class: "facts" }, pairs({
    Experiment: run.experiment_name,
    Started: when(run.started),
    Took: lasting(run.started, run.ended),
    "Started by": run.run_source,
    Pipeline: run.pipeline_id ? link(short(run.pipeline_id), "pipelines") : "",
    "Resubmitted from": run.resubmitted_from ? link(short(run.resubmitted_from), "runs", run.resubmitted_from) : "",
    ...run.parameters,
    Tags: Object.entries(run.tags).map(([key, value]) => `${key}: ${value}`).join(", "),
    Id: element("code", {}, run.id),
  }));
}

// The best score so far, for as long as something trains; afterwards what won.
function best(training) {
  return Object.values(training).map((trained) => {
    if (!trained) return null;
    const figure = trained.best === null ? "–" : score(trained.best);
    const state = isFinal(trained.status) ? trained.best_algorithm : trained.progress || "training";
    return element("div", { class: "best card" },
      element("div", {}, element("b", {}, figure), element("span", {}, `best ${trained.primary_metric} ${isFinal(trained.status) ? "" : "so far"}`)),
      element("p", {}, state, " ", link("leaderboard", "automl", trained.id)),
      isFinal(trained.status) ? null : element("progress", { max: 1, value: trained.fraction, "aria-label": "Share of the search's budget that is spent" }));
  });
}

function steps(run, id, training) {
  const columns = [
    ["Step", (step) => element("a", { href: address(id, step.name), "data-key": `step ${step.name}` }, step.name)],
    ["Kind", (step) => step.kind || "–"],
    ["State", (step) => chip(step.status, wordOf(step))],
    ["After", (step) => step.depends_on.join(", ") || "–"],
    ["Took", (step) => (step.status === "Running" ? lasting(step.started, null) : noteSeconds(step)), "number"],
    ["Attempts", (step) => (step.attempts ? String(step.attempts) : "–"), "number"],
    ["It says", (step) => saying(step, training[step.name])],
  ];
  const told = columns.filter(([title]) => title !== "Kind" || run.steps.some((step) => step.kind))
    .filter(([title]) => title !== "After" || run.steps.some((step) => step.depends_on.length))
    .filter(([title]) => title !== "Attempts" || run.steps.some((step) => step.attempts > 1));
  return table("Steps of the run", told, run.steps);
}

function noteSeconds(step) {
  return step.seconds ? noteOf({ ...step, status: "Completed", reused_from: "" }) : "–";
}

function saying(step, trained) {
  if (step.error) return step.error;
  if (step.status === "Running") return step.progress || trained?.progress || "at work";
  return step.reason || (step.reused_from ? "reused" : "–");
}

function details(step, trained, log, id) {
  const close = element("a", { class: "close", href: address(id, ""), "data-key": "close" }, "Close");
  return element("section", { class: "card chosen", "aria-label": `Step ${step.name}` },
    element("div", { class: "heading" }, element("h2", {}, step.name), chip(step.status, wordOf(step)), close),
    step.error ? problem(step.error) : null,
    pairs({
      Kind: step.kind,
      "Waits for": step.depends_on.join(", "),
      Started: step.started ? moment(step.started) : "",
      Took: step.status === "Running" ? elapsed(step.started, null) : noteSeconds(step),
      Attempts: step.attempts || "",
      Progress: step.status === "Running" ? step.progress || trained?.progress : "",
      "Reused from": step.reused_from ? link(short(step.reused_from), "runs", step.reused_from) : "",
      [step.status === "NotStarted" ? "Not run" : "Reuse"]: step.reason,
      "AutoML run": step.run_id ? link(short(step.run_id), "automl", step.run_id) : "",
      ...readable(step.outputs),
    }),
    element("h3", {}, "Log"),
    log?.lines.length
      ? element("pre", { class: "log", tabindex: 0, "data-scroll": "log", "data-key": "log", role: "region", "aria-label": `Log of step ${step.name}` }, log.lines.join("\n"))
      : element("p", { class: "soft" }, step.status === "NotStarted" ? "It has not begun." : "It wrote no log."));
}
