// Every AutoML run, newest first.

import { element } from "../dom.js";
import { isFinal, score } from "../format.js";
import { chip, empty, heading, lasting, link, table, when } from "../parts.js";

export default {
  title: () => "AutoML",
  sources: () => ({ runs: { path: "/page/automl", isBusy: (runs) => runs.some((run) => !isFinal(run.status)) } }),
  states: ({ runs }) => Object.fromEntries(runs.map((run) => [`AutoML run ${run.id}`, run.status])),
  draw: ({ runs }) => [heading("AutoML"), list(runs)],
};

function list(runs) {
  if (!runs.length) return empty("Nothing has been trained yet. A search takes a dataset and a budget:", "bankmlops automl run --dataset DATASET --minutes 1");
  return table("AutoML runs, newest first", [
    ["Experiment", (run) => link(run.experiment_name, "automl", run.id)],
    ["State", (run) => chip(run.status)],
    ["Best algorithm", (run) => run.best_algorithm || run.progress || "–"],
    ["Score", (run) => element("span", { title: run.primary_metric }, score(run.metrics[run.primary_metric])), "number"],
    ["Trials", (run) => String(run.trials), "number"],
    ["Started", (run) => when(run.started)],
    ["Took", (run) => lasting(run.started, run.ended), "number"],
  ], runs);
}
