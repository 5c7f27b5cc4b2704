// Questions: asked, answered as a stream, stopped; and the conversation that they are of.

import { asked, onCollections } from "./collections.js";
import { announce, byId, calm } from "./dom.js";
import { plural } from "./format.js";
import { call, events, getJson, Problem } from "./http.js";
import { refreshHistory } from "./history.js";
import { closeSource } from "./source.js";
import { target } from "./target.js";
import { Turn } from "./turn.js";

let conversation = null; // its id, once a question has been asked
let running = null; // what stops the answer

export function startAsking() {
  const question = byId("question");
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) running.abort();
    else ask(question.value.trim());
  });
  question.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!running) byId("composer").requestSubmit();
  });
  question.addEventListener("input", fit);
  onCollections(() => {
    const names = asked();
    question.placeholder = names.length === 1 ? `Ask ${names[0]} a question` : "Ask a question";
  });
}

/** An empty page, or the turns of a conversation that there was. */
export async function showConversation(id) {
  running?.abort();
  closeSource();
  conversation = id;
  byId("turns").replaceChildren();
  byId("welcome").hidden = Boolean(id);
  if (!id) return;
  const transcript = await getJson(`v1/conversations/${id}`);
  if (conversation !== id) return;
  for (const { turn, answer } of transcript.turns) {
    const made = new Turn(turn.question);
    byId("turns").append(made.element);
    made.answer(answer);
  }
  byId("thread").scrollTop = byId("thread").scrollHeight;
}

export const current = () => conversation;

async function ask(text) {
  const question = byId("question");
  if (!text) return question.focus();
  const turn = new Turn(text);
  byId("welcome").hidden = true;
  byId("turns").append(turn.element);
  question.value = "";
  fit();
  turn.element.scrollIntoView({ block: "start", behavior: calm() ? "auto" : "smooth" });
  const abort = (running = new AbortController());
  asks(true);
  try {
    await answered(turn, text, abort.signal);
  } catch (error) {
    if (error.name === "AbortError") turn.stopped();
    else turn.failed(error, () => { turn.element.remove(); ask(text); });
    announce(error.name === "AbortError" ? "Stopped" : error.message);
  } finally {
    running = null;
    asks(false);
  }
}

async function answered(turn, text, signal) {
  if (!asked().length) throw new Problem(0, { detail: "There is no collection to ask.", hint: "Add documents first: Documents, on the left." });
  const isFirst = conversation === null;
  const id = conversation ?? (await (await call("POST", "v1/conversations", { json: {}, signal })).json()).id;
  const json = { question: text, collection: asked(), stream: true, conversation: id };
  if (target() !== null) json.target_ttft_ms = target();
  const response = await call("POST", "v1/answer", { json, signal });
  conversation = id;
  let done = null;
  for await (const { name, data } of events(response)) {
    if (name === "error") throw new Problem(data.status, data);
    if (name === "waiting") turn.waiting(data);
    else if (name === "reading") turn.reading(data);
    else if (name === "answer") turn.answer((done = data));
    else if (name === "piece") {
      turn.piece(data.text);
      follow();
    }
  }
  if (!done) throw new Problem(0, { detail: "The answer broke off.", hint: "The service may have been stopped. Ask again.", retryable: true });
  announce(done.answerable ? `Answer: ${done.text} ${plural(done.citations.length, "citation")}.` : "The documents do not say.");
  if (isFirst) history.replaceState(null, "", `#/c/${id}`);
  refreshHistory();
}

/** Keeps the end of the answer in sight for who is there already. */
function follow() {
  const thread = byId("thread");
  if (thread.scrollHeight - thread.scrollTop - thread.clientHeight < 160) thread.scrollTop = thread.scrollHeight;
}

function asks(isRunning) {
  const send = byId("send");
  send.querySelector("span").textContent = isRunning ? "Stop" : "Ask";
  send.querySelector("use").setAttribute("href", isRunning ? "#i-stop" : "#i-up");
  send.classList.toggle("stopping", isRunning);
}

function fit() {
  const question = byId("question");
  question.style.height = "auto";
  question.style.height = `${Math.min(question.scrollHeight, 200)}px`;
}
