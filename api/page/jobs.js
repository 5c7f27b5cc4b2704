// Ingest jobs: what they do, how far they are, ended or done again.

import { byId, el, problemNote } from "./dom.js";
import { ago, nameOf, plural, seconds } from "./format.js";
import { call, getJson } from "./http.js";
import { reportTable } from "./uploads.js";

const EVERY_MS = 1500;
const SHOWN = 30;
const open = new Set(); // jobs of which the files are shown

let timer = null;
let drawn = "";

export async function showJobs() {
  clearTimeout(timer);
  if (byId("view-jobs").hidden) return;
  try {
    const { jobs } = await getJson(`v1/jobs?limit=${SHOWN}`);
    await draw(jobs);
  } catch (error) {
    drawn = "";
    byId("jobs-list").replaceChildren(problemNote(error, el("button", { type: "button", class: "small-button", onclick: showJobs, text: "Try again" })));
    return;
  }
  timer = setTimeout(showJobs, EVERY_MS);
}

/** Anew only where something has changed, so that nobody's focus or reading is lost. */
async function draw(jobs) {
  const state = JSON.stringify([jobs, [...open]]);
  if (state === drawn) return;
  drawn = state;
  const focused = document.activeElement?.id;
  const views = await Promise.all(jobs.map(async (view) => (open.has(view.job.id) ? getJson(`v1/jobs/${view.job.id}`) : view)));
  byId("jobs-list").replaceChildren(jobs.length
    ? el("ul", { class: "jobs" }, views.map(line))
    : el("p", { class: "empty", text: "No jobs yet. Files that are added here, or with openbook ingest --detach, are jobs." }));
  if (focused) byId(focused)?.focus();
}

function line({ job, left_s: left, files }) {
  const isOpen = open.has(job.id);
  const counts = Object.entries(job.counts).map(([status, count]) => `${count} ${status}`).join(", ");
  const { paths, changed } = job.run;
  const what = (changed ?? paths).slice(0, 3).map((path) => nameOf(path)).join(", ") + ((changed ?? paths).length > 3 ? ` and ${(changed ?? paths).length - 3} more` : "");
  const told = [job.run.collection, counts, left ? `about ${seconds(left)} left` : null, ago(job.ended_at || job.started_at || job.created_at)].filter(Boolean).join(" · ");
  return el("li", { class: "job" },
    el("div", { class: "job-head" }, el("span", { class: `state ${job.state}`, text: job.state }), el("b", { class: "name", text: what || "repositories" }), el("span", { class: "grow" }), buttons(job, isOpen)),
    el("p", { class: "muted small", text: told }),
    job.state === "running" ? progress(job) : null,
    job.error ? el("p", { class: "note problem" }, el("span", { text: `${job.error} ${job.hint}` })) : null,
    isOpen ? (files.length ? reportTable(files) : el("p", { class: "muted small", text: "Nothing has been read yet." })) : null);
}

function progress(job) {
  return el("div", { class: "job-now" },
    el("progress", { max: String(job.files ?? 1), value: job.files ? String(job.files_done) : null, "aria-label": `Files done of ${job.run.collection}` }),
    el("span", { class: "muted small", text: `${job.files_done} of ${job.files ?? "?"} ${job.now}` }));
}

function buttons(job, isOpen) {
  const isAtWork = job.state === "queued" || job.state === "running";
  return el("span", { class: "buttons" },
    el("button", { type: "button", class: "small-button", id: `files-${job.id}`, "aria-expanded": String(isOpen), text: "Files", onclick: () => toggle(job.id) }),
    isAtWork
      ? el("button", { type: "button", class: "small-button", id: `end-${job.id}`, text: "Cancel", onclick: () => act(job, "cancel") })
      : el("button", { type: "button", class: "small-button", id: `end-${job.id}`, text: "Retry", onclick: () => act(job, "retry") }));
}

function toggle(id) {
  if (!open.delete(id)) open.add(id);
  showJobs();
}

async function act(job, what) {
  try {
    await call("POST", `v1/jobs/${job.id}/${what}`);
  } catch (error) {
    byId("jobs-list").prepend(problemNote(error));
    return;
  }
  showJobs();
}

/** Beside its name in the menu: how many run or wait. */
export function countJobs(pending) {
  const count = byId("jobs-count");
  count.hidden = !pending.length;
  count.textContent = pending.length ? String(pending.length) : "";
  count.title = plural(pending.length, "job at work", "jobs at work");
}
