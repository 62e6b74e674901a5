// Keeps a page current: on an event of the stream it asks for the same page again and takes over what changed.

const LEAST_PAUSE_MS = 1000; // between two looks, however many coils come

/**
 * @param {string[]} events of the stream that matter here
 * @param {(fresh: Document) => void} take takes over what is not marked data-live
 * @param {(state: "live" | "lost") => void} tell is told whether the stream runs
 */
export function follow(events, take, tell = () => {}) {
  let last = 0;
  let waits = false;
  let stopped = false;

  async function look() {
    waits = false;
    last = performance.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
      if (!answer.ok) throw new Error(answer.statusText);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!stopped) {
        takeMarked(fresh);
        take(fresh);
      }
    } catch {
      tell("lost");
    }
  }

  function soon() {
    if (waits) return;
    waits = true;
    setTimeout(look, Math.max(0, last + LEAST_PAUSE_MS - performance.now()));
  }

  const stream = new EventSource("/api/v1/stream");
  for (const name of events) stream.addEventListener(name, soon);
  let opened = false;
  stream.addEventListener("open", () => {
    tell("live");
    if (opened) soon(); // something may have been missed
    opened = true;
  });
  stream.addEventListener("error", () => tell("lost"));
  addEventListener("pagehide", () => {
    stopped = true;
    stream.close();
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
  return soon;
}

/** Takes over every part that is marked data-live, but none that holds the focus. */
export function takeMarked(fresh) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (next && !part.contains(document.activeElement) && part.innerHTML !== next.innerHTML) {
      part.replaceChildren(...next.childNodes);
    }
  }
}
