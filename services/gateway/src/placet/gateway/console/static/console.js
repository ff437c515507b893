// What every page does: it follows what happens, copies, and tries a model. It works without, by loading anew.
// Words from outside are only ever set as text, or come as HTML that the server made and escaped.
"use strict";

const API = "/console/api/v1";
const policy = window.trustedTypes?.createPolicy("console", { createHTML: (text) => text });
const find = (id) => document.getElementById(id);
const proof = () => document.querySelector("input[name=proof]")?.value || "";

// Live parts: an element with an id and `data-live` is made anew when something happens to what it shows. However much
// happens, once a second at most.

const EVERY = 1000;
let loading = false, again = false;

async function refresh() {
  if (loading) { again = true; return; }
  loading = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (answer.redirected && new URL(answer.url).pathname === "/console/sign-in") { location.reload(); return; }
    if (answer.ok) replaceParts(await answer.text());
  } catch { /* what follows the events says that the platform is away */ }
  setTimeout(() => { loading = false; if (again) { again = false; refresh(); } }, EVERY);
}

// An event may be told of before what the page is made of has heard it: so once more, a while after the last.
function refreshTwice() {
  refresh();
  again = true;
}

function replaceParts(text) {
  const page = new DOMParser().parseFromString(policy ? policy.createHTML(text) : text, "text/html");
  for (const old of document.querySelectorAll("[data-live][id], [data-operation][id]")) {
    const made = page.getElementById(old.id);
    if (!made || made.innerHTML === old.dataset.shown) continue;
    const shown = made.innerHTML;
    if (old.dataset.shown === undefined && shown === old.innerHTML) { old.dataset.shown = shown; continue; }
    if (isInUse(old)) { again = true; continue; }
    const open = new Set(Array.from(old.querySelectorAll("details[open] > summary"), (each) => each.textContent));
    for (const each of made.querySelectorAll("details")) {
      if (open.has(each.querySelector("summary")?.textContent)) each.open = true;
    }
    const focused = old.contains(document.activeElement) ? place(old, document.activeElement) : null;
    old.replaceChildren(...made.childNodes);
    old.dataset.shown = shown;
    for (const name of ["operation", "release", "project", "building", "live"]) {
      if (name in made.dataset) old.dataset[name] = made.dataset[name]; else delete old.dataset[name];
    }
    if (focused) old.querySelectorAll("a, button, summary, input, select, textarea, [tabindex]")[focused.index]?.focus();
  }
  if (!page.getElementById("build")) find("build")?.remove(); // nothing is built: the image was there
  for (const each of document.querySelectorAll("[data-shown-without], [data-hidden-without]")) {
    const { shownWithout, hiddenWithout } = each.dataset;
    each.classList.toggle("hidden", shownWithout ? Boolean(page.getElementById(shownWithout)) : !page.getElementById(hiddenWithout));
  }
  followOperation();
  followBuild();
}

// What is pressed has to be there when it is let go of: a browser makes a click only of both.

let pressed = null;
for (const begins of ["pointerdown", "keydown"]) {
  addEventListener(begins, (event) => { pressed = event.target; }, true);
}
const letGo = () => { setTimeout(() => { pressed = null; }); };
for (const ends of ["pointerup", "pointercancel", "keyup"]) addEventListener(ends, letGo, true);
addEventListener("blur", letGo); // of the window: what ends elsewhere is not told here

// Nobody's form is taken away while he fills it in, and no words that he wrote, nor what he is about to follow.
function isInUse(element) {
  const at = document.activeElement;
  if (pressed instanceof Node && element.contains(pressed)) return true;
  if (Array.from(element.querySelectorAll("textarea")).some((each) => each.value !== each.defaultValue)) return true;
  return element.contains(at) && /^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName);
}

function place(within, element) {
  const all = Array.from(within.querySelectorAll("a, button, summary, input, select, textarea, [tabindex]"));
  return { index: all.indexOf(element) };
}

// Streams of events. A browser goes on by itself where a connection broke, and gives up on an answer that is no stream,
// as while a service starts again: then it is asked anew.

