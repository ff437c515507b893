// From a folder or a zip to a URL, by the platform's own REST API. Words from outside are only ever set as text.
"use strict";

const find = (id) => document.getElementById(id);
const leftOut = new Set(JSON.parse(document.documentElement.dataset.leftOut));
const ignoreFile = document.documentElement.dataset.ignoreFile;
let token = "";
let source = null;
let busy = false;

// What is shown.

function show(id, is = true) { find(id).classList.toggle("hidden", !is); }

function say(id, text, kind = "") {
  find(id).textContent = text;
  find(id).className = kind;
}

function element(tag, text, className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function reason({ rule, why, fix }) {
  const item = element("li", why);
  if (rule) item.prepend(element("code", rule), ": ");
  if (fix) item.append(element("span", fix, "fix"));
  return item;
}

function list(id, summary, items) {
  show(id, items.length > 0);
  find(id).querySelector("summary").textContent = summary;
  find(id).querySelector("ul").replaceChildren(...items);
}

const plural = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

function inBytes(size) {
  const units = ["bytes", "kB", "MB", "GB"];
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) { size /= 1000; unit += 1; }
  return `${unit ? size.toFixed(1) : size} ${units[unit]}`;
}

function working(is) {
  busy = is;
  find("choose").disabled = is || !token;
  find("deploy").disabled = is || !source;
}

// What is asked.

class Problem extends Error {
  constructor(said, status) {
    super(said.detail || said.title || `the platform answered ${status}`);
    this.status = status;
    this.fix = said.fix || "";
    this.refusals = said.refusals || [];
  }
  get words() { return this.fix ? `${this.message}; ${this.fix}` : this.message; }
}

const words = (error) => error instanceof Problem ? error.words : `${error.message || error}; is the platform there?`;

function parsed(text) {
  try { return JSON.parse(text); } catch { return {}; }
}

async function ask(path, options = {}) {
  const headers = { Authorization: `Bearer ${token}`, ...options.headers };
  const answer = await fetch(path, { ...options, headers, credentials: "omit", cache: "no-store" });
  if (!answer.ok) throw new Problem(parsed(await answer.text()), answer.status);
  return answer;
}

// fetch() does not tell how much was sent.
function send(path, body, type) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    if (type) request.setRequestHeader("Content-Type", type);
    request.upload.onprogress = (at) => {
      if (at.lengthComputable) find("sending").value = at.loaded / at.total;
      if (at.loaded === at.total) say("chosen", "Sent. The rules look at it …");
    };
    request.onload = () => {
      const said = parsed(request.responseText);
      if (request.status === 200 || request.status === 201) resolve(said);
      else reject(new Problem(said, request.status));
    };
    request.onerror = () => reject(new Error("the connection broke while sending"));
    request.send(body);
  });
}

// The token.

find("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  token = find("token").value.trim();
  try {
    const me = await (await ask("v1/me")).json();
    if (!me.commands.includes("deploy")) {
      throw new Problem({ detail: `the roles of this token (${me.roles.join(", ")}) may not deploy` }, 403);
    }
    say("me", `You are ${me.name || me.person}.`, "good");
    find("token").value = "";
    working(false);
    find("pick-folder").focus();
  } catch (error) {
    token = "";
    working(false);
    say("me", words(error), "bad");
    find("token").focus();
  }
});

// The folder: each file with its path, as the browser tells it.

find("pick-folder").addEventListener("click", () => find("folder").click());
find("pick-archive").addEventListener("click", () => find("archive").click());
find("folder").addEventListener("change", (event) => {
  const files = Array.from(event.target.files, (file) => ({ file, path: file.webkitRelativePath || file.name }));
  event.target.value = "";
  if (files.length) sendFiles(files);
});
find("archive").addEventListener("change", (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (file) sendArchive(file);
});

