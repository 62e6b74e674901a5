// The coil: keys, and a place marked on the map.
import { onKey } from "./house.js";

const follow = (selector) => () => document.querySelector(selector)?.click();
onKey("j", follow("a[rel=prev]"));
onKey("k", follow("a[rel=next]"));
onKey("o", follow("#feedback .say-ok"));
onKey("n", follow("#feedback .say-nok"));
onKey("e", follow("#explain"));
