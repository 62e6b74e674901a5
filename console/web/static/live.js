// Keeps a page current: on an event of the stream it asks for the same page again and takes over what changed.
//
// A page names the place in the stream as of which it was read. The stream is opened from there, so nothing that came
// between page and stream is missed. Browsers open few connections to one host: a page that nobody sees closes its
// stream, and when it is seen again it is read anew and goes on from that page's place.

const LEAST_PAUSE_MS = 1000; // between two looks, however many coils come
const SPREAD_MS = 300; // so that all who look at a line do not ask at the same moment
const PATIENCE_MS = 3000; // without a stream, until the reader is told
const AGAIN_MS = 5000; // after a failure
const MOST_SILENCE_MS = 60000; // without a look: a connection can break without a word
const ANSWER_MS = 15000; // that a look may take

const placeOf = (page) => page.querySelector('meta[name="stream-place"]').content;

/**
 * @param {string[]} events of the stream that matter here
 * @param {(fresh: Document) => void} take takes over what is not marked data-live
 * @param {(state: "live" | "lost") => void} tell is told whether the page follows what happens
 */
export function follow(events, take, tell) {
  let place = placeOf(document);
  let stream = null;
  let last = 0; // look
  let looks = false;
  let failed = false; // the last look
  let due = Infinity;
  let timer = 0;
  let doubt = 0;

  function report() {
    const live = !failed && stream?.readyState === EventSource.OPEN;
    if (live || failed || document.hidden) {
      clearTimeout(doubt);
      doubt = 0;
    } else {
      doubt ||= setTimeout(() => tell("lost"), PATIENCE_MS); // a stream ends now and then, and is begun again
    }
    if (live) tell("live");
    if (failed) tell("lost");
  }

  function lookIn(waitMs) {
    const at = performance.now() + waitMs;
    if (at >= due || document.hidden) return;
    clearTimeout(timer);
    due = at;
    timer = setTimeout(look, waitMs);
  }

  function soon() {
    lookIn(Math.max(0, last + LEAST_PAUSE_MS - performance.now()) + Math.random() * SPREAD_MS);
  }

  async function look() {
    due = Infinity;
    clearTimeout(timer);
    last = performance.now();
    if (looks) return soon();
    looks = true;
    try {
      const signal = AbortSignal.timeout(ANSWER_MS);
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal });
      if (answer.redirected) return location.reload(); // the session is over
      if (!answer.ok) throw new Error(answer.statusText);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      place = placeOf(fresh);
      takeMarked(fresh);
      take(fresh);
      failed = false;
    } catch {
      failed = true;
    } finally {
      looks = false;
    }
    report();
    lookIn(failed ? AGAIN_MS : MOST_SILENCE_MS);
  }

  function listen() {
    if (stream || document.hidden) return;
    const opened = new EventSource(`/api/v1/stream?${new URLSearchParams({ after: place })}`);
    stream = opened;
    for (const name of [...events, "reset"]) opened.addEventListener(name, soon);
    opened.addEventListener("open", report);
    opened.addEventListener("error", () => {
      if (opened.readyState === EventSource.CLOSED && stream === opened) {
        stream = null;
        soon();
        setTimeout(listen, AGAIN_MS);
      }
      report();
    });
  }

  function rest() {
    stream?.close();
    stream = null;
    clearTimeout(timer);
    due = Infinity;
    report();
  }

  async function wake() {
    await look();
    listen();
    report();
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : wake()));
  addEventListener("online", () => soon());
  addEventListener("offline", () => soon());
  addEventListener("pagehide", rest);
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
  listen();
  lookIn(MOST_SILENCE_MS);
  report();
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
