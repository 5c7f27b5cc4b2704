// Files on their way in: how much of each was sent, then what became of it.

import { refreshCollections } from "./collections.js";
import { announce, byId, el, problemNote } from "./dom.js";
import { bytes, number, plural } from "./format.js";
import { call, events, needsKey, Problem, unreachable, why } from "./http.js";
import { askForKey, authorization, key } from "./key.js";

const MOST_FILES = 1000; // of one request, as the service takes them
const DONE = new Set(["added", "replaced", "unchanged"]);

const sent = []; // when one ends: who wants to know
export const onUploaded = (listener) => sent.push(listener);

/** Each file is {file, name}, the name with its folders. */
export async function upload(files, collection) {
  for (let at = 0; at < files.length; at += MOST_FILES) await Batch.of(files.slice(at, at + MOST_FILES), collection);
}

class Batch {
  static async of(files, collection) {
    const batch = new Batch(files, collection);
    byId("uploads").prepend(batch.element);
    try {
      batch.follow(await batch.send());
    } catch (error) {
      batch.failed(error);
    }
  }

  constructor(files, collection) {
    Object.assign(this, { files, collection, results: [] });
    this.title = el("h2", { text: `Sending ${plural(files.length, "file")} to ${collection}` });
    this.rows = files.map(({ file, name }) => new Row(name, file.size));
    const close = el("button", { type: "button", class: "link", onclick: () => this.element.remove(), text: "Dismiss" });
    this.stop = el("button", { type: "button", class: "small-button", onclick: () => this.request?.abort(), text: "Stop sending" });
    this.close = close;
    this.element = el("section", { class: "batch", "aria-label": "Upload" }, el("header", {}, this.title, this.stop), el("ul", { class: "files" }, this.rows.map((row) => row.element)));
  }

  /** The job. XMLHttpRequest, since fetch does not tell how much was sent. */
  async send() {
    for (;;) {
      const used = key();
      const request = await this.sentOnce();
      if (request.status === 202) return JSON.parse(request.responseText).job;
      const problem = new Problem(request.status, body(request));
      if (!needsKey(problem.status)) throw problem;
      if (key() === used && !(await askForKey(why(problem, used)))) throw problem;
    }
  }

  sentOnce() {
    return new Promise((resolve, reject) => {
      const form = new FormData();
      for (const { file, name } of this.files) form.append("files", file, name);
      const request = (this.request = new XMLHttpRequest());
      request.open("POST", `v1/uploads?collection=${encodeURIComponent(this.collection)}`);
      for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
      request.upload.onprogress = ({ loaded, total }) => this.progress(loaded / total);
      request.onload = () => resolve(request);
      request.onerror = () => reject(unreachable());
      request.onabort = () => reject(new Problem(0, { detail: "Stopped. Nothing was added." }));
      request.send(form);
    });
  }

  /** They are sent one after the other, so the share of all tells how much of each. */
  progress(share) {
    const all = this.rows.reduce((sum, row) => sum + row.size, 0);
    let left = share * all;
    for (const row of this.rows) {
      row.sent(row.size ? Math.min(1, Math.max(0, left / row.size)) : Number(left >= 0));
      left -= row.size;
    }
  }

  async follow(job) {
    this.stop.remove();
    this.title.textContent = `Reading ${plural(this.files.length, "file")} into ${this.collection}`;
    this.rows.forEach((row) => row.told("waiting to be read"));
    try {
      for await (const { name, data } of events(await call("GET", `v1/jobs/${job.id}/events`))) {
        if (name === "file") this.result(data);
        else if (name === "progress") this.now(data.job);
        else if (name === "job") this.ended(data.job);
      }
    } catch (error) {
      this.failed(error);
    }
  }

  now(job) {
    const row = this.rows.find((each) => job.now.includes(each.name));
    if (row && !row.result) row.told(job.now.replace(row.name, "").replace(/^[\s:,uploads/]*/, "") || "reading");
  }

  result(result) {
    this.results.push(result);
    const row = this.rows.find((each) => result.name === each.name || result.name.endsWith(`/${each.name}`));
    row?.done(result);
  }

  ended(job) {
    const failed = this.results.filter((each) => !DONE.has(each.status));
    this.title.textContent = job.state === "done"
      ? `${plural(this.results.length - failed.length, "file")} read into ${this.collection}${failed.length ? `, ${number(failed.length)} not` : ""}`
      : `The job ${job.state}${job.error ? `: ${job.error}` : ""}`;
    announce(this.title.textContent);
    this.element.querySelector("header").append(this.close);
    this.element.querySelector(".files").replaceWith(reportTable(this.results));
    refreshCollections().catch(() => {}).then(() => sent.forEach((listener) => listener(this.collection)));
  }

  failed(error) {
    this.stop.remove();
    this.element.querySelector("header").append(this.close);
    this.element.append(problemNote(error));
  }
}

function body(request) {
  try {
    return JSON.parse(request.responseText);
  } catch {
    return {};
  }
}

class Row {
  constructor(name, size) {
    Object.assign(this, { name, size, result: null });
    this.bar = el("progress", { max: "1", value: "0", "aria-label": `Sent of ${name}` });
    this.state = el("span", { class: "muted small", text: bytes(size) });
    this.element = el("li", {}, el("span", { class: "name", text: name }), this.bar, this.state);
  }

  sent(share) {
    this.bar.value = share;
    this.state.textContent = share < 1 ? `${Math.round(100 * share)}% of ${bytes(this.size)}` : "sent";
  }

  told(text) {
    this.bar.value = 1;
    this.state.textContent = text;
  }

  done(result) {
    this.result = result;
    this.told(result.status);
    this.element.classList.add(result.status);
  }
}

/** What became of each file, with the way out where one failed. */
export function reportTable(results) {
  const rows = results.map((each) => el("tr", { class: each.status },
    el("th", { scope: "row", text: each.name.replace(/^uploads\//, "") }),
    el("td", {}, el("span", { class: `state ${each.status}`, text: each.status }), each.reason ? el("p", { class: "small", text: each.reason }) : null, each.hint ? el("p", { class: "muted small", text: each.hint }) : null),
    el("td", { class: "figure", text: each.pages ? number(each.pages) : "–" }),
    el("td", { class: "figure", text: number(each.passages) }),
    el("td", { class: "figure", text: number(each.tokens) })));
  return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Report" }, el("table", { class: "report" },
    el("thead", {}, el("tr", {}, ["File", "Result", "Pages", "Passages", "Tokens"].map((title, index) => el("th", { scope: "col", class: index > 1 ? "figure" : null, text: title })))),
    el("tbody", {}, rows)));
}

/** Of a drop: its files, those in folders with their path. */
export async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, name: file.name }));
  return (await Promise.all(entries.map(walk))).flat();
}

async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); });
    return [{ file, name: entry.fullPath.replace(/^\//, "") }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) { // a folder tells its entries in parts
    const part = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!part.length) break;
    found.push(...part);
  }
  return (await Promise.all(found.map(walk))).flat();
}
