// Photos to heat maps on this device: a module Worker around ONNX Runtime for the web.
//
// To it:   {type: "load", base, model, threads, provider}      base: the address of the folder device/
//          {type: "run", id, photo, depth}                     photo: an ArrayBuffer; depth: whether depth is wanted too
//          {type: "rounds", id, photo, count, inferenceOnly}   times runs of one photo, in this thread
// From it: {type: "progress", loaded, total}                   bytes
//          {type: "ready", model, provider, threads, isolated, bytes, load_ms}
//          {type: "result", id, width, height, pixels, depth?, stages_ms}
//          {type: "rounds", id, rounds_ms, stages_ms}
//          {type: "failed", id?, title, detail, next_step}     the worker goes on, unless nothing was loaded

import { Failure } from "./failure.js";
import { coloured, grey } from "./heatmap.js";
import { inputShape, inverseDepth, networkInput } from "./network.js";
import { Photos } from "./photo.js";

/** A module with one instruction of SIMD, which a browser without it refuses. */
const SIMD_MODULE = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

let settings = null;
let runtime = null;
let session = null;
let photos = null;

async function load({ base, model, threads, provider = "wasm" }) {
  if (!WebAssembly.validate(Uint8Array.from(SIMD_MODULE)))
    throw new Failure("This browser is too old", "It has no SIMD for WebAssembly.", "Update it, or let the server compute.");
  settings = await (await got(base, "settings.json")).json();
  const graph = settings.models.find((one) => one.name === model);
  if (!graph) throw new Failure("There is no such model", `The server offers no model called ${model}.`, "Load the page anew.");
  const { folder, files } = settings.runtime;
  const needed = files[provider];
  const sizes = [...needed.map((file) => file.bytes), settings.decoder.bytes, graph.bytes];
  const total = sizes.reduce((sum, bytes) => sum + bytes, 0);
  const start_ms = performance.now();
  let before = 0;
  const download = async (file, bytes) => {
    const content = await downloaded(base, file, bytes, (loaded) => postMessage({ type: "progress", loaded: before + loaded, total }));
    before += bytes;
    return content;
  };
  // the runtime asks for its files itself, and finds them in the browser's cache: only so is its code compiled while it arrives
  for (const file of needed) await download(`${folder}/${file.name}`, file.bytes);
  const decoder = await download(settings.decoder.file, settings.decoder.bytes);
  const content = await download(graph.file, graph.bytes);
  const loaded_ms = performance.now();
  runtime = await import(new URL(`${folder}/${needed[0].name}`, base).href);
  runtime.env.wasm.wasmPaths = new URL(`${folder}/`, base).href;
  runtime.env.wasm.numThreads = crossOriginIsolated ? threads || navigator.hardwareConcurrency : 1;
  photos = new Photos(await WebAssembly.compile(decoder), settings.least_side, settings.max_pixels);
  session = await runtime.InferenceSession.create(content, { executionProviders: [provider] });
  const compiled_ms = performance.now();
  const { width, height, dtype } = settings.interface;
  await infer(new (dtype === "uint8" ? Uint8Array : Float32Array)(3 * width * height));
  const load_ms = { download: loaded_ms - start_ms, compile: compiled_ms - loaded_ms, first_inference: performance.now() - compiled_ms };
  return { type: "ready", model, provider, threads: runtime.env.wasm.numThreads, isolated: crossOriginIsolated, bytes: total, load_ms };
}

async function got(base, file) {
  const response = await fetch(new URL(file, base)).catch(() => {
    throw new Failure("The model cannot be loaded", "The server cannot be reached.", "Try again when it can.");
  });
  if (!response.ok) throw new Failure("The model cannot be loaded", `The server answers ${response.status} for ${file}.`, "Load the page anew.");
  return response;
}

