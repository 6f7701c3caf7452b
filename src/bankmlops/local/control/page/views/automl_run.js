// One AutoML run: its leaderboard, with the way to the same runs in MLflow.

import { element } from "../dom.js";
import { duration, isFinal, score } from "../format.js";
import { chip, heading, lasting, link, outside, pairs, problem, section, table, when } from "../parts.js";

const METRICS = ["accuracy", "AUC_weighted", "f1_score_weighted", "log_loss"];

export default {
  title: (_path, { found: { run } }) => `${run.experiment_name}: ${run.status}`,
  sources: ([id]) => ({ found: { path: `/page/automl/${encodeURIComponent(id)}`, isBusy: ({ run }) => !isFinal(run.status) } }),
  states: ({ found: { run } }) => ({ "AutoML run": run.status }),
  draw: ({ found: { run, children, links } }) => [
    element("p", { class: "trail" }, link("AutoML", "automl")),
    heading(run.experiment_name, chip(run.status)),
    run.error ? problem(run.error) : null,
    element("div", { class: "facts" }, pairs({
      "Best algorithm": run.best_algorithm,
      [run.primary_metric]: run.best_algorithm ? score(run.metrics[run.primary_metric]) : "",
      Trials: String(run.trials),
      Started: when(run.started),
      Took: lasting(run.started, run.ended),
      Progress: isFinal(run.status) ? "" : run.progress,
      MLflow: mlflow(links),
      Id: element("code", {}, run.id),
    })),
    isFinal(run.status) ? null : element("progress", { max: 1, value: run.fraction, "aria-label": "Share of the budget that is spent" }),
    section("Leaderboard", children.length ? leaderboard(run, children, links) : element("p", { class: "soft" }, "No trial has finished yet.")),
  ],
};

function mlflow(links) {
  if (links.run) return outside("open in MLflow", links.run);
  return links.command ? element("span", {}, element("code", {}, links.command), " opens MLflow's pages") : "";
}

function leaderboard(run, children, links) {
  const ranked = children.map((child, place) => ({ ...child, rank: place + 1 }));
  const metrics = [...new Set([run.primary_metric, ...METRICS])];
  return table(`Trials and ensembles, best ${run.primary_metric} first`, [
    ["Algorithm", (each) => (links.children[each.id] ? outside(each.algorithm, links.children[each.id]) : each.algorithm)],
    ["Rank", (each) => String(each.rank), "number"],
    ...metrics.map((name) => [name, (each) => score(each.metrics[name]), "number"]),
    ["Took", (each) => duration(each.seconds), "number"],
    ["Parameters", (each) => parameters(each)],
  ], ranked, (each) => (each.id === run.best_child_id ? "winner" : ""));
}

function parameters(child) {
  const entries = Object.entries(child.parameters);
  if (!entries.length) return "–";
  return element("details", { "data-key": `parameters ${child.id}` },
    element("summary", { "data-key": `summary ${child.id}` }, `${entries.length} set`, element("span", { class: "unseen" }, ` for ${child.algorithm}, rank ${child.rank}`)), pairs(child.parameters));
}
