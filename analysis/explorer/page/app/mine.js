/** The visitor's own test set: drawn images with their right answers, kept in this browser. */

import { fromText, halvesOf, pixelsOf, toText } from "../state/bytes.js";
import { byId, html, onClick, say } from "../view/dom.js";
import { namesOf, picture } from "../view/digits.js";
import { words } from "../words/index.js";
import { remember, remembered } from "./memory.js";

/** @typedef {import("../state/owner.js").Owner} Owner */
/** @typedef {import("./scene.js").Scene} Scene */

/** @typedef {{label: number, pixels: Uint8Array}} Drawn */

/** Every step reads them all. */
const MOST = 20;

export class Mine {
  /**
   * @param {Owner} owner
   * @param {Scene} scene
   */
  constructor(owner, scene) {
    this.owner = owner;
    this.scene = scene;
    const { image, about } = owner.manifest;
    this.size = image.height * image.width;
    this.place = `drawn ${about.dataset}`;
    /** @type {Drawn[]} */
    this.all = this.read();
    this.keep = byId("mine-keep", HTMLButtonElement);
    this.list = byId("mine-list", HTMLUListElement);
    byId("mine-label", HTMLSelectElement).append(...namesOf(owner.manifest).map((name, c) => html("option", { value: c }, name)));
    onClick("mine-keep", () => this.add());
    owner.onChange(() => this.showState());
    scene.onShow(({ look }) => this.show(look.mine));
    this.tell();
  }

  /** @returns {Drawn[]} what the browser has kept; what it does not hold rightly is left out */
  read() {
    try {
      const found = JSON.parse(remembered(this.place) ?? "[]");
      if (!Array.isArray(found)) return [];
      return found.slice(0, MOST).flatMap(([label, text]) => {
        const pixels = typeof text === "string" ? pixelsOf(fromText(text, Math.ceil(this.size / 2)), this.size) : null;
        return pixels && Number.isInteger(label) && label >= 0 && label < this.owner.manifest.classes ? [{ label, pixels }] : [];
      });
    } catch {
      return [];
    }
  }

  add() {
    const { own } = this.owner.state;
    if (!own || this.all.length >= MOST) return;
    this.set([...this.all, { label: Number(byId("mine-label", HTMLSelectElement).value), pixels: own }]);
  }

  /** @param {Drawn[]} all */
  set(all) {
    this.all = all;
    remember(this.place, JSON.stringify(all.map(({ label, pixels }) => [label, toText(halvesOf(pixels))])));
    this.tell();
    // Another look at the same network: its answers to what was drawn.
    this.owner.change({}, "player");
  }

  /** Hands the images to whoever answers for them. */
  tell() {
    this.scene.mine = this.all.map(({ pixels }) => pixels);
    this.showState();
    this.show(new Uint8Array(0));
  }

  showState() {
    this.keep.disabled = !this.owner.state.own || this.all.length >= MOST;
  }

  /** @param {Uint8Array} found what the network takes them for; none while it is asked */
  show(found) {
    const { all } = this;
    const { manifest } = this.owner;
    if (this.list.children.length !== all.length) {
      this.list.replaceChildren(
        ...all.map(({ pixels }, at) => {
          const button = html("button", { type: "button" }, picture({ ...manifest, image: { ...manifest.image, maximum: 255 } }, pixels, 0), html("span", { class: "guess" }));
          button.addEventListener("click", () => this.drop(at));
          return html("li", {}, button);
        }),
      );
    }
    const known = found.length === all.length && !this.owner.veiled;
    [...this.list.children].forEach((item, at) => {
      const caption = item.querySelector(".guess");
      const right = known && found[at] === all[at].label;
      if (!caption) return;
      caption.textContent = known ? `${found[at]} ${right ? "✓" : "✗"}` : "…";
      caption.className = `guess ${known ? (right ? "right" : "wrong") : ""}`;
      item.querySelector("button")?.setAttribute("aria-label", words.own.mine.one(all[at].label, known ? found[at] : all[at].label));
    });
    const right = known ? all.filter(({ label }, at) => label === found[at]).length : 0;
    const full = all.length >= MOST ? ` ${words.own.mine.full(MOST)}` : "";
    say("mine-reading")(all.length === 0 ? words.own.mine.none : known ? words.own.mine.right(right, all.length) + full : "…");
  }

  /** @param {number} at */
  drop(at) {
    this.set(this.all.filter((_, other) => other !== at));
    const next = this.list.children[Math.min(at, this.all.length - 1)]?.querySelector("button");
    (next ?? byId("own-canvas", HTMLCanvasElement)).focus();
  }
}
