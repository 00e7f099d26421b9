// Depth to colours, as midas_bench.depth.heatmap does it.

import { cubic, linear, round } from "./resize.js";

/**
 * Enlarge depth to the photo's size, and stretch its range to 0 to 255: the nearest point is 255.
 * @param {Float32Array} depth inverse depth, (depthHeight, depthWidth)
 * @param {number} colouredSide larger pictures are enlarged from this size
 * @returns {Uint8Array} (height, width), each an index of the palette
 */
export function grey(depth, depthWidth, depthHeight, width, height, colouredSide) {
  const side = Math.max(colouredSide, depthWidth, depthHeight);
  if (Math.min(width, height) <= side) return stretched(depth, depthWidth, depthHeight, width, height);
  return linear(stretched(depth, depthWidth, depthHeight, side, side), side, side, width, height, 1);
}

function stretched(depth, depthWidth, depthHeight, width, height) {
  const out = new Uint8Array(width * height);
  const [least, most] = range(depth);
  // enlarging would add rounding errors, and the stretch would show them
  if (least === most) return out;
  const large = cubic(depth, depthWidth, depthHeight, width, height);
  const [low, high] = range(large);
  const factor = Math.fround(255 / (high - low));
  const offset = Math.fround(-low * (255 / (high - low)));
  for (let i = 0; i < out.length; i++) {
    const value = Math.fround(Math.fround(large[i] * factor) + offset);
    out[i] = Math.min(255, Math.max(0, round(value)));
  }
  return out;
}

function range(values) {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/**
 * Look up each index's colour.
 * @param {number[]} palette 256 colours, three numbers each
 * @returns {Uint8ClampedArray} RGBA, (height, width, 4), as ImageData takes it
 */
export function coloured(indices, palette) {
  const pixels = new Uint8ClampedArray(4 * indices.length);
  const colours = new Uint8Array(4 * 256);
  for (let i = 0; i < 256; i++) colours.set([...palette.slice(3 * i, 3 * i + 3), 255], 4 * i);
  // four bytes at a time, in whatever order this machine keeps them
  const whole = new Uint32Array(pixels.buffer);
  const table = new Uint32Array(colours.buffer);
  for (let i = 0; i < indices.length; i++) whole[i] = table[indices[i]];
  return pixels;
}
