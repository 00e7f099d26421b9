// Encoded photos to upright RGB, as midas_bench.depth.photo does it.

import { Failure } from "./failure.js";

/** JPEGs are decoded by libjpeg-turbo in WebAssembly: browsers' own decoders give whole photos alone, and differ. */
const TURBOJPEG_RGB = 0;
/** TurboJPEG's number of the colour space of grey and of photos with colour; CMYK has larger ones. */
const GREY = 2;
const FACTORS = [8, 4, 2, 1];

export class Photos {
  #module;
  #exports = null;
  #maxPixels;
  #least;

  /**
   * @param {WebAssembly.Module} module of libjpeg-turbo
   * @param {number} least JPEGs are decoded to the smallest fraction that leaves both sides this many pixels
   */
  constructor(module, least, maxPixels) {
    this.#module = module;
    this.#least = least;
    this.#maxPixels = maxPixels;
  }

  /**
   * Decode a JPEG to a fraction of its size, and what else the browser reads whole.
   * @param {ArrayBuffer} file
   * @returns {Promise<{pixels: Uint8Array, width: number, height: number, photoWidth: number, photoHeight: number}>}
   *   RGB (height, width, 3), and the size of the photo itself
   */
  async decode(file) {
    const bytes = new Uint8Array(file);
    const jpeg = bytes[0] === 0xff && bytes[1] === 0xd8;
    return (jpeg && this.#jpeg(bytes)) || this.#whole(file);
  }

  /** Decode with libjpeg-turbo; null for what it does not read without a complaint. */
  #jpeg(bytes) {
    this.#exports ??= instance(this.#module);
    const turbo = this.#exports;
    const taken = [];
    const allocate = (size) => {
      const place = turbo.malloc(size);
      if (!place) throw new RangeError("out of memory");
      taken.push(place);
      return place;
    };
    const decompressor = turbo.tjInitDecompress();
    try {
      const source = allocate(bytes.length);
      new Uint8Array(turbo.memory.buffer).set(bytes, source);
      const header = allocate(16);
      const places = [header, header + 4, header + 8, header + 12];
      if (turbo.tjDecompressHeader3(decompressor, source, bytes.length, ...places)) return null;
      const [storedWidth, storedHeight, , colours] = new Int32Array(turbo.memory.buffer, header, 4);
      if (colours > GREY) return null;
      this.#check(storedWidth, storedHeight);
      const factor = FACTORS.find((one) => one === 1 || Math.min(storedWidth, storedHeight) >= one * this.#least);
      const [width, height] = [Math.ceil(storedWidth / factor), Math.ceil(storedHeight / factor)];
      const target = allocate(width * height * 3);
      if (turbo.tjDecompress2(decompressor, source, bytes.length, target, width, 0, height, TURBOJPEG_RGB, 0)) return null;
      const pixels = new Uint8Array(turbo.memory.buffer, target, width * height * 3).slice();
      return upright({ pixels, width, height, photoWidth: storedWidth, photoHeight: storedHeight }, storage(bytes).orientation);
    } catch (error) {
      // libjpeg ended by an error, and left its memory as it was
      this.#exports = null;
      if (!(error instanceof JpegError)) throw error;
      return null;
    } finally {
      if (this.#exports) {
        turbo.tjDestroy(decompressor);
        taken.forEach((place) => turbo.free(place));
      }
    }
  }

  async #whole(file) {
    const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
    const bytes = new Uint8Array(file);
    const stored = storage(bytes);
    // browsers turn some formats upright and others not, unless the file itself says that it is upright
    if (stored.place) new DataView(file).setUint16(stored.place, 1, stored.small);
    const bitmap = await createImageBitmap(new Blob([bytes]), options).catch(() => {
      throw new Failure("The photo cannot be decoded", "It is damaged, or of a format that this browser does not read.", "Convert it to JPEG.");
    });
    const { width, height } = bitmap;
    this.#check(width, height);
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    const rgba = context.getImageData(0, 0, width, height).data;
    const pixels = new Uint8Array(width * height * 3);
    for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
      pixels[to] = rgba[from];
      pixels[to + 1] = rgba[from + 1];
      pixels[to + 2] = rgba[from + 2];
    }
    return upright({ pixels, width, height, photoWidth: width, photoHeight: height }, stored.orientation);
  }

  #check(width, height) {
    if (width * height <= this.#maxPixels) return;
    const [has, most] = [width * height, this.#maxPixels].map((count) => `${(count / 1e6).toFixed(0)} megapixels`);
    throw new Failure("The photo is too large", `It has ${has}, and this page takes up to ${most}.`, "Make it smaller.");
  }
}

