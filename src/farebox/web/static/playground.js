// The Playground: the form makes its call without leaving the page, and the answer is shown as it comes.
// Without this script the form is sent as any other, and the page comes back with the answer.
import { localise } from "./times.js";

const at = (id) => document.getElementById(id);
const form = at("call");
const [run, stop, keys, state, clock] = ["run", "stop", "keys", "state", "clock"].map(at);
const [output, text, raw] = ["output", "text", "raw"].map(at);
const RUN_KEYS = navigator.platform.startsWith("Mac") ? "⌘ + Enter" : "Ctrl + Enter";
const SENT_MAX = 100_000; // characters of what was sent that are shown
const CODE_AFTER_MS = 300;

let under_way = null; // what stops the call
let newest = ""; // the call whose receipt is to be seen

// -- The call

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!under_way) call();
});
run.addEventListener("click", (event) => {
  if (event.detail > 1) event.preventDefault(); // a double click is one click
});
stop.addEventListener("click", () => under_way?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !under_way) form.requestSubmit();
  if (event.key === "Escape") under_way?.abort();
});

async function call() {
  const body = new FormData(form);
  const streams = form.dataset.streams === "true" || body.has(form.dataset.streamControl);
  const began = performance.now();
  const ticking = setInterval(() => (clock.textContent = seconds(began)), 100);
  under_way = new AbortController();
  newest = "";
  begin(streams);
  let answer, id;
  try {
    answer = await fetch(form.action, {
      method: "POST", body, signal: under_way.signal, headers: { accept: "text/event-stream, application/json" },
    });
    newest = id = answer.headers.get("x-request-id");
    if (!answer.ok) throw new Refused(await problem_of(answer));
    await (answer.headers.get("content-type").startsWith("text/event-stream") ? stream(answer.body) : plain(answer));
    tell(answer.headers.has("idempotent-replayed") ? "This is the answer of the call that you stopped waiting for." : `Done in ${seconds(began)}.`);
    another();
    greet();
  } catch (error) {
    failed(error, streams);
  } finally {
    clearInterval(ticking);
    clock.textContent = "";
    end();
  }
  if (id && answer.ok) await receipt(id, body.get("mode"));
}

async function problem_of(answer) {
  const is_ours = answer.headers.get("content-type")?.includes("json");
  return is_ours ? answer.json() : { detail: `The server refused this, with the status ${answer.status}.`, code: "" };
}

class Refused extends Error {
  constructor(problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

function begin(streams) {
  for (const part of [text, raw, at("receipt"), at("problem")]) part.replaceChildren();
  for (const part of [output, at("sent")]) part.hidden = true;
  for (const wrong of form.querySelectorAll(".wrong")) wrong.replaceChildren();
  for (const control of form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
  // Run stays where it is: the second click of a double click must not meet another button there.
  run.setAttribute("aria-disabled", "true");
  stop.textContent = streams ? "Stop" : "Stop waiting";
  [stop.hidden, at("working").hidden] = [false, false];
  keys.textContent = "Esc";
  text.setAttribute("aria-busy", "true");
  output.classList.add("coming");
  tell("The call is under way.");
  at("answer").scrollIntoView({ block: "nearest" });
}

function end() {
  if (document.activeElement === stop) run.focus();
  run.removeAttribute("aria-disabled");
  [stop.hidden, at("working").hidden] = [true, true];
  keys.textContent = RUN_KEYS;
  text.removeAttribute("aria-busy");
  output.classList.remove("coming");
  under_way = null;
}

// -- The answer

async function plain(answer) {
  const sent = await answer.text();
  show(shown(JSON.parse(sent)));
  keep(sent);
}

async function stream(body) {
  let is_first = true;
  for await (const { name, data, sent } of events(body)) {
    keep(sent);
    if (name === "error") throw new Refused(JSON.parse(data));
    if (name) continue;
    const piece = shown(JSON.parse(data));
    show(is_first || form.dataset.text === "true" ? piece : `\n${piece}`);
    is_first = false;
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    const found = (rest + value).split("\n\n");
    rest = found.pop();
    for (const event of found) {
      const fields = Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/s)));
      if (fields.data) yield { name: fields.event ?? "", data: fields.data, sent: `${event}\n\n` };
    }
  }
}

