/** The page's side of a worker: ask, and be answered or overtaken by a newer question of the same kind. */

/** @typedef {import("../worker.js").Requests} Requests */
/** @typedef {import("../worker.js").Answers} Answers */
/** @typedef {import("../core/bundle.js").Files} Files */

export class Client {
  /**
   * @param {Worker} worker
   * @param {Files} files of the bundle
   * @param {(reason: Error) => void} onTrouble called when a question fails, or the worker as a whole
   */
  constructor(worker, files, onTrouble) {
    this.worker = worker;
    this.onTrouble = onTrouble;
    this.next = 0;
    /** @type {Map<number, (answer: any) => void>} */
    this.asked = new Map();
    /** @type {Promise<void>} */
    this.ready = new Promise((resolve, reject) => {
      worker.onerror = (event) => {
        const reason = new Error(event.message || "a worker could not be started");
        reject(reason);
        this.fail(reason);
      };
      worker.onmessage = ({ data }) => {
        if (data.ready) resolve();
        else if (data.failed) reject(new Error(data.failed));
        else this.answered(data);
      };
    });
    worker.postMessage({ files });
  }

  /**
   * Asks the worker. The answer is null where a newer question overtook this one, or it failed, which is then said.
   * @template {keyof Requests} K
   * @param {K} kind
   * @param {Requests[K]} request
   * @returns {Promise<Answers[K] | null>}
   */
  ask(kind, request) {
    const id = this.next++;
    return new Promise((resolve) => {
      this.asked.set(id, resolve);
      this.worker.postMessage({ id, kind, request });
    });
  }

  /** Whether a question is not answered yet. */
  get busy() {
    return this.asked.size > 0;
  }

  /** @param {{id: number, answer?: unknown, overtaken?: boolean, error?: string}} data */
  answered(data) {
    const waiting = this.asked.get(data.id);
    this.asked.delete(data.id);
    if (data.error) this.onTrouble(new Error(data.error));
    waiting?.(data.error || data.overtaken ? null : data.answer);
  }

  /** @param {Error} reason why no question will be answered any more */
  fail(reason) {
    this.onTrouble(reason);
    for (const waiting of this.asked.values()) waiting(null);
    this.asked.clear();
  }
}
