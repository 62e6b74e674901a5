// The coil: keys, a place marked on the map, what the map reads, the explanation laid over it.
import { onKey } from "./house.js";
import { takeMarked } from "./live.js";

const click = (selector) => () => document.querySelector(selector)?.click();
onKey("j", click("a[rel=prev]"));
onKey("k", click("a[rel=next]"));
onKey("o", click("#feedback .say-ok"));
onKey("n", click("#feedback .say-nok"));
onKey("e", click("#explain a"));

const map = document.getElementById("map");
const form = document.getElementById("feedback");
const readout = document.getElementById("readout");
const SVG = "http://www.w3.org/2000/svg";
const SENSORS = 9;

/** Takes over the parts of this page as it is with some more parameters. */
async function show(parameters, { keep }) {
  const place = new URL(location.href);
  for (const [name, value] of Object.entries(parameters)) place.searchParams.set(name, value);
  const answer = await fetch(place, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(answer.statusText);
  takeMarked(new DOMParser().parseFromString(await answer.text(), "text/html"));
  if (keep) history.replaceState(null, "", place);
  draw();
}

document.addEventListener("click", async (event) => {
  const link = event.target.closest("#explain a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  link.setAttribute("aria-busy", "true");
  const focused = link === document.activeElement;
  if (focused) link.blur();
  try {
    await show({ explain: new URL(link.href).searchParams.get("explain") }, { keep: true });
    if (focused) document.querySelector("#explain a").focus();
  } catch {
    location.assign(link.href);
  }
});

if (document.querySelector("#similar [data-later]")) {
  const explained = new URLSearchParams(location.search).get("explain") ?? "0";
  show({ similar: "1", explain: explained }, { keep: false }).catch(() => {});
}

// A place: drawn with the mouse, or typed; both ways show the other.

const lengthM = Number(map?.querySelector(".heat")?.dataset.lengthM ?? 0);
const fields = form && { face: form.elements.face, from: form.elements.from_m, to: form.elements.to_m };
const canMark = Boolean(fields && lengthM);

function draw() {
  for (const old of document.querySelectorAll("#map .drawn")) old.remove();
  if (!canMark || (fields.from.value === "" && fields.to.value === "")) return;
  const start = (100 * Number(fields.from.value || 0)) / lengthM;
  const end = (100 * (fields.to.value === "" ? lengthM : Number(fields.to.value))) / lengthM;
  if (!(end > start)) return;
  for (const marks of map.querySelectorAll(".marks")) {
    if (fields.face.value && fields.face.value !== marks.dataset.face) continue;
    const group = document.createElementNS(SVG, "g");
    group.setAttribute("class", "drawn");
    for (const name of ["halo", ""]) {
      const rect = document.createElementNS(SVG, "rect");
      if (name) rect.setAttribute("class", name);
      rect.setAttribute("x", `${start}%`);
      rect.setAttribute("width", `${Math.min(end, 100) - start}%`);
      rect.setAttribute("height", "100%");
      group.append(rect);
    }
    marks.append(group);
  }
}

function metreAt(face, event) {
  const box = face.getBoundingClientRect();
  return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * lengthM;
}

const rounded = (metre) => (lengthM > 50 ? Math.round(metre) : Math.round(metre * 10) / 10);

let drag = null;

if (canMark) {
  map.classList.add("can-mark");
  map.addEventListener("pointerdown", (event) => {
    const face = event.target.closest(".heat-map");
    if (!face || event.button !== 0) return;
    drag = { face, from: metreAt(face, event), moved: false };
    face.setPointerCapture(event.pointerId);
  });
  map.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const here = metreAt(drag.face, event);
    drag.moved ||= Math.abs(here - drag.from) > lengthM / 300;
    if (!drag.moved) return;
    fields.face.value = drag.face.dataset.face;
    fields.from.value = Math.max(0, rounded(Math.min(drag.from, here)));
    fields.to.value = Math.min(lengthM, rounded(Math.max(drag.from, here)));
    draw();
  });
  const end = () => {
    drag = null;
  };
  map.addEventListener("pointerup", end);
  map.addEventListener("pointercancel", end);
  for (const field of Object.values(fields)) field.addEventListener("input", draw);
  document.getElementById("clear-place")?.addEventListener("click", () => {
    for (const field of Object.values(fields)) field.value = "";
    draw();
  });
  draw(); // what a browser kept of the fields
}

// What the map reads under the mouse.

let readings = null;

function read() {
  const place = location.pathname.replace(/\/$/, "");
  readings ??= fetch(`/api/v1${place}/matrix`, { headers: { Accept: "application/json" } })
    .then((answer) => (answer.ok ? answer.json() : null))
    .catch(() => null);
  return readings;
}

map?.addEventListener("pointermove", async (event) => {
  const face = event.target.closest(".heat-map");
  if (!face || event.pointerType === "touch") return;
  const box = face.getBoundingClientRect();
  const along = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 0.9999);
  const sensor = Math.min(Math.max(Math.floor(((event.clientY - box.top) / box.height) * SENSORS), 0), SENSORS - 1);
  const matrix = await read();
  const row = Math.floor(along * (matrix?.matrix.length ?? 264));
  const column = sensor + (face.dataset.face === "bottom" ? SENSORS : 0);
  const coating = matrix?.coating_g_m2?.[row][column];
  const where = lengthM ? `${(along * lengthM).toFixed(0)} m` : `chunk ${row + 1}`;
  const said = matrix ? (coating == null ? "not measured" : `${coating.toFixed(0)} g/m²`) : "";
  readout.textContent = `${face.dataset.face} face, ${where}, sensor ${sensor + 1}${said && `: ${said}`}`;
});
