// The log as it happens: what comes is put on top, a frame's worth at once, and the oldest rows go. Words from outside are
// only ever set as text.
"use strict";

const MOST = 200;
const tail = find("tail");

function rowOf(event) {
  const item = document.createElement("li");
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const parts = event.type.split(".");
  const made = (tag, text, className = "") => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  summary.append(
    made("span", event.sequence, "position"), " ", made("strong", parts.length > 4 ? parts.slice(2, -1).join(".") : event.type), " ",
    made("span", event.partitionkey || ""), " ", made("span", `${event.source}, just now`, "soft"),
  );
  const whole = made("pre", "");
  whole.tabIndex = 0;
  details.append(summary, whole);
  // Written out when somebody looks: a hundred of them come in a second.
  details.addEventListener("toggle", () => { whole.textContent = JSON.stringify(event, null, 2); }, { once: true });
  item.append(details);
  return item;
}

if (tail) {
  let waiting = [], asked = false, stop = null, last = tail.dataset.after;
  const list = () => {
    let rows = find("tailed").querySelector(".events");
    if (!rows) {
      rows = document.createElement("ol");
      rows.className = "events";
      find("tailed").replaceChildren(rows);
    }
    return rows;
  };
  const draw = () => {
    asked = false;
    const rows = list();
    const made = waiting.slice(-MOST).reverse().map(rowOf);
    waiting = [];
    rows.prepend(...made);
    while (rows.children.length > MOST) rows.lastElementChild.remove();
  };
  const turn = () => {
    stop?.();
    stop = null;
    if (!tail.checked) return;
    const query = tail.dataset.query ? `&${tail.dataset.query}` : "";
    stop = follow((seen) => `${API}/events?follow=1&after=${seen || last}${query}`, "event", (message) => {
      const event = JSON.parse(message.data);
      last = event.sequence;
      waiting.push(event);
      if (waiting.length > 5 * MOST) waiting = waiting.slice(-MOST);
      if (!asked) { asked = true; requestAnimationFrame(draw); }
    });
  };
  tail.addEventListener("change", turn);
  turn();
}

find("position")?.addEventListener("input", (event) => { find("position-said").textContent = event.target.value; });
