// What serves a model, whether it is well, and how fast it answers.

import { element } from "../dom.js";
import { count, milliseconds } from "../format.js";
import { chip, empty, heading, outside, table, when } from "../parts.js";

export default {
  title: () => "Endpoints",
  sources: () => ({ endpoints: { path: "/page/endpoints" } }),
  states: ({ endpoints }) => Object.fromEntries(endpoints.map((each) => [`endpoint ${each.name}`, each.state])),
  draw: ({ endpoints }) => [heading("Endpoints"), list(endpoints)],
};

function list(endpoints) {
  if (!endpoints.length) return empty("Nothing is served yet. A registered model becomes an endpoint:", "bankmlops models register latest --name MODEL\nbankmlops endpoints deploy NAME --model MODEL");
  return [
    table("Endpoints, by name", [
      ["Endpoint", (each) => element("b", {}, each.name)],
      ["State", (each) => chip(each.state)],
      ["Model", (each) => `${each.model_name} ${each.model_version}`],
      ["Requests", (each) => count(each.traffic?.requests), "number"],
      ["Failed", (each) => count(each.traffic?.failed), "number"],
      ["Median", (each) => milliseconds(each.traffic?.p50_ms), "number"],
      ["95%", (each) => milliseconds(each.traffic?.p95_ms), "number"],
      ["Runtime", (each) => element("span", { title: each.runtime_reason || null }, each.runtime)],
      ["Deployed", (each) => when(each.created)],
      ["Try it", (each) => (each.scoring_uri ? outside("Swagger", each.scoring_uri.replace(/\/score$/, "/docs")) : "–")],
    ], endpoints),
    element("p", { class: "soft" }, "Requests and latency are those since the endpoint's process started, as its own metrics count them; latencies are read off their histogram."),
  ];
}