function follow(url, kind, on) {
  let source, wait = 500, ended = false;
  const say = (text) => { find("link-state").textContent = text; };
  let last = "";
  const open = () => {
    source = new EventSource(url(last));
    source.addEventListener(kind, (event) => { wait = 500; last = event.lastEventId || last; on(event); });
    source.onopen = () => { wait = 500; say(""); };
    source.onerror = () => {
      if (ended) return;
      say("The platform does not answer; trying again …");
      if (source.readyState === EventSource.CLOSED) {
        setTimeout(open, wait);
        wait = Math.min(wait * 2, 8000);
      }
    };
  };
  open();
  return () => { ended = true; source.close(); say(""); };
}

// What happens to these projects, or with "models" to any.
function followProjects(projects) {
  const only = projects.size === 1 && !projects.has("models") ? `&project=${encodeURIComponent([...projects][0])}` : "";
  let stop = null, ended = false;
  const begin = () => fetch(`${API}/events?before=9007199254740991&limit=1`).then((answer) => answer.json()).then(({ events }) => {
    if (ended) return;
    const newest = events.length ? events[0].sequence : 0;
    stop = follow((last) => `${API}/events?follow=1&after=${last || newest}${only}`, "event", refreshTwice);
    refresh(); // what happened since the page was made
  }).catch(() => { if (!ended) setTimeout(begin, EVERY); });
  begin();
  return () => { ended = true; stop?.(); };
}

const live = new Set(Array.from(document.querySelectorAll("[data-live]:not(#operation)"), (each) => each.dataset.live));
if (live.size) followProjects(live);

// What no event tells of, such as how far behind a service is, is looked at every so many seconds by who looks at it.

const ticking = document.querySelector("[data-every]");
if (ticking) setInterval(() => { if (!document.hidden) refresh(); }, 1000 * ticking.dataset.every);

// An operation by its own stream, as long as it goes on by itself; that ends where it waits for people or is silent, and
// what goes on then all the same is seen by its project's events.

const followed = {};

function keep(name, what, begin) {
  if (followed[name]?.what === what) return;
  followed[name]?.stop();
  followed[name] = what === undefined ? null : { what, stop: begin(what) };
}

function followOperation() {
  const shown = find("operation");
  if (!shown) return;
  keep("operation", shown.dataset.operation, (id) => {
    const stop = follow(() => `${API}/operations/${encodeURIComponent(id)}/events`, "operation", (event) => {
      const { state, command } = JSON.parse(event.data);
      refresh();
      const ended = ["live", "stopped", "deleted", "awaiting", "quarantined", "refused", "failed", "stalled"];
      if (ended.includes(state) || (command === "build" && state === "certified")) stop();
    });
    return stop;
  });
  keep("live", shown.dataset.live, (project) => followProjects(new Set([project])));
}
followOperation();

// For how long something has been under way, second by second.

function lasting(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}

if (find("operation")) {
  let ahead; // of this machine's clock, the platform's: so many milliseconds
  setInterval(() => {
    for (const each of document.querySelectorAll("time[data-now]")) {
      if (each.dataset.read !== each.dataset.now) { // as the page came: what it says is so now
        each.dataset.read = each.dataset.now;
        ahead = Date.parse(each.dataset.now) - Date.now();
      }
      each.textContent = lasting(Math.max(0, (Date.now() + ahead - Date.parse(each.dateTime)) / 1000));
    }
  }, EVERY);
}

// Logs.

async function readInto(shown, path, signal, lines = null) {
  const answer = await fetch(path, { signal });
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail || `the platform answered ${answer.status}`);
  shown.textContent = "";
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let read = 0;
  for (;;) {
    const { value, done } = await reader.read();
    const isAtEnd = shown.scrollTop + shown.clientHeight >= shown.scrollHeight - 24;
    if (lines) shown.append(...(done ? lines.rest() : lines.of(value))); else if (!done) shown.append(value);
    while (shown.childNodes.length > 2000) shown.firstChild.remove();
    if (isAtEnd) shown.scrollTop = shown.scrollHeight;
    if (done) return read;
    read += value.length;
  }
}

// Lines of a log as people read them, as `console/model_logs.py` has them: only ever as text.

const LONGEST = 1 << 16;
const TONES = { warning: "warn", error: "bad", critical: "bad" };

function logLines() {
  let begun = "";
  return {
    of(text) {
      const parts = (begun + text).split("\n");
      begun = parts.pop();
      if (begun.length > LONGEST) { parts.push(begun); begun = ""; }
      return parts.map(lineOf);
    },
    rest() { const last = begun; begun = ""; return last ? [lineOf(last)] : []; },
  };
}

