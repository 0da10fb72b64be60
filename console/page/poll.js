// Loads what a view shows, again and again: slower when nobody looks or the server fails.

const EVERY = 5_000;
const HIDDEN = 60_000;
const SLOWEST = 60_000;

/**
 * @typedef {object} Loaded What is known of one resource. `data` stays when a later attempt fails.
 * @property {any} data
 * @property {import("./api.js").Failure | null} error
 * @property {number | null} at When `data` was loaded, in seconds since the epoch.
 */

export class Poller {
  #timer = 0;
  #round = 0;
  #failures = 0;

  /**
   * @param {Record<string, () => Promise<any>>} resources
   * @param {() => void} arrived Called when one resource was loaded, or could not be.
   * @param {(state: Record<string, Loaded>) => void} changed Called at the end of each round.
   * @param {number} [every] Milliseconds between two rounds.
   */
  constructor(resources, arrived, changed, every = EVERY) {
    this.resources = resources;
    this.arrived = arrived;
    this.every = every;
    this.changed = changed;
    /** @type {Record<string, Loaded>} */
    this.state = {};
    for (const name of Object.keys(resources)) this.state[name] = { data: null, error: null, at: null };
    /** When the next attempt begins, in seconds since the epoch. */
    this.next = 0;
    this.loading = false;
  }

  /** Load everything now. What an earlier round still brings is ignored. */
  async now() {
    clearTimeout(this.#timer);
    this.#round += 1;
    const round = this.#round;
    this.loading = true;
    await Promise.all(Object.entries(this.resources).map(async ([name, load]) => {
      const loaded = await attempt(load, this.state[name]);
      if (round !== this.#round) return;
      this.state = { ...this.state, [name]: loaded };
      this.arrived();
    }));
    if (round !== this.#round) return;
    this.loading = false;
    this.#failures = this.failed ? this.#failures + 1 : 0;
    this.#schedule();
    this.changed(this.state);
  }

  /** Whether the last round got no answer, or one that says that something is broken. */
  get failed() {
    return Object.values(this.state).some(({ error }) => error && (error.status === 0 || error.status >= 500));
  }

  /** The age of the oldest part of what is shown, as a moment in seconds since the epoch. */
  get oldest() {
    const known = Object.values(this.state).map(({ at }) => at).filter((at) => at !== null);
    return known.length ? Math.min(...known) : null;
  }

  stop() {
    clearTimeout(this.#timer);
    this.#round += 1;
  }

  #schedule() {
    const pace = document.hidden ? HIDDEN : this.every;
    const wait = this.#failures ? Math.min(SLOWEST, pace * 2 ** this.#failures) : pace;
    this.next = (Date.now() + wait) / 1000;
    this.#timer = setTimeout(() => this.now(), wait);
  }
}

async function attempt(load, before) {
  try {
    return { data: await load(), error: null, at: Date.now() / 1000 };
  } catch (error) {
    return { ...before, error };
  }
}
