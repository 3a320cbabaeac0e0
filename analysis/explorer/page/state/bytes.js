/** Bytes as letters of an address, and what a byte holds: eight cells of a region, or two pixels of 16 shades. */

/** @type {(bytes: Uint8Array) => string} base64 with letters that an address leaves as they are */
export const toText = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/**
 * The bytes; null unless there are exactly as many.
 * @param {string} text
 * @param {number} size
 * @returns {Uint8Array | null}
 */
export function fromText(text, size) {
  if (!/^[\w-]*$/.test(text)) return null;
  try {
    const content = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    return content.length === size ? Uint8Array.from(content, (letter) => letter.charCodeAt(0)) : null;
  } catch {
    return null;
  }
}

/** @type {(cells: Uint8Array) => Uint8Array} eight cells a byte */
export const bitsOf = (cells) =>
  Uint8Array.from({ length: cells.length / 8 }, (_, at) =>
    cells.subarray(8 * at, 8 * at + 8).reduce((byte, cell) => 2 * byte + cell, 0),
  );

/** @type {(bytes: Uint8Array) => Uint8Array} */
export const cellsOf = (bytes) =>
  Uint8Array.from({ length: 8 * bytes.length }, (_, at) => (bytes[at >> 3] >> (7 - (at & 7))) & 1);

/** @type {(pixels: Uint8Array) => Uint8Array} two pixels a byte; an odd one has its own */
export const halvesOf = (pixels) =>
  Uint8Array.from({ length: Math.ceil(pixels.length / 2) }, (_, at) => pixels[2 * at] / 17 + ((pixels[2 * at + 1] ?? 0) / 17) * 16);

/**
 * As many pixels, from half as many bytes; null without bytes.
 * @param {Uint8Array | null} bytes
 * @param {number} size
 * @returns {Uint8Array | null}
 */
export const pixelsOf = (bytes, size) => bytes && Uint8Array.from({ length: size }, (_, at) => ((bytes[at >> 1] >> (4 * (at & 1))) & 15) * 17);
