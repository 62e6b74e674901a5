// Keeps a page current: on an event of the stream it asks for the same page again and takes over what changed.

const LEAST_PAUSE_MS = 1000; // between two looks, however many coils come
const SPREAD_MS = 300; // so that all who look at a line do not ask at the same moment
const PATIENCE_MS = 3000; // without a stream, until the reader is told
const AGAIN_MS = 5000; // after a refusal

/**
 * @param {string[]} events of the stream that matter here
 * @param {(fresh: Document) => void} take takes over what is not marked data-live
 * @param {(state: "live" | "lost") => void} tell is told whether the stream runs
 */
export function follow(events, take, tell = () => {}) {
  let last = 0;
  let waits = false;
  let stopped = false;
  let stream = null;
  let opened = false;
  let doubt = 0;

  async function look() {
    waits = false;
    last = performance.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.redirected) location.reload(); // the session is over
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
    const pauseMs = Math.max(0, last + LEAST_PAUSE_MS - performance.now());
    setTimeout(look, pauseMs + Math.random() * SPREAD_MS);
  }

  function listen() {
    if (stopped) return;
    stream = new EventSource("/api/v1/stream");
    for (const name of [...events, "reset"]) stream.addEventListener(name, soon);
    stream.addEventListener("open", () => {
      clearTimeout(doubt);
      doubt = 0;
      tell("live");
      if (opened) soon(); // something may have been missed
      opened = true;
    });
    stream.addEventListener("error", () => {
      doubt ||= setTimeout(() => tell("lost"), PATIENCE_MS); // a stream ends now and then, and is begun again
      if (stream.readyState === EventSource.CLOSED) {
        setTimeout(listen, AGAIN_MS);
        soon();
      }
    });
  }

  listen();
  addEventListener("pagehide", () => {
    stopped = true;
    stream?.close();
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
