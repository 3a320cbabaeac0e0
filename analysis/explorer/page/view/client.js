/** The page's side of a worker: ask, and be answered or overtaken by a newer question of the same kind. */

/** @typedef {import("../worker.js").Requests} Requests */
/** @typedef {import("../worker.js").Answers} Answers */
/** @typedef {import("../core/bundle.js").Manifest} Manifest */

export class Client {
  constructor() {
    this.worker = new Worker(new URL("../worker.js", import.meta.url), { type: "module" });
    this.next = 0;
    /** @type {Map<number, {resolve: (answer: any) => void, reject: (reason: Error) => void}>} */
    this.asked = new Map();
    /** @type {Promise<{manifest: Manifest, images: Uint8Array}>} */
    this.ready = new Promise((resolve, reject) => {
      this.worker.onerror = (event) => reject(new Error(event.message || "The worker could not be started."));
      this.worker.onmessage = ({ data }) => {
        if (data.ready) resolve(data.ready);
        else if (data.failed) reject(new Error(data.failed));
        else this.answered(data);
      };
    });
  }

  /**
   * Asks the worker. The answer is null where a newer question overtook this one.
   * @template {keyof Requests} K
   * @param {K} kind
   * @param {Requests[K]} request
   * @returns {Promise<Answers[K] | null>}
   */
  ask(kind, request) {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.asked.set(id, { resolve, reject });
      this.worker.postMessage({ id, kind, request });
    });
  }

  /** @param {{id: number, answer?: unknown, overtaken?: boolean, error?: string}} data */
  answered(data) {
    const waiting = this.asked.get(data.id);
    this.asked.delete(data.id);
    if (data.error) waiting?.reject(new Error(data.error));
    else waiting?.resolve(data.overtaken ? null : data.answer);
  }
}
