// Resizing as OpenCV does it, so that depth and colours made here are the server's.
//
// Each function was written from OpenCV's documented interpolation and held against its output: tests/web compares
// them. Arithmetic is in float32 or in integers wherever OpenCV's is, hence each Math.fround.

const { fround, floor, imul, min, max } = Math;

/** Round half to even, as C++ does; Math.round takes halves upwards. */
export function round(x) {
  const down = floor(x);
  const rest = x - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 ? down + 1 : down;
}

/** For each output pixel of one axis: the first source pixel, and the weights from there on. */
function areaWeights(from, to) {
  const scale = from / to;
  return Array.from({ length: to }, (_, i) => {
    const start = i * scale;
    const cell = min(scale, from - start);
    const last = min(floor(start + scale), from - 1);
    const first = min(Math.ceil(start), last);
    const weights = [];
    const before = first - start > 1e-3;
    if (before) weights.push(fround((first - start) / cell));
    for (let k = first; k < last; k++) weights.push(fround(1 / cell));
    if (start + scale - last > 1e-3) weights.push(fround(min(start + scale - last, 1, cell) / cell));
    return { first: before ? first - 1 : first, weights: Float32Array.from(weights) };
  });
}

/**
 * Shrink RGB by averaging over the covered area (OpenCV's INTER_AREA).
 * @param {Uint8Array} pixels (height, width, 3)
 * @returns {Uint8Array} (toHeight, toWidth, 3)
 */
export function area(pixels, width, height, toWidth, toHeight) {
  if (width % toWidth === 0 && height % toHeight === 0) return wholeArea(pixels, width, toWidth, toHeight, width / toWidth, height / toHeight);
  const columns = areaWeights(width, toWidth);
  const rows = areaWeights(height, toHeight);
  const out = new Uint8Array(toWidth * toHeight * 3);
  const line = new Float32Array(toWidth * 3);
  const sum = new Float32Array(toWidth * 3);
  for (let y = 0; y < toHeight; y++) {
    sum.fill(0);
    const { first, weights } = rows[y];
    for (let j = 0; j < weights.length; j++) {
      averageLine(pixels, (first + j) * width * 3, columns, line);
      for (let i = 0; i < line.length; i++) sum[i] += fround(weights[j] * line[i]);
    }
    for (let i = 0; i < sum.length; i++) out[y * sum.length + i] = round(sum[i]);
  }
  return out;
}

function averageLine(pixels, start, columns, line) {
  for (let x = 0; x < columns.length; x++) {
    const { first, weights } = columns[x];
    let at = start + first * 3;
    let red = 0;
    let green = 0;
    let blue = 0;
    for (let k = 0; k < weights.length; k++, at += 3) {
      const weight = weights[k];
      red = fround(red + fround(pixels[at] * weight));
      green = fround(green + fround(pixels[at + 1] * weight));
      blue = fround(blue + fround(pixels[at + 2] * weight));
    }
    line[3 * x] = red;
    line[3 * x + 1] = green;
    line[3 * x + 2] = blue;
  }
}

/** The same where both sides shrink by whole numbers: OpenCV sums integers, and rounds a half upwards for 2x2 alone. */
function wholeArea(pixels, width, toWidth, toHeight, across, down) {
  const out = new Uint8Array(toWidth * toHeight * 3);
  const share = fround(1 / (across * down));
  const halves = across === 2 && down === 2;
  for (let y = 0; y < toHeight; y++)
    for (let i = 0; i < toWidth * 3; i++) {
      const start = y * down * width * 3 + floor(i / 3) * across * 3 + (i % 3);
      let sum = 0;
      for (let j = 0; j < down; j++) for (let k = 0; k < across; k++) sum += pixels[start + (j * width + k) * 3];
      out[y * toWidth * 3 + i] = halves ? (sum + 2) >> 2 : round(fround(sum * share));
    }
  return out;
}

/**
 * For each output pixel of one axis: two source pixels, and their weights as integers of 2048.
 *
 * Beyond the first and the last pixel both are the same one. OpenCV then weighs columns by 2048 and 0, and rows by their
 * place, which is rounded otherwise.
 */
function linearWeights(from, to, edgeByPlace) {
  const axis = { low: new Int32Array(to), high: new Int32Array(to), lowWeight: new Int32Array(to), highWeight: new Int32Array(to) };
  const scale = from / to;
  for (let i = 0; i < to; i++) {
    const place = fround((i + 0.5) * scale - 0.5);
    const pixel = floor(place);
    const inside = pixel >= 0 && pixel < from - 1;
    const rest = inside || edgeByPlace ? fround(place - pixel) : 0;
    axis.low[i] = max(0, pixel);
    axis.high[i] = min(pixel + 1, from - 1);
    axis.lowWeight[i] = round(fround(fround(1 - rest) * 2048));
    axis.highWeight[i] = round(fround(rest * 2048));
  }
  return axis;
}

