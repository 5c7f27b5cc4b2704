// The page: its parts begin here, and its address says which of them is shown.

import { current, showConversation, startAsking } from "./ask.js";
import { names, onCollections, refreshCollections } from "./collections.js";
import { byId, el, problemNote } from "./dom.js";
import { showDocuments, startDocuments } from "./documents.js";
import { plural } from "./format.js";
import { refreshHistory } from "./history.js";
import { countJobs, showJobs } from "./jobs.js";
import { needsKey, why } from "./http.js";
import { askForKey, key, keyFromAddress } from "./key.js";
import { closeSource } from "./source.js";
import { startTarget } from "./target.js";

const VIEWS = ["ask", "documents", "jobs"];
const STATUS_MS = 15_000;

function show() {
  if (keyFromAddress()) dispatchEvent(new Event("openbook:key"));
  const [, view = "", id = ""] = location.hash.split("/");
  const name = VIEWS.includes(view) ? view : "ask";
  for (const each of VIEWS) byId(`view-${each}`).hidden = each !== name;
  document.querySelectorAll("[data-view]").forEach((link) => {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  });
  drawer(false);
  if (name === "documents") showDocuments();
  else if (name === "jobs") showJobs();
  else if (view === "c" ? current() !== id : current()) conversation(view === "c" ? id : null);
  if (name !== "ask") { closeSource(); byId(`${name}-sheet`).focus({ preventScroll: true }); }
}

async function conversation(id) {
  try {
    await showConversation(id);
  } catch (error) {
    byId("turns").replaceChildren(problemNote(error));
  }
  refreshHistory();
  if (!id) byId("question").focus();
}

function begin() {
  location.hash = "#/";
  conversation(null);
}

// --- the menu of small screens

function drawer(is) {
  document.body.classList.toggle("with-menu", is);
  byId("menu").setAttribute("aria-expanded", String(is));
  byId("scrim").hidden = !is;
  byId("main").inert = is;
}

// --- light and dark

const CHOICES = { "": "System", light: "Light", dark: "Dark" };

function theme(chosen) {
  if (chosen) {
    document.documentElement.dataset.theme = chosen;
    localStorage.setItem("openbook.theme", chosen);
  } else {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("openbook.theme");
  }
  const button = byId("theme");
  button.querySelector("span").textContent = CHOICES[chosen];
  button.setAttribute("aria-label", `Colours: ${CHOICES[chosen]}. Change`);
}

function nextTheme() {
  const all = Object.keys(CHOICES);
  theme(all[(all.indexOf(document.documentElement.dataset.theme ?? "") + 1) % all.length]);
}

// --- what the service says of itself

async function status() {
  try {
    const told = await refreshCollections();
    byId("model").textContent = told.model;
    byId("model").title = `openbook ${told.version}, ${told.embedder}`;
    countJobs(told.jobs);
  } catch (error) {
    byId("model").textContent = error.message;
    if (needsKey(error.status)) askForKey(why(error, key()));
  }
}

function welcome() {
  const text = byId("welcome-text");
  if (names().length) {
    text.textContent = "Every sentence of an answer leads to the words in the source that support it.";
  } else {
    text.replaceChildren("Nothing has been read yet. ", el("a", { href: "#/documents", text: "Add documents" }), " to begin.");
  }
}

function start() {
  theme(document.documentElement.dataset.theme ?? "");
  startTarget();
  startAsking();
  startDocuments();
  onCollections(welcome);
  byId("theme").addEventListener("click", nextTheme);
  byId("key-button").addEventListener("click", () => askForKey("Another key takes the place of the one in use."));
  byId("menu").addEventListener("click", () => { drawer(true); byId("side").querySelector("button, a").focus(); });
  byId("scrim").addEventListener("click", () => drawer(false));
  byId("skip").addEventListener("click", (event) => { event.preventDefault(); location.hash = "#/"; byId("question").focus(); });
  document.querySelectorAll("[data-act=new]").forEach((button) => button.addEventListener("click", begin));
  addEventListener("hashchange", show);
  addEventListener("openbook:key", () => { status(); refreshHistory(); });
  addEventListener("keydown", escape);
  addEventListener("click", closeOptions);
  show();
  status();
  refreshHistory();
  setInterval(status, STATUS_MS);
}

/** Escape closes what was opened last. */
function escape(event) {
  if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
  const option = document.querySelector(".option[open]");
  if (option) {
    option.open = false;
    option.querySelector("summary").focus();
  } else if (document.body.classList.contains("with-menu")) {
    drawer(false);
    byId("menu").focus();
  } else closeSource();
}

function closeOptions(event) {
  document.querySelectorAll(".option[open]").forEach((option) => {
    if (!option.contains(event.target) && event.target.isConnected) option.open = false;
  });
}

start();
