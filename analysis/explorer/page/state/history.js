/**
 * Where the page has been: undo and redo, and the browser's own back and forward, which are the same thing. Where a page
 * may not touch the browser's history (in a frame without an origin), undo and redo work all the same.
 */

export class History {
  /**
   * @param {string} address that the page opens with
   * @param {(address: string) => void} onMove the visitor goes to an address
   */
  constructor(address, onMove) {
    this.onMove = onMove;
    this.all = [address];
    this.at = 0;
    /** The place that the browser shows, which follows `at`; NaN where it does not take part. */
    this.shown = this.tell("replaceState") ? 0 : NaN;
    this.following = false;
    window.addEventListener("popstate", ({ state }) => this.moved(state?.place));
  }

  get canUndo() {
    return this.at > 0;
  }

  get canRedo() {
    return this.at < this.all.length - 1;
  }

  /**
   * Takes an address as a place to come back to.
   * @param {string} address
   */
  add(address) {
    if (address === this.all[this.at]) return;
    this.all = [...this.all.slice(0, this.at + 1), address];
    this.at = this.all.length - 1;
    if (this.tell("pushState")) this.shown = this.at;
  }

  /**
   * One place back or forth.
   * @param {-1 | 1} by
   * @param {string} now where the page is, which need not be a place yet
   */
  move(by, now) {
    this.add(now);
    const found = this.all[this.at + by];
    if (found === undefined) return;
    this.at += by;
    this.follow();
    this.onMove(found);
  }

  /** Brings the browser to where the page is. It answers later, with an event. */
  follow() {
    if (Number.isNaN(this.shown) || this.following || this.shown === this.at) return;
    this.following = true;
    history.go(this.at - this.shown);
  }

  /** @param {unknown} place that the browser has gone to; undefined where somebody wrote an address */
  moved(place) {
    if (typeof place !== "number" || place >= this.all.length) {
      // An address that was written by hand, or one from before this page was loaded.
      this.following = false;
      const written = location.hash.slice(1);
      this.all = [...this.all.slice(0, this.at + 1), written];
      this.at = this.all.length - 1;
      if (this.tell("replaceState")) this.shown = this.at;
      this.onMove(written);
      return;
    }
    this.shown = place;
    if (this.following) {
      this.following = false;
      this.follow();
    } else if (place !== this.at) {
      this.at = place;
      this.onMove(this.all[place]);
    }
  }

  /**
   * @param {"pushState" | "replaceState"} how
   * @returns {boolean} whether the browser allows it
   */
  tell(how) {
    try {
      history[how]({ place: this.at }, "", `#${this.all[this.at]}`);
      return true;
    } catch {
      return false;
    }
  }
}
