// The queue by keys: an answer brings the next coil.
import { onKey } from "./house.js";
import { listKeys } from "./list.js";

const cards = () => [...document.querySelectorAll(".card")];
const { here, mark } = listKeys(cards, (card) => card.querySelector("a.open").click());
const came = new URLSearchParams(location.search);
const next = came.get("here");

mark(cards().find((card) => card.dataset.key === next) ?? cards()[0], { focus: came.has("said") });

const press = (selector) => () => here()?.querySelector(selector)?.click();
onKey("o", press(".say-ok"));
onKey("n", press(".say-nok"));
onKey("u", () => document.querySelector("#undo button")?.click());

document.addEventListener("focusin", (event) => {
  const card = event.target.closest(".card");
  if (card && card !== here()) mark(card, { focus: false });
});

// After an answer the page comes again without that coil: it is to go on where the reader was.
document.addEventListener("submit", (event) => {
  const card = event.target.closest(".card");
  if (!card) return;
  const list = cards();
  const after = list[list.indexOf(card) + 1] ?? list[list.indexOf(card) - 1];
  const place = new URL(location.href);
  for (const name of ["said", "said_plant", "said_coil", "here"]) place.searchParams.delete(name);
  if (after) place.searchParams.set("here", after.dataset.key);
  const form = event.target;
  form.action = `${form.action.split("?")[0]}?${new URLSearchParams({ next: place.pathname + place.search })}`;
});