function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

function lineOf(written) {
  const line = element("div", "");
  const said = ownLine(written);
  if (!said) { line.textContent = written; return line; }
  const { time, level, event, ...more } = said;
  const utc = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d(?:\.\d{1,9})?)(?:\+00:00|Z)$/.exec(time);
  const tone = Object.hasOwn(TONES, level) ? TONES[level] : "soft";
  line.append(element("span", utc ? `${utc[1]} ${utc[2]}` : time, "soft"), " ", element("span", level, `level ${tone}`), ` ${event}`);
  const texts = [];
  for (const [name, value] of Object.entries(more)) {
    if (typeof value === "string" && value.includes("\n")) texts.push([name, value]);
    else line.append(" ", element("span", `${name}=${/^[\w.:/@+%-]+$/.test(value) && typeof value === "string" ? value : JSON.stringify(value)}`, "soft"));
  }
  for (const [name, value] of texts) {
    const text = element("pre", value), details = document.createElement("details");
    text.tabIndex = 0;
    details.append(element("summary", name), text);
    line.append(details);
  }
  return line;
}

function ownLine(written) {
  if (!written.startsWith("{") || written.length > LONGEST) return null;
  try {
    const said = JSON.parse(written);
    return said && ["time", "level", "event"].every((name) => typeof said[name] === "string") ? said : null;
  } catch { return null; }
}

const switched = find("follow");
if (switched) {
  let stop = null;
  const turn = async () => {
    stop?.abort();
    if (!switched.checked) return;
    stop = new AbortController();
    const { signal } = stop;
    for (let wait = 500; !signal.aborted; wait = Math.min(2 * wait, 8000)) {
      try { if (await readInto(find("log"), switched.dataset.follow, signal, find("log").classList.contains("lines") ? logLines() : null)) wait = 500; } catch { /* asked again */ }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  };
  switched.addEventListener("change", turn);
  turn();
}

let following = false;
async function followBuild() {
  const build = find("build-log");
  const under = find("operation");
  if (!build || following || !under.dataset.building) return; // before, there is no log to ask for
  following = true;
  try { await readInto(build, `${build.dataset.log}${under.dataset.operation ? "?follow=1" : ""}`); }
  catch (error) { build.textContent = error.message; following = !under.dataset.operation; }
}
followBuild();

// Copying.

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const text = find(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch { // no clipboard where there is no TLS
    const range = document.createRange();
    range.selectNodeContents(find(button.dataset.copy));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});

// What a model answered. A problem has its words once for people and once more for clients of its protocol.

function answerIn(text, isGood) {
  let said;
  try { said = JSON.parse(text); } catch { return text; }
  if (isGood || typeof said?.detail !== "string") return JSON.stringify(said, null, 2);
  return typeof said.fix === "string" && said.fix ? `${said.detail}\n${said.fix}` : said.detail;
}

// A model's form.

const attempt = find("try");
if (attempt) {
  const fields = find("fields");
  fields?.addEventListener("input", () => {
    const values = Array.from(fields.querySelectorAll("[data-name]"), (each) => [
      each.dataset.name,
      each.type === "checkbox" ? each.checked
        : each.type === "number" ? (each.value === "" ? null : Number(each.value)) : each.value,
    ]);
    const { shape } = fields.dataset;
    const row = shape === "named" ? Object.fromEntries(values)
      : shape === "list" ? values.map((each) => each[1]) : values[0][1];
    let whole = {};
    try { whole = JSON.parse(find("body").value); } catch { /* made anew */ }
    find("body").value = JSON.stringify({ ...whole, inputs: [row] }, null, 2);
  });
  attempt.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = find("answer");
    answer.textContent = "Asked …";
    try {
      const said = await fetch(`/console/api/models/${encodeURIComponent(attempt.dataset.project)}/predict`, {
        method: "POST", body: find("body").value,
        headers: { "Content-Type": "application/json", "X-Placet-Proof": proof() },
      });
      answer.textContent = answerIn(await said.text(), said.ok);
      answer.className = said.ok ? "" : "bad";
    } catch (error) {
      answer.textContent = `The platform does not answer: ${error.message}`;
      answer.className = "bad";
    }
  });
}