class JpegError extends Error {}

function instance(module) {
  // it has no system behind it: where libjpeg would leave by longjmp, it leaves by an exception
  const left = () => {
    throw new JpegError();
  };
  const system = { environ_sizes_get: () => 0, environ_get: left, proc_exit: left, fd_close: left, fd_seek: left, fd_write: left };
  const { exports } = new WebAssembly.Instance(module, { env: { setjmp: () => 0, longjmp: left }, wasi_snapshot_preview1: system });
  return exports;
}

const APP1 = 0xe1;
const SCAN = 0xda;
const ORIENTATION = 0x0112;
const text = (letters) => [...letters].reduce((number, letter) => (number << 8) | letter.charCodeAt(0), 0) >>> 0;
const [EXIF, PNG, WEBP] = ["Exif", "\x89PNG", "WEBP"].map(text);

/** Read how a photo is stored, 1 to 8 as in EXIF; 1, which is upright, for whatever says nothing sound. */
function storage(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    const start = exifIn(view);
    // a JPEG has "Exif" and two zeros before it, and some WebPs too
    return (start && orientationIn(view, view.getUint32(start) === EXIF ? start + 6 : start)) || { orientation: 1 };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { orientation: 1 };
  }
}

/** Return where a photo's EXIF begins, or 0. Whatever ends before it should raises a RangeError. */
function exifIn(view) {
  if (view.getUint32(0) === PNG) return partIn(view, 8, text("eXIf"), (at) => [view.getUint32(at + 4), at + 8, 12 + view.getUint32(at)]);
  if (view.getUint32(8) === WEBP) return partIn(view, 12, text("EXIF"), (at) => [view.getUint32(at), at + 8, 8 + evenly(view.getUint32(at + 4, true))]);
  for (let at = 2; view.getUint8(at) === 0xff && view.getUint8(at + 1) !== SCAN; at += 2 + view.getUint16(at + 2))
    if (view.getUint8(at + 1) === APP1 && view.getUint32(at + 4) === EXIF) return at + 4;
  return 0;
}

function partIn(view, start, wanted, read) {
  for (let at = start; at < view.byteLength; ) {
    const [name, content, length] = read(at);
    if (name === wanted) return content;
    at += length;
  }
  return 0;
}

function evenly(length) {
  return length + (length % 2);
}

function orientationIn(view, start) {
  // "II": the least significant byte first
  const small = view.getUint16(start) === 0x4949;
  const directory = start + view.getUint32(start + 4, small);
  for (let entry = 0; entry < view.getUint16(directory, small); entry++) {
    const at = directory + 2 + 12 * entry;
    if (view.getUint16(at, small) !== ORIENTATION) continue;
    const orientation = view.getUint16(at + 8, small);
    return orientation >= 1 && orientation <= 8 ? { orientation, place: at + 8, small } : null;
  }
  return null;
}

/** Turn pixels upright as EXIF's orientation says how they are stored. */
function upright(photo, orientation) {
  if (orientation === 1) return photo;
  const { pixels, width, height, photoWidth, photoHeight } = photo;
  const sideways = orientation >= 5;
  const [toWidth, toHeight] = sideways ? [height, width] : [width, height];
  const mirrored = [2, 3, 7, 8].includes(orientation);
  const flipped = [3, 4, 6, 7].includes(orientation);
  const out = new Uint8Array(pixels.length);
  for (let y = 0; y < toHeight; y++)
    for (let x = 0; x < toWidth; x++) {
      let [column, row] = sideways ? [y, x] : [x, y];
      if (mirrored) column = width - 1 - column;
      if (flipped) row = height - 1 - row;
      const from = 3 * (row * width + column);
      const to = 3 * (y * toWidth + x);
      out[to] = pixels[from];
      out[to + 1] = pixels[from + 1];
      out[to + 2] = pixels[from + 2];
    }
  const size = sideways ? { photoWidth: photoHeight, photoHeight: photoWidth } : { photoWidth, photoHeight };
  return { pixels: out, width: toWidth, height: toHeight, ...size };
}