/**
 * Resize by bilinear interpolation of integers (OpenCV's INTER_LINEAR for 8 bits).
 * @param {Uint8Array} pixels (height, width, channels)
 * @returns {Uint8Array} (toHeight, toWidth, channels)
 */
export function linear(pixels, width, height, toWidth, toHeight, channels) {
  const columns = linearWeights(width, toWidth, false);
  const rows = linearWeights(height, toHeight, true);
  const length = toWidth * channels;
  const out = new Uint8Array(toHeight * length);
  // a source line serves several lines of a larger picture
  const kept = [
    { row: -1, line: new Int32Array(length) },
    { row: -1, line: new Int32Array(length) },
  ];
  const lineOf = (row, other) => {
    const slot = kept.find((one) => one.row === row) ?? kept.find((one) => one.row !== other);
    if (slot.row !== row) {
      blendLine(pixels, row * width * channels, columns, channels, slot.line);
      slot.row = row;
    }
    return slot.line;
  };
  for (let y = 0; y < toHeight; y++) {
    const upper = lineOf(rows.low[y], rows.high[y]);
    const lower = lineOf(rows.high[y], rows.low[y]);
    mixLines(upper, lower, rows.lowWeight[y], rows.highWeight[y], out, y * length);
  }
  return out;
}

function mixLines(upper, lower, upperWeight, lowerWeight, out, start) {
  for (let i = 0; i < upper.length; i++)
    out[start + i] = ((imul(upperWeight, upper[i]) >> 16) + (imul(lowerWeight, lower[i]) >> 16) + 2) >> 2;
}

function blendLine(pixels, start, columns, channels, line) {
  const { low, high, lowWeight, highWeight } = columns;
  for (let x = 0, i = 0; x < low.length; x++) {
    const [left, right] = [start + low[x] * channels, start + high[x] * channels];
    for (let channel = 0; channel < channels; channel++, i++)
      line[i] = (imul(pixels[left + channel], lowWeight[x]) + imul(pixels[right + channel], highWeight[x])) >> 4;
  }
}

/** OpenCV's bicubic curve has this slope. */
const SLOPE = -0.75;

function cubicWeights(from, to) {
  const scale = from / to;
  return Array.from({ length: to }, (_, i) => {
    const place = (i + 0.5) * scale - 0.5;
    const pixel = floor(place);
    const t = fround(place - pixel);
    const far = ((SLOPE * (t + 1) - 5 * SLOPE) * (t + 1) + 8 * SLOPE) * (t + 1) - 4 * SLOPE;
    const near = ((SLOPE + 2) * t - (SLOPE + 3)) * t * t + 1;
    const next = ((SLOPE + 2) * (1 - t) - (SLOPE + 3)) * (1 - t) * (1 - t) + 1;
    return {
      pixels: [-1, 0, 1, 2].map((step) => min(from - 1, max(0, pixel + step))),
      weights: [far, near, next, 1 - far - near - next].map(fround),
    };
  });
}

/**
 * Resize one channel by bicubic interpolation (OpenCV's INTER_CUBIC).
 * @param {Float32Array} values (height, width)
 * @returns {Float32Array} (toHeight, toWidth)
 */
export function cubic(values, width, height, toWidth, toHeight) {
  if (width === toWidth && height === toHeight) return values;
  const across = new Float32Array(height * toWidth);
  const columns = cubicWeights(width, toWidth);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < toWidth; x++) {
      const { pixels: p, weights: w } = columns[x];
      const start = y * width;
      across[y * toWidth + x] = values[start + p[0]] * w[0] + values[start + p[1]] * w[1] + values[start + p[2]] * w[2] + values[start + p[3]] * w[3];
    }
  const out = new Float32Array(toWidth * toHeight);
  cubicWeights(height, toHeight).forEach(({ pixels: p, weights: w }, y) => {
    const lines = p.map((row) => across.subarray(row * toWidth, (row + 1) * toWidth));
    for (let x = 0; x < toWidth; x++)
      out[y * toWidth + x] = lines[0][x] * w[0] + lines[1][x] * w[1] + lines[2][x] * w[2] + lines[3][x] * w[3];
  });
  return out;
}
