// What a network takes and gives, as midas_bench.depth.preprocess and .interface do it.

import { area, linear } from "./resize.js";

/**
 * Resize RGB to the network's input, and normalise it.
 * @param {{pixels: Uint8Array, width: number, height: number}} photo RGB, (height, width, 3)
 * @param {object} interface_ as settings.json has it
 * @returns {Float32Array | Uint8Array} one photo in the network's layout
 */
export function networkInput(photo, interface_) {
  const { width, height, mean, std, scale, layout, dtype } = interface_;
  const shrinks = photo.height > height && photo.width > width;
  const resized = shrinks
    ? area(photo.pixels, photo.width, photo.height, width, height)
    : linear(photo.pixels, photo.width, photo.height, width, height, 3);
  const whole = dtype === "uint8";
  const input = whole ? new Uint8Array(resized.length) : new Float32Array(resized.length);
  const plane = width * height;
  for (let channel = 0; channel < 3; channel++) {
    const factor = Math.fround(1 / Math.fround(scale * Math.fround(std[channel])));
    const offset = Math.fround(Math.fround(-mean[channel]) / Math.fround(std[channel]));
    for (let i = 0; i < plane; i++) {
      const value = resized[3 * i + channel];
      const at = layout === "NCHW" ? channel * plane + i : 3 * i + channel;
      input[at] = whole ? value : Math.fround(value * factor) + offset;
    }
  }
  return input;
}

/** The shape of one photo's input. */
export function inputShape({ layout, width, height }) {
  return layout === "NCHW" ? [1, 3, height, width] : [1, height, width, 3];
}

/** Depths below this share of the photo's largest count as it: their inverse would be without bounds. */
const NEAREST = 1e-3;

/**
 * Turn what the network gave into inverse depth, which grows towards the camera.
 * @returns {Float32Array} inverse depth
 */
export function inverseDepth(output, { meaning }) {
  if (!output.every(Number.isFinite)) throw new Error("the network gives NaN or infinity in place of depth");
  if (meaning === "inverse") return output;
  const largest = output.reduce((most, value) => Math.max(most, value), -Infinity);
  const nearest = largest > 0 ? largest * NEAREST : 1;
  return output.map((value) => 1 / Math.max(value, nearest));
}