const drop = find("drop");
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  // Everywhere: a file that misses its place must not replace the page.
  document.addEventListener(name, (event) => event.preventDefault());
  drop.addEventListener(name, () => drop.classList.toggle("over", name === "dragenter" || name === "dragover"));
}
drop.addEventListener("drop", async (event) => {
  if (find("choose").disabled) {
    if (!token) say("chosen", "First say who you are: type your token in above.", "warn");
    return;
  }
  const entries = Array.from(event.dataTransfer.items, (item) => item.webkitGetAsEntry()).filter(Boolean);
  if (entries.length !== 1) {
    say("chosen", "Drop one folder, or one zip or tar.", "warn");
    return;
  }
  working(true);
  try {
    const [entry] = entries;
    if (entry.isFile) await sendArchive(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    else await sendFiles(await filesBelow(entry));
  } catch (error) {
    say("chosen", words(error), "bad");
  }
  working(false);
});

async function filesBelow(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, path: entry.fullPath.replace(/^\//, "") }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) { // it gives a hundred at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const each of some) found.push(...await filesBelow(each));
  }
}

// What packing ignores in any case is not even sent, unless the folder's own file may bring it back.
async function worthSending(files) {
  const own = files.find(({ path }) => path.split("/").slice(1).join("/") === ignoreFile);
  if (own && /^\s*!/m.test(await own.file.text())) return files;
  return files.filter(({ path }) => !path.split("/").slice(1, -1).some((folder) => leftOut.has(folder)));
}

async function sendFiles(files) {
  const sent = await worthSending(files);
  const size = sent.reduce((sum, { file }) => sum + file.size, 0);
  const form = new FormData();
  for (const { file, path } of sent) form.append("file", file, path);
  const name = files[0].path.split("/")[0];
  await take(`v1/sources`, form, "", `${name}: ${plural(sent.length, "file")}, ${inBytes(size)}`);
}

async function sendArchive(file) {
  const name = file.name.replace(/\.(zip|tar|tgz|gz)$/i, "").replace(/\.tar$/i, "");
  const path = `v1/sources?name=${encodeURIComponent(name.slice(0, 200) || "upload")}`;
  await take(path, file, file.type || "application/octet-stream", `${file.name}: ${inBytes(file.size)}`);
}

async function take(path, body, type, told) {
  source = null;
  working(true);
  show("found", false);
  show("going", false);
  find("sending").value = 0;
  show("sending");
  say("chosen", `Sending ${told} …`);
  try {
    const taken = await send(path, body, type);
    say("chosen", told);
    tell(taken);
  } catch (error) {
    if (error instanceof Problem && error.refusals.length) {
      say("chosen", told);
      tellMistakes(error.refusals);
    } else {
      say("chosen", words(error), "bad");
    }
  }
  show("sending", false);
  working(false);
}

// The findings.

function tell(taken) {
  const { refusals, warnings, verdicts, ignored } = taken;
  const passed = verdicts.filter(({ result }) => result === "pass").length;
  const refused = refusals.length > 0;
  source = refused ? null : taken;
  say("verdict", refused
    ? `${taken.project} would be refused: ${plural(refusals.length, "rule")} of ${verdicts.length} say no.`
    : `${taken.project} would be cleared: ${passed} of ${verdicts.length} rules pass.`, refused ? "notice bad" : "notice good");
  if (taken.trial) find("verdict").append(" It has no placet.yaml, so it is a trial, for some days.");
  find("refusals").replaceChildren(...refusals.map(reason));
  list("warned", `${plural(warnings.length, "warning")}, which refuse nothing`, warnings.map(reason));
  const names = ignored.map((name) => element("li", name));
  if (taken.ignoredFiles > ignored.length) names.push(element("li", `and ${taken.ignoredFiles - ignored.length} more`));
  list("ignored", `${plural(taken.ignoredFiles, "file")} left out by what is ignored`, names);
  find("facts").replaceChildren(
    ...[["project", taken.project], ["source", taken.source], ["packed", `${plural(taken.files, "file")}, ${inBytes(taken.size)}`]]
      .flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
  );
  show("deploy", !refused);
  show("found");
  find("findings").focus();
}

// A placet.yaml with mistakes, and what the rules say of the rest: nothing was kept that could be deployed.
function tellMistakes(refusals) {
  say("verdict", `This would be refused, for ${plural(refusals.length, "reason")}.`, "notice bad");
  find("refusals").replaceChildren(...refusals.map(reason));
  list("warned", "", []);
  list("ignored", "", []);
  find("facts").replaceChildren();
  show("deploy", false);
  show("found");
  find("findings").focus();
}

// The deploy.

find("deploy").addEventListener("click", async () => {
  if (busy || !source) return;
  working(true);
  say("deploying", `Deploying ${source.project}`);
  find("steps").replaceChildren();
  say("outcome", "");
  show("going");
  find("deploying").focus();
  try {
    const body = JSON.stringify({ command: "deploy", source: { digest: source.source } });
    const headers = { "Content-Type": "application/json" };
    const asked = await (await ask("v1/commands", { method: "POST", body, headers })).json();
    progress(asked);
    await follow(asked.operation);
  } catch (error) {
    say("outcome", words(error), "bad");
  }
  working(false);
});

// An EventSource cannot carry a token. Of a stream that breaks off, the operation itself tells the rest.
async function follow(operation) {
  const path = `v1/operations/${encodeURIComponent(operation)}`;
  const answer = await ask(`${path}/events`, { headers: { Accept: "text/event-stream" } });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    text += value.replaceAll("\r", "");
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
      if (data) progress(JSON.parse(data));
    }
  }
  outcome(await (await ask(path)).json());
}

const KINDS = { done: "good", refused: "bad", failed: "bad", waiting: "warn" };

function progress(operation) {
  find("steps").replaceChildren(...operation.steps.map(({ name, state, seconds, detail }) => {
    const item = document.createElement("li");
    item.append(
      element("span", state, KINDS[state] || ""), element("span", name),
      element("span", seconds === null ? "" : `${seconds.toFixed(2)} s`, "seconds"), element("span", detail || "", "detail"),
    );
    return item;
  }));
}

function outcome(operation) {
  progress(operation);
  const { project, release, state, url, refusals, awaiting } = operation;
  const box = find("outcome");
  if (state === "live") {
    const link = element("a", url, "url");
    link.href = url;
    const docs = element("a", "Try it");
    docs.href = `${url}/docs`;
    const line = document.createElement("p");
    line.append(docs, " on its own page, which tells what it takes.");
    box.replaceChildren(element("p", `Release ${release} of ${project} is live.`, "notice good"), link, line);
  } else {
    const reasons = document.createElement("ul");
    reasons.className = "reasons";
    reasons.append(...[...refusals, ...awaiting].map(reason));
    box.replaceChildren(element("p", `${project} is ${state}.`, "notice bad"), reasons);
  }
}
