/** What a mask of the first layer keeps, pixel by pixel and unit by unit. */

/** @typedef {import("./network.js").Shape} Shape */

/**
 * @typedef {object} MaskView of the first layer
 * @property {Uint16Array} perPixel kept weights of every input pixel
 * @property {Float32Array} unit one unit's incoming weights, 0 where pruned to 0
 * @property {Uint8Array} unitMask
 * @property {number[]} perUnit kept weights of every unit
 */

/**
 * @param {Shape} shape
 * @param {Uint8Array} mask
 * @param {Float32Array} weights
 * @param {number} unit that is looked at
 * @returns {MaskView}
 */
export function maskView({ inputs, outputs }, mask, weights, unit) {
  const perPixel = new Uint16Array(inputs);
  const perUnit = new Array(outputs).fill(0);
  for (let pixel = 0, index = 0; pixel < inputs; pixel++) {
    for (let to = 0; to < outputs; to++, index++) {
      perPixel[pixel] += mask[index];
      perUnit[to] += mask[index];
    }
  }
  const pixels = Array.from({ length: inputs }, (_, pixel) => pixel * outputs + unit);
  return {
    perPixel,
    perUnit,
    unit: Float32Array.from(pixels, (index) => weights[index]),
    unitMask: Uint8Array.from(pixels, (index) => mask[index]),
  };
}
