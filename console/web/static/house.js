// What every page does: keys, the dialog of keys, forms that are sent once.

const LETTERS = "coilflow-letter-keys";
const PAGES = { l: "/", r: "/review", m: "/models", s: "/schedule", d: "/data" };

for (const element of document.querySelectorAll(".needs-script")) element.hidden = false;

const dialog = document.getElementById("keyboard");
const letters = document.getElementById("letter-keys");
letters.checked = localStorage.getItem(LETTERS) !== "off";
letters.addEventListener("change", () => localStorage.setItem(LETTERS, letters.checked ? "on" : "off"));
for (const button of document.querySelectorAll("[data-open]")) {
  button.addEventListener("click", () => document.getElementById(button.dataset.open).showModal());
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});

const actions = new Map([["?", () => dialog.showModal()]]);
let goes = false;

/** Lets a letter do something; never while somebody types, and not where letters were turned off. */
export function onKey(key, act) {
  actions.set(key, act);
}

/** The token that a write sends along. */
export function csrfToken() {
  return document.querySelector('meta[name="csrf-token"]').content;
}

/** Whether keys belong to what has the focus. */
function types(target) {
  return target.closest("input:not([type=checkbox], [type=radio]), select, textarea, dialog, [contenteditable]") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (!(event.target instanceof Element) || types(event.target)) return;
  if (event.key.length === 1 && !letters.checked) return;
  if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
  if (goes) {
    goes = false;
    if (PAGES[event.key]) {
      event.preventDefault();
      location.assign(PAGES[event.key]);
    }
    return;
  }
  if (event.key === "g") {
    goes = true;
    return;
  }
  const act = actions.get(event.key);
  if (act) {
    event.preventDefault();
    act();
  }
});