async function downloaded(base, file, bytes, tell) {
  const content = new Uint8Array(bytes);
  let loaded = 0;
  for await (const piece of pieces((await got(base, file)).body)) {
    if (loaded + piece.length <= bytes) content.set(piece, loaded);
    loaded += piece.length;
    tell(loaded);
  }
  if (loaded !== bytes) throw new Failure("The model cannot be loaded", `${file} has ${loaded} bytes in place of ${bytes}.`, "Load the page anew.");
  return content;
}

/** Iterate over a stream; not every browser lets one do so directly. */
async function* pieces(stream) {
  const reader = stream.getReader();
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
  } catch {
    throw new Failure("The model cannot be loaded", "The connection was lost.", "Try again.");
  }
}

/** Return the network's output for one photo's input, and its height and width. */
async function infer(input) {
  const { dtype, output: name } = settings.interface;
  const tensor = new runtime.Tensor(dtype, input, inputShape(settings.interface));
  const outputs = await session.run({ [session.inputNames[0]]: tensor });
  const output = outputs[name || session.outputNames[0]];
  const [height, width] = output.dims.filter((size, axis) => axis > 0 && size > 1).slice(-2);
  return { values: output.data, width, height };
}

/** Take one photo through all stages, and tell how long each took. */
async function staged(photo) {
  const times = [performance.now()];
  const step = (value) => {
    times.push(performance.now());
    return value;
  };
  const decoded = step(await photos.decode(photo));
  const input = step(networkInput(decoded, settings.interface));
  const output = step(await infer(input));
  const depth = inverseDepth(output.values, settings.interface);
  const { photoWidth: width, photoHeight: height } = decoded;
  const indices = grey(depth, output.width, output.height, width, height, settings.coloured_side);
  const pixels = step(coloured(indices, settings.palette));
  const names = ["decode", "preprocess", "inference", "heatmap"];
  const stages_ms = Object.fromEntries(names.map((name, i) => [name, times[i + 1] - times[i]]));
  return { width, height, pixels, depth, stages_ms };
}

async function run({ id, photo, depth: wanted }) {
  requireModel();
  const { width, height, pixels, depth, stages_ms } = await staged(photo);
  const result = { type: "result", id, width, height, pixels, stages_ms };
  return wanted ? { ...result, depth } : result;
}

async function rounds({ id, photo, count, inferenceOnly }) {
  requireModel();
  const input = networkInput(await photos.decode(photo), settings.interface);
  const timed = { type: "rounds", id, rounds_ms: [], stages_ms: [] };
  for (let round = 0; round < count; round++) {
    const start_ms = performance.now();
    const stages_ms = inferenceOnly ? (await infer(input), null) : (await staged(photo)).stages_ms;
    timed.rounds_ms.push(performance.now() - start_ms);
    if (stages_ms) timed.stages_ms.push(stages_ms);
  }
  return timed;
}

function requireModel() {
  if (!session) throw new Failure("No model is loaded", "It could not be loaded before.", "Load the page anew.");
}

function failed(error, { id, type }) {
  const told = (title, detail, next_step) => ({ type: "failed", id, title, detail, next_step });
  if (error instanceof Failure) return told(error.title, error.detail, error.nextStep);
  // browsers and ONNX Runtime say so each in words of its own
  if (error instanceof RangeError || /memory|alloc/i.test(error))
    return told("This device has too little memory", "The browser gave no more.", "Close other pages, take a smaller photo, or let the server compute.");
  const detail = String(error?.message ?? error).split("\n")[0].slice(0, 200);
  if (type === "load") return told("The model cannot be opened", detail, "Let the server compute.");
  return told("This device gave no depth", detail, "Try again, or let the server compute.");
}

const TASKS = { load, run, rounds };
let last = Promise.resolve();

addEventListener("message", ({ data }) => {
  // one at a time: a session runs no two photos at once
  last = last.then(() => TASKS[data.type](data)).catch((error) => failed(error, data)).then((message) => {
    const transferred = message.pixels ? [message.pixels.buffer] : [];
    postMessage(message, transferred);
  });
});