function shown(value) {
  if (form.dataset.text === "true" && typeof value?.text === "string") return value.text;
  return JSON.stringify(value, null, 2);
}

function show(piece) {
  text.append(piece);
  output.hidden = false;
  at("working").hidden = true;
}

function keep(sent) {
  at("sent").hidden = false;
  if (raw.textContent.length < SENT_MAX) raw.append(sent);
}

async function receipt(id, mode) {
  const place = `${new URL(form.action).pathname}/receipts/${id}?mode=${mode}`;
  const answer = await fetch(place, { headers: { accept: "text/html" } });
  if (!answer.ok || id !== newest) return;
  const came = new DOMParser().parseFromString(await answer.text(), "text/html").body;
  localise(came);
  const said = document.createElement("span"); // what is seen below
  said.className = "hidden";
  said.textContent = ` ${came.querySelector("[data-summary]").dataset.summary}`;
  state.append(said);
  at("receipt").replaceChildren(...came.childNodes);
}

function greet() {
  at("before-first")?.remove();
  at("after-first")?.removeAttribute("hidden");
}

// -- What goes wrong

function failed(error, streams) {
  if (error.name === "AbortError") {
    tell(streams ? "Stopped." : "The call continues, and counts. Run it again unchanged to see its answer without another charge.");
  } else if (error instanceof Refused) {
    tell("");
    refused(error.problem);
    another();
  } else {
    tell("");
    problem("The connection broke before the call ended. Look at your calls to see what became of it.", "");
  }
}

function refused({ detail, code, param, error }) {
  problem(detail, code ?? error.code);
  const control = param && control_of(`in-${param.replaceAll(".", "-")}`);
  if (!control) return;
  at(`${control.id}-wrong`).textContent = detail;
  control.setAttribute("aria-invalid", "true");
  (control.matches("fieldset") ? control.querySelector("input, select, textarea") : control).focus();
}

function control_of(id) {
  while (id.includes("-") && !at(`${id}-wrong`)) id = id.slice(0, id.lastIndexOf("-"));
  return at(`${id}-wrong`) && at(id);
}

function problem(detail, code) {
  const [box, inner, sentence] = ["div", "div", "p"].map((name) => document.createElement(name));
  box.className = "flash bad";
  inner.className = "stack tight";
  sentence.append(...with_times(detail));
  inner.append(sentence);
  const way = at("ways").content.querySelector(`[data-code="${CSS.escape(code)}"]`);
  if (way) inner.append(...way.cloneNode(true).children);
  box.append(inner);
  localise(box);
  at("problem").replaceChildren(box);
}

// A sentence, whose instants are shown as the reader's own clock has them.
function with_times(sentence) {
  return sentence.split(/(\d{4}-\d\d-\d\dT[\d:.]+Z)/).map((part, place) => {
    return place % 2 ? Object.assign(document.createElement("time"), { dateTime: part, textContent: part }) : part;
  });
}

// -- Beside the call

function tell(sentence) {
  state.textContent = sentence;
}

function seconds(began) {
  return `${((performance.now() - began) / 1000).toFixed(1)} s`;
}

// What is sent again under the same name is the same call, and is not charged again: so another call has another name.
function another() {
  form.elements.once.value = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

let waiting = 0;
form.addEventListener("input", () => {
  another();
  at("new-key").elements.mode.value = form.elements.mode.value;
  clearTimeout(waiting);
  waiting = setTimeout(code, CODE_AFTER_MS);
});

let codes = 0;
async function code() {
  const mine = ++codes;
  const body = new FormData();
  for (const [name, value] of new FormData(form)) {
    body.append(name, value instanceof File ? new File([], value.name) : value); // its name is all that is shown of it
  }
  const answer = await fetch(`${new URL(form.action).pathname}/code`, { method: "POST", body, headers: { accept: "application/json" } });
  if (!answer.ok) return; // it is half typed
  const found = await answer.json();
  if (mine !== codes) return; // answers may come in another order than they were asked for
  const blocks = document.querySelectorAll(".tabs code");
  found.forEach((one, place) => (blocks[place].textContent = one));
}

keys.textContent = RUN_KEYS;
keys.hidden = !matchMedia("(hover: hover)").matches;
