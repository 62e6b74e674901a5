// The line: coils come in on top, unless somebody reads; keys go through the list.
import { onKey } from "./house.js";
import { follow } from "./live.js";
import { listKeys } from "./list.js";

const rows = document.getElementById("rows");
const pause = document.getElementById("pause");
const waiting = document.getElementById("waiting");
const pulse = document.getElementById("pulse");
const summary = document.getElementById("summary");

let held = null; // the newest list that is not shown yet
let paused = false;
let connected = true;

const keys = (body) => [...body.querySelectorAll("tr[data-key]")].map((row) => row.dataset.key);
const fresh = (body) => {
  const known = new Set(keys(rows));
  return [...body.querySelectorAll("tr[data-key]")].filter((row) => !known.has(row.dataset.key));
};

/** Whether rows that move would take away what somebody looks at. */
function isRead() {
  return paused || rows.contains(document.activeElement) || rows.querySelector(".here") !== null || isScrolled();
}

function isScrolled() {
  return rows.getBoundingClientRect().top < 0;
}

function say() {
  const words = { live: "live", lost: "not connected: tries again", paused: "paused" };
  const state = !connected ? "lost" : paused ? "paused" : "live";
  pulse.textContent = words[state];
  pulse.className = `pulse ${state}`;
}

function show(body) {
  const came = new Set(fresh(body).map((row) => row.dataset.key));
  const known = new Map([...rows.querySelectorAll("tr[data-key]")].map((row) => [row.dataset.key, row]));
  const next = [...body.children].map((row) => {
    const same = known.get(row.dataset.key);
    if (same && same.innerHTML === row.innerHTML) return same;
    if (came.has(row.dataset.key)) row.classList.add("fresh");
    return document.adoptNode(row);
  });
  rows.replaceChildren(...next);
  held = null;
  waiting.hidden = true;
}

function take(page) {
  const body = page.getElementById("rows");
  if (!body || !("rows" in rows.dataset)) return;
  const came = fresh(body);
  if (!isRead()) show(body);
  else {
    held = body;
    waiting.hidden = came.length === 0;
    waiting.textContent = came.length === 1 ? "1 new coil: show it" : `${came.length} new coils: show them`;
  }
  if (came.length && !paused) {
    summary.textContent = came[0].dataset.said + (came.length > 1 ? `, and ${came.length - 1} more` : "");
  }
}

/** Leaves the list, so that it goes on. */
function leave() {
  rows.querySelector(".here")?.classList.remove("here");
  if (rows.contains(document.activeElement)) document.activeElement.blur();
  if (held && !paused) show(held);
}

waiting.addEventListener("click", () => {
  if (held) show(held);
  leave();
  scrollTo({ top: 0 });
});
pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? "Go on" : "Pause";
  say();
  if (!paused && held) show(held);
});

onKey("p", () => pause.click());
onKey("Escape", leave);
onKey("/", () => document.getElementById("coil").focus());
listKeys(() => [...rows.querySelectorAll("tr[data-key]")], (row) => row.querySelector("a.open").click());
follow(["verdict", "early_warning"], take, (state) => {
  connected = state === "live";
  say();
});
