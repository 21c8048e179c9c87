/** The signal that ends everything that belongs to one life: a leader's, a worker's, a generation's. */
import { setMaxListeners } from "node:events";

/** Any number of acts may wait for its end at once: many are no leak, of which Node would warn. */
export function newLife(): AbortController {
  const life = new AbortController();
  setMaxListeners(0, life.signal);
  return life;
}
