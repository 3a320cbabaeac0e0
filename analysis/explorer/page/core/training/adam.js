/** Adam, as optax has it by default. Kingma & Ba 2015, algorithm 1. */

const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];

export class Adam {
  /** @param {number} size how many numbers are trained */
  constructor(size) {
    this.mean = new Float64Array(size);
    this.square = new Float64Array(size);
  }

  /**
   * Moves numbers against their gradient.
   * @param {Float64Array} values
   * @param {Float64Array} gradient
   * @param {number} rate
   * @param {number} step from 1
   * @param {Uint8Array | null} moves 0 for numbers that stay; null where all move
   */
  update(values, gradient, rate, step, moves) {
    const { mean, square } = this;
    const rise = rate / (1 - BETA1 ** step);
    const scale = 1 / Math.sqrt(1 - BETA2 ** step);
    for (let at = 0; at < values.length; at++) {
      const slope = gradient[at];
      const m = (mean[at] = BETA1 * mean[at] + (1 - BETA1) * slope);
      const v = (square[at] = BETA2 * square[at] + (1 - BETA2) * slope * slope);
      if (moves === null || moves[at] === 1) values[at] -= (rise * m) / (Math.sqrt(v) * scale + EPSILON);
    }
  }
}
