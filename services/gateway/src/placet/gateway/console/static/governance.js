// A policy from a file into its text.
"use strict";

for (const picked of document.querySelectorAll("input[data-into]")) {
  picked.parentElement.classList.remove("hidden");
  picked.addEventListener("change", async () => {
    if (picked.files.length) find(picked.dataset.into).value = await picked.files[0].text();
  });
}

// A questionnaire: what follows from an answer is asked of the server, and shown without leaving the page; what is
// filled in is kept in this browser until it is sent.

const assessment = find("assessment");
const kept = (name) => `placet-assessment ${name}`;

if (assessment) {
  const key = kept(assessment.dataset.draft);
  let asking = null;
  const fields = () => new URLSearchParams(new FormData(assessment));
  const keep = (given) => {
    const draft = new URLSearchParams(given);
    draft.delete("proof");
    try { localStorage.setItem(key, draft.toString()); } catch { /* it is in the form all the same */ }
  };
  const showAfter = async (given) => {
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking;
    given.set("proof", proof());
    given.set("act", "update");
    try {
      const answer = await fetch(assessment.action, { method: "POST", body: given, signal });
      if (!answer.ok || answer.redirected) return;
      const text = await answer.text();
      const page = new DOMParser().parseFromString(policy ? policy.createHTML(text) : text, "text/html");
      const made = page.getElementById("questions");
      if (!made || signal.aborted) return;
      const at = document.activeElement;
      const named = at && find("questions").contains(at) ? { name: at.name, value: at.value } : null;
      find("questions").replaceChildren(...made.childNodes);
      if (!named) return;
      for (const each of find("questions").querySelectorAll("input, textarea")) {
        if (each.name === named.name && (each.type === "textarea" || each.value === named.value)) { each.focus(); break; }
      }
    } catch { /* the button below asks again */ }
  };
  find("kept").classList.remove("hidden");
  assessment.addEventListener("input", () => keep(fields()));
  assessment.addEventListener("change", (event) => {
    if (event.target.type === "checkbox" && event.target.checked) leaveOneOf(event.target);
    keep(fields());
    if (event.target.type === "radio" || event.target.type === "checkbox") showAfter(fields());
  });
  if (!("filled" in assessment.dataset)) {
    let draft = null;
    try { draft = localStorage.getItem(key); } catch { /* nothing was kept */ }
    if (draft) showAfter(new URLSearchParams(draft));
  }
}

// None of the choices, or some.
function leaveOneOf(chosen) {
  const boxes = chosen.closest("fieldset").querySelectorAll("input[type=checkbox]");
  const isNone = chosen.name === "none";
  for (const each of boxes) if (each !== chosen && (isNone || each.name === "none")) each.checked = false;
}

const sent = document.querySelector("[data-done]");
if (sent) try { localStorage.removeItem(kept(sent.dataset.done)); } catch { /* nothing was kept */ }
