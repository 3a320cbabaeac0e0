/**
 * What is shown: one answer and the state that it answers. Headline, plane, chart, tour and list read it from here and
 * from nowhere else, so that no two of them can speak of different networks.
 */

/** @typedef {import("../state/fields.js").State} State */
/** @typedef {import("../state/owner.js").Owner} Owner */
/** @typedef {import("./client.js").Client} Client */
/** @typedef {import("../worker.js").Look} Look */

/** @typedef {{look: Look, state: State, accuracy: number, round: number}} Shown `round` of what is trained here */

export class Scene {
  /**
   * @param {Owner} owner
   * @param {Client} live answers for untrained networks
   */
  constructor(owner, live) {
    this.owner = owner;
    this.live = live;
    /** @type {Shown | null} */
    this.shown = null;
    /** @type {((shown: Shown) => void)[]} */
    this.listeners = [];
    this.asking = false;
    this.stale = false;
    /** When the change was made that the page is catching up with; NaN once it has. */
    this.changedAt = NaN;
    this.drawing = false;
    /** @type {Uint8Array[]} the visitor's own test set */
    this.mine = [];
  }

  /** Whether what is shown answers the present state. */
  get upToDate() {
    return !this.asking && this.shown?.state === this.owner.state;
  }

  /** @param {(shown: Shown) => void} listener called in the frame in which something new is shown */
  onShow(listener) {
    this.listeners.push(listener);
  }

  /** Catches up with the state; one question at a time, so that none is answered in vain. */
  async refresh() {
    this.stale = true;
    if (this.asking || this.owner.state.lab !== "off") return;
    this.asking = true;
    try {
      while (this.stale && this.owner.state.lab === "off") {
        this.stale = false;
        const { state } = this.owner;
        const { setting, layer, unit, own, pins, seen, image } = state;
        const other = seen === "difference" ? (pins[0] ?? null) : null;
        const look = await this.live.ask("look", { setting, layer, unit, other, own, mine: this.mine, image });
        if (look && this.owner.state.lab === "off") this.show(look, state);
      }
    } finally {
      this.asking = false;
    }
  }

  /**
   * @param {Look} look
   * @param {State} state that it answers
   * @param {number} [round]
   */
  show(look, state, round = 0) {
    const { right, found } = look.reading;
    this.shown = { look, state, accuracy: right / found.length, round };
    if (this.drawing) return;
    this.drawing = true;
    const asked = this.changedAt;
    requestAnimationFrame(() => {
      this.drawing = false;
      if (asked === this.changedAt && !Number.isNaN(asked)) {
        performance.measure("step-to-accuracy", { start: asked, end: performance.now() });
        this.changedAt = NaN;
      }
      const begun = performance.now();
      if (this.shown) for (const listener of this.listeners) listener(this.shown);
      performance.measure("drawing", { start: begun, end: performance.now() });
    });
  }
}
