/** The state as the part of an address after '#', by the tables of fields.js. */

import { MOST_PINS, PAGE, SETTING } from "./fields.js";

/** @typedef {import("./fields.js").State} State */
/** @typedef {import("./fields.js").Page} Page */
/** @typedef {import("./fields.js").Field<any>} Field */
/** @typedef {import("../core/engine.js").Setting} Setting */
/** @typedef {import("../core/bundle.js").Manifest} Manifest */

/** @type {(table: object) => [string, Field][]} */
const fieldsOf = (table) => Object.entries(table);

/**
 * What the page opens with.
 * @param {Manifest} manifest
 * @returns {State}
 */
export function defaults(manifest) {
  const page = Object.fromEntries(fieldsOf(PAGE).map(([name, { standard }]) => [name, standard(manifest)]));
  return { .../** @type {Page} */ (page), setting: defaultSetting(manifest), pins: [], before: null };
}

/**
 * @param {Manifest} manifest
 * @returns {Setting}
 */
export function defaultSetting(manifest) {
  const setting = Object.fromEntries(fieldsOf(SETTING).map(([name, { standard }]) => [name, standard(manifest)]));
  return /** @type {Setting} */ (/** @type {unknown} */ (setting));
}

/**
 * The state as text. What is as the page opens with is left out, but for what is always written.
 * @param {State} state
 * @param {Manifest} manifest
 * @returns {string}
 */
export function encode(state, manifest) {
  const words = written(SETTING, state.setting, manifest);
  for (const [key, value] of written(PAGE, state, manifest)) words.append(key, value);
  for (const pin of state.pins) words.append("pin", encodeSetting(pin, manifest));
  if (state.before) words.append("before", encodeSetting(state.before, manifest));
  return String(words);
}

/**
 * One setting as text.
 * @param {Setting} setting
 * @param {Manifest} manifest
 * @returns {string}
 */
export function encodeSetting(setting, manifest) {
  return String(written(SETTING, setting, manifest));
}

/**
 * The state that an address holds; what it does not say, or says wrongly, is as the page opens with.
 * @param {string} text
 * @param {Manifest} manifest
 * @returns {State}
 */
export function decode(text, manifest) {
  const words = new URLSearchParams(text);
  const pins = words.getAll("pin").map((pin) => settingIn(pin, manifest));
  return /** @type {State} */ ({
    ...read(PAGE, words, manifest),
    setting: decodeSetting(words, manifest),
    pins: pins.flatMap((pin) => pin ?? []).slice(0, MOST_PINS),
    before: settingIn(words.get("before"), manifest),
  });
}

/**
 * @param {URLSearchParams} words
 * @param {Manifest} manifest
 * @returns {Setting}
 */
function decodeSetting(words, manifest) {
  return /** @type {Setting} */ (/** @type {unknown} */ (read(SETTING, words, manifest)));
}

/**
 * A setting within an address; null where it names no criterion.
 * @param {string | null} text
 * @param {Manifest} manifest
 * @returns {Setting | null}
 */
function settingIn(text, manifest) {
  const words = new URLSearchParams(text ?? "");
  const known = SETTING.criterion.read(words.get("criterion") ?? "", manifest) !== null;
  return known ? decodeSetting(words, manifest) : null;
}

/**
 * @param {object} table
 * @param {object} values
 * @param {Manifest} manifest
 * @returns {URLSearchParams}
 */
function written(table, values, manifest) {
  const words = new URLSearchParams();
  for (const [name, field] of fieldsOf(table)) {
    const value = field.write(Reflect.get(values, name), manifest);
    const standard = field.write(field.standard(manifest), manifest);
    if (value !== null && (field.always || value !== standard)) words.set(field.key, String(value));
  }
  return words;
}

/**
 * @param {object} table
 * @param {URLSearchParams} words
 * @param {Manifest} manifest
 * @returns {object}
 */
function read(table, words, manifest) {
  return Object.fromEntries(
    fieldsOf(table).map(([name, field]) => {
      const text = words.get(field.key);
      return [name, (text === null ? null : field.read(text, manifest)) ?? field.standard(manifest)];
    }),
  );
}
