// What is published, with how each did last.

import { element } from "../dom.js";
import { chip, empty, heading, link, table, when } from "../parts.js";

export default {
  title: () => "Pipelines",
  sources: () => ({ pipelines: { path: "/page/pipelines" }, runs: { path: "/page/runs" } }),
  draw: ({ pipelines, runs }) => [heading("Pipelines"), list(pipelines, runs)],
};

function list(pipelines, runs) {
  if (!pipelines.length) {
    return empty("Nothing is published yet. A published pipeline is an immutable version behind a REST address that a POST triggers:", "bankmlops pipelines publish NAME --dataset DATASET --version 1");
  }
  const newest = new Map([...runs].reverse().map((run) => [run.pipeline_id, run]));
  return table("Published pipelines, newest first", [
    ["Pipeline", (each) => element("span", {}, element("b", {}, each.name), each.description ? element("small", {}, each.description) : null)],
    ["Version", (each) => each.version],
    ["State", (each) => chip(each.status)],
    ["Last run", (each) => last(newest.get(each.id))],
    ["REST address", (each) => element("code", { class: "address" }, each.endpoint)],
  ], pipelines);
}

function last(run) {
  return run ? element("span", { class: "row" }, link(chip(run.status), "runs", run.id), when(run.started)) : "never";
}
