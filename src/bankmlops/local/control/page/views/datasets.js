// The newest version of each dataset.

import { element } from "../dom.js";
import { count, short } from "../format.js";
import { chip, empty, heading, table, when } from "../parts.js";

export default {
  title: () => "Datasets",
  sources: () => ({ datasets: { path: "/page/datasets" } }),
  draw: ({ datasets }) => [heading("Datasets"), list(datasets)],
};

function list(datasets) {
  if (!datasets.length) return empty("No dataset is registered yet. Registering a table makes an immutable version, named by its content:", "bankmlops data register FILE --name NAME --label COLUMN");
  return table("Datasets, by name", [
    ["Dataset", (each) => element("span", { class: "row" }, element("b", {}, each.name), each.synthetic ? chip("Disabled", "synthetic") : null)],
    ["Version", (each) => element("code", {}, each.version)],
    ["Rows", (each) => count(each.rows), "number"],
    ["Columns", (each) => element("span", { title: each.columns.join(", ") }, count(each.columns.length)), "number"],
    ["Label", (each) => each.label_column],
    ["SHA-256", (each) => element("code", { title: each.sha256 }, short(each.sha256))],
    ["Registered", (each) => when(each.created)],
  ], datasets);
}
