/** What this browser remembers of the visitor; where it keeps nothing, as in a frame without an origin, the page does. */

/** @type {Map<string, string>} */
const kept = new Map();

/**
 * What is kept under a name; null where there is nothing.
 * @param {string} name
 * @returns {string | null}
 */
export function remembered(name) {
  try {
    return localStorage.getItem(name) ?? kept.get(name) ?? null;
  } catch {
    return kept.get(name) ?? null;
  }
}

/**
 * @param {string} name
 * @param {string} value
 */
export function remember(name, value) {
  kept.set(name, value);
  try {
    localStorage.setItem(name, value);
  } catch {
    // Kept until the page is closed, then.
  }
}

/** @param {string} name */
export function forget(name) {
  kept.delete(name);
  try {
    localStorage.removeItem(name);
  } catch {
    // There was nothing kept.
  }
}
