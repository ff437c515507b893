// A folder or an archive, to what the rules say of it. Words from outside are only ever set as text.
"use strict";

const upload = find("upload");

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
  if (rule) item.prepend(element("code", rule), " ");
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
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) { size /= 1024; unit += 1; }
  return `${unit ? size.toFixed(1) : size} ${units[unit]}`;
}

// fetch() does not tell how much was sent.
function send(path, body, type) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("X-Placet-Proof", upload.dataset.proof);
    if (type) request.setRequestHeader("Content-Type", type);
    request.upload.onprogress = (at) => {
      if (at.lengthComputable) find("sending").value = at.loaded / at.total;
      if (at.loaded === at.total) say("chosen", "Sent. The rules look at it …");
    };
    request.onload = () => {
      let said = {};
      try { said = JSON.parse(request.responseText); } catch { /* no document */ }
      if (request.status === 200 || request.status === 201) resolve(said);
      else reject(Object.assign(new Error(said.detail || `the platform answered ${request.status}`), { said }));
    };
    request.onerror = () => reject(new Error("the connection broke while sending"));
    request.send(body);
  });
}

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
  const leftOut = new Set(JSON.parse(upload.dataset.leftOut));
  const own = files.find(({ path }) => path.split("/").slice(1).join("/") === upload.dataset.ignoreFile);
  if (own && /^\s*!/m.test(await own.file.text())) return files;
  return files.filter(({ path }) => !path.split("/").slice(1, -1).some((folder) => leftOut.has(folder)));
}

async function sendFiles(files) {
  const sent = await worthSending(files);
  const size = sent.reduce((sum, { file }) => sum + file.size, 0);
  const form = new FormData();
  for (const { file, path } of sent) form.append("file", file, path);
  await take(`${API}/sources`, form, "", `${files[0].path.split("/")[0]}: ${plural(sent.length, "file")}, ${inBytes(size)}`);
}

async function sendArchive(file) {
  const name = file.name.replace(/\.(zip|tar|tgz|gz)$/i, "").replace(/\.tar$/i, "");
  const path = `${API}/sources?name=${encodeURIComponent(name.slice(0, 200) || "upload")}`;
  await take(path, file, file.type || "application/octet-stream", `${file.name}: ${inBytes(file.size)}`);
}

async function take(path, body, type, told) {
  show("found", false);
  find("sending").value = 0;
  show("sending");
  say("chosen", `Sending ${told} …`);
  try {
    const taken = await send(path, body, type);
    say("chosen", told);
    tell(taken);
  } catch (error) {
    const { refusals, fix } = error.said || {};
    if (refusals?.length) {
      say("chosen", told);
      tellMistakes(refusals);
    } else {
      say("chosen", fix ? `${error.message}; ${fix}` : error.message, "bad");
    }
  }
  show("sending", false);
}

function tell(taken) {
  const { refusals, warnings, verdicts, ignored } = taken;
  const passed = verdicts.filter(({ result }) => result === "pass").length;
  const refused = refusals.length > 0;
  say("verdict", refused
    ? `${taken.project} would be refused: ${plural(refusals.length, "rule")} of ${verdicts.length} ${refusals.length === 1 ? "says" : "say"} no.`
    : `${taken.project} would be cleared: ${passed} of ${verdicts.length} rules pass.`, refused ? "notice bad" : "notice good");
  if (taken.trial) find("verdict").append(" It has no placet.yaml, so it is a trial, for some days.");
  find("refusals").replaceChildren(...refusals.map(reason));
  list("warned", `${plural(warnings.length, "warning")}, which ${warnings.length === 1 ? "refuses" : "refuse"} nothing`, warnings.map(reason));
  const names = ignored.map((name) => element("li", name));
  if (taken.ignoredFiles > ignored.length) names.push(element("li", `and ${taken.ignoredFiles - ignored.length} more`));
  list("ignored", `${plural(taken.ignoredFiles, "file")} left out by what is ignored`, names);
  find("facts").replaceChildren(
    ...[["Project", taken.project], ["Source", taken.source], ["Packed", `${plural(taken.files, "file")}, ${inBytes(taken.size)}`]]
      .flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
  );
  find("source").value = taken.source;
  find("key").value = Array.from(crypto.getRandomValues(new Uint8Array(16)), (each) => each.toString(16).padStart(2, "0")).join("");
  show("go", !refused);
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
  show("go", false);
  show("found");
  find("findings").focus();
}

if (upload) {
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
    const entries = Array.from(event.dataTransfer.items, (item) => item.webkitGetAsEntry()).filter(Boolean);
    if (entries.length !== 1) {
      say("chosen", "Drop one folder, or one zip or tar.", "warn");
      return;
    }
    try {
      const [entry] = entries;
      if (entry.isFile) await sendArchive(await new Promise((resolve, reject) => entry.file(resolve, reject)));
      else await sendFiles(await filesBelow(entry));
    } catch (error) {
      say("chosen", error.message, "bad");
    }
  });
}
