// When which pipeline runs by itself.

import { element } from "../dom.js";
import { chip, empty, heading, link, table, when } from "../parts.js";

export default {
  title: () => "Schedules",
  sources: () => ({ schedules: { path: "/page/schedules" }, pipelines: { path: "/page/pipelines" } }),
  states: ({ schedules }) => Object.fromEntries(schedules.map((each) => [`schedule ${each.config.name}`, each.status])),
  draw: ({ schedules, pipelines }) => [heading("Schedules"), list(schedules, new Map(pipelines.map((each) => [each.id, each])))],
};

function list(schedules, pipelines) {
  if (!schedules.length) return empty("Nothing is scheduled. A published pipeline can run by the clock, or whenever a dataset has a new version:", "bankmlops schedules create --help");
  return table("Schedules, by name", [
    ["Schedule", ({ config }) => element("span", {}, element("b", {}, config.name), config.description ? element("small", {}, config.description) : null)],
    ["State", (each) => chip(each.status)],
    ["Pipeline", ({ config }) => nameOf(pipelines.get(config.pipeline_id)) || config.pipeline_id],
    ["Runs", ({ config }) => rule(config.when)],
    ["Next", (each) => when(each.next_fire)],
    ["Last", (each) => last(each)],
  ], schedules);
}

function nameOf(pipeline) {
  return pipeline ? `${pipeline.name} ${pipeline.version}` : "";
}

// In words what `ScheduleConfig.when` says: a crontab's line, a recurrence, or a dataset to look out for.
function rule(rule) {
  if (rule.expression) return element("span", {}, element("code", {}, rule.expression), ` (${rule.time_zone})`);
  if (rule.dataset_name) return `on a new version of ${rule.dataset_name}`;
  const unit = rule.frequency.toLowerCase();
  const every = rule.interval === 1 ? `every ${unit}` : `every ${rule.interval} ${unit}s`;
  const days = rule.week_days.length ? ` on ${rule.week_days.join(", ")}` : "";
  const minutes = rule.minutes.length ? rule.minutes : [0];
  const times = rule.hours.flatMap((hour) => minutes.map((minute) => `${hour}:${String(minute).padStart(2, "0")}`));
  return `${every}${days}${times.length ? ` at ${times.join(", ")}` : ""} (${rule.time_zone})`;
}

function last(schedule) {
  if (schedule.last_error) return element("span", {}, when(schedule.last_fire), element("small", {}, schedule.last_error));
  return schedule.last_run_id ? link(when(schedule.last_fire), "runs", schedule.last_run_id) : when(schedule.last_fire);
}
