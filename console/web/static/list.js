// j and k go through a list, Enter opens what is marked.
import { onKey } from "./house.js";

/**
 * @param {() => Element[]} items of the list as it is now
 * @param {(item: Element) => void} open
 * @returns {{here: () => Element | undefined, mark: (item: Element | undefined, how?: {focus: boolean}) => void}}
 */
export function listKeys(items, open) {
  const here = () => items().find((item) => item.classList.contains("here"));

  function mark(item, { focus = true } = {}) {
    here()?.classList.remove("here");
    if (!item) return;
    item.classList.add("here");
    if (!focus) return;
    const target = item.matches("a, button, [tabindex]") ? item : item.querySelector("a, button, [tabindex]");
    target?.focus({ preventScroll: true });
    item.scrollIntoView({ block: "nearest" });
  }

  function step(by) {
    const list = items();
    const at = list.indexOf(here());
    const next = at < 0 ? 0 : Math.min(Math.max(at + by, 0), list.length - 1);
    mark(list[next]);
  }

  onKey("j", () => step(1));
  onKey("k", () => step(-1));
  onKey("Enter", () => {
    const item = here();
    if (item) open(item);
  });
  return { here, mark };
}
