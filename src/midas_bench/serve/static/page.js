// Sends photos without leaving the page, and lays photo and depth over each other. Without this script the page is a plain form.
const $ = (id) => document.getElementById(id);
const form = $("form");
const pair = $("pair");
const split = $("split");
const limitBytes = Number(form.dataset.maxBytes);
const WRAPPING_BYTES = 1024; // of a form around its photo, generously
const TYPE = "image/png"; // with a palette: exact colours, and quick to make

let current = null; // the AbortController of the photo that is under way
let urls = []; // of the pictures that are shown
let device = null; // computes in this browser, where the server offers that

document.documentElement.classList.add("js");
$("photo").addEventListener("change", picked);
$("camera").addEventListener("change", picked);
form.addEventListener("submit", submitted);
$("cancel").addEventListener("click", cancel);

function picked(event) {
  const [file] = event.target.files;
  event.target.value = ""; // the same file can be chosen again
  if (file) work(file.name, file);
}

function submitted(event) {
  event.preventDefault();
  const { value, dataset } = event.submitter ?? {};
  if (dataset?.url) work(value, async (signal) => read(await fetch(dataset.url, { signal }), (answer) => answer.blob()));
}

function cancel() {
  device?.cancel();
  settle("Cancelled.");
  $("photo").focus();
}

// Drop and paste work anywhere on the page.
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  const [file] = event.dataTransfer.files;
  if (file) work(file.name, file);
  else complain({ title: "No photo was dropped", detail: "What was dropped is not a file.", next_step: "Save it first, then drop the file." });
});
document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  if (file) work(file.name, file);
});

/** Take a photo (a file, or a function that fetches one) the whole way; a later photo replaces it. */
async function work(name, source) {
  current?.abort();
  const mine = (current = new AbortController());
  clear();
  document.body.classList.add("working");
  $("busy").hidden = false;
  $("status").textContent = `Working on ${name} …`;
  try {
    const photo = typeof source === "function" ? await source(mine.signal) : source;
    const answer = device?.chosen ? await compute(photo) : await send(name, photo, mine.signal);
    const pictures = await load([photo, answer.heatmap]);
    if (mine === current && !mine.signal.aborted) show(name, pictures, answer);
    else pictures.forEach((picture) => URL.revokeObjectURL(picture.src));
  } catch (error) {
    if (mine === current && !mine.signal.aborted) complain(error);
  }
}

/** Let this device compute; nothing is sent. */
async function compute(photo) {
  const { heatmap, stages_ms, computed } = await device.depth(photo);
  return { heatmap, stages_ms, place: "on this device", also: computed };
}

async function send(name, photo, signal) {
  if (photo.size + WRAPPING_BYTES > limitBytes) throw tooLarge(photo);
  const body = new FormData();
  body.append("photo", photo, name);
  const started = performance.now();
  const answer = await fetch("api/depth", { method: "POST", body, signal, headers: { Accept: TYPE } });
  const heatmap = await read(answer, () => answer.blob());
  const stages = [...(answer.headers.get("Server-Timing") ?? "").matchAll(/([\w-]+);dur=([\d.]+)/g)];
  const also = `${(performance.now() - started).toFixed(0)} ms with the way there and back`;
  return { heatmap, stages_ms: new Map(stages.map(([, stage, ms]) => [stage, Number(ms)])), place: "on the server", also };
}

async function read(answer, content) {
  if (answer.ok) return content(answer);
  const problem = await answer.json().catch(() => null);
  throw problem?.title ? problem : { title: "The server failed", detail: `It answered with status ${answer.status}.`, next_step: "Try again." };
}

function tooLarge(photo) {
  const megabytes = (photo.size / 1e6).toFixed(1);
  const detail = `It has ${megabytes} MB, and this server takes up to ${form.dataset.limit}.`;
  return { title: "The photo is too large", detail, next_step: "Scale it down, or save it with more compression." };
}

/** Decode both pictures before either is shown, so that the page never mixes two photos. */
async function load(blobs) {
  const pictures = blobs.map((blob) => Object.assign(new Image(), { src: URL.createObjectURL(blob) }));
  await Promise.all(pictures.map((picture) => picture.decode()));
  return pictures;
}

function show(name, pictures, { stages_ms, place, also }) {
  urls.forEach(URL.revokeObjectURL);
  urls = pictures.map((picture) => picture.src);
  const { naturalWidth: width, naturalHeight: height } = pictures[1];
  [$("result-photo"), $("result-depth")].forEach((image, i) => Object.assign(image, { src: urls[i], width, height }));
  $("result-photo").alt = `The photo ${name}`;
  $("result-depth").alt = `Depth of ${name} as a heat map: bright is near, dark is far`;
  pair.style.setProperty("--ratio", width / height);
  // Chromium leaves WebP as the camera held it, whatever its EXIF says: the two cannot be laid over each other
  const turned = pictures[0].naturalWidth !== width || pictures[0].naturalHeight !== height;
  $("turned").hidden = !turned;
  document.querySelector(".views").disabled = turned;
  view(turned ? "side" : chosenView());
  Object.assign($("download"), { href: urls[1], download: `${name.replace(/\.[^.]*$/, "")}-depth.png` });
  $("size").textContent = `${width} × ${height} pixels`;
  const spent = `${times(stages_ms).toFixed(0)} ms ${place}`;
  $("total").textContent = `${spent}, ${also}`;
  $("result").hidden = false;
  move(50);
  settle(`Done: depth of ${name}, ${spent}.`);
  $("result-title").focus({ preventScroll: true });
  $("result-title").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

/** Fill the table: each bar starts where the one before it ends. Returns the sum. */
function times(stages_ms) {
  const sum_ms = [...stages_ms.values()].reduce((sum, ms) => sum + ms, 0);
  let done_ms = 0;
  for (const row of document.querySelectorAll("tr[data-stage]")) {
    const ms = stages_ms.get(row.dataset.stage) ?? 0;
    const bar = row.querySelector(".time");
    bar.setAttribute("x", `${(100 * done_ms) / sum_ms || 0}%`);
    bar.setAttribute("width", `${(100 * ms) / sum_ms || 0}%`);
    row.querySelector(".number").textContent = `${ms.toFixed(1)} ms`;
    done_ms += ms;
  }
  return sum_ms;
}

function complain(problem) {
  const unreachable = { title: "The photo did not get through", detail: "Its file cannot be read, or the server cannot be reached.", next_step: "Check both and try again." };
  const undecodable = { title: "The photo cannot be shown", detail: "This browser cannot decode it.", next_step: "Convert it to JPEG." };
  const { title, detail, next_step } = problem instanceof TypeError ? unreachable : problem instanceof DOMException ? undecodable : problem;
  const shown = $("problem-form").content.cloneNode(true);
  [title, detail, next_step].forEach((text, i) => (shown.firstElementChild.children[i].textContent = text));
  clear();
  $("problem").append(shown);
  settle("");
  $("problem").scrollIntoView({ block: "nearest" });
}

function clear() {
  $("problem").replaceChildren();
}

/** Nothing is under way any more: it is through, has failed, or nobody waits for it. */
function settle(text) {
  current?.abort();
  current = null;
  document.body.classList.remove("working");
  $("busy").hidden = true;
  loading(0, 0);
  $("status").textContent = text;
}

// The slider: keys go to the range input, the pointer to the whole picture (iOS moves a range by its thumb only).
function move(percent) {
  split.value = Math.min(100, Math.max(0, percent));
  pair.style.setProperty("--split", `${split.value}%`);
  split.setAttribute("aria-valuetext", `${split.value} % photo`);
}

function point(event) {
  const { left, width } = pair.getBoundingClientRect();
  move((100 * (event.clientX - left)) / width);
}

function chosenView() {
  return document.querySelector("[name=view]:checked").value;
}

function view(kind) {
  pair.classList.toggle("slider", kind === "slider");
}

split.addEventListener("input", () => move(split.value));
pair.addEventListener("pointerdown", (event) => {
  if (!pair.classList.contains("slider") || event.button !== 0) return;
  event.preventDefault();
  split.focus({ preventScroll: true, focusVisible: false });
  pair.setPointerCapture(event.pointerId);
  point(event);
});
pair.addEventListener("pointermove", (event) => pair.hasPointerCapture(event.pointerId) && point(event));
for (const radio of document.querySelectorAll("[name=view]")) radio.addEventListener("change", () => view(radio.value));
view(chosenView());

/** Show how much of the model is loaded; all of it, and nothing, as work without a known end. */
function loading(loaded, total) {
  const known = loaded < total;
  const bar = $("progress");
  if (known) Object.assign(bar, { max: total, value: loaded });
  else bar.removeAttribute("value");
  $("loaded").textContent = known ? `model: ${(loaded / 1e6).toFixed(0)} of ${(total / 1e6).toFixed(0)} MB` : "";
}

// Samples come from the server: without it there is nothing to choose.
for (const image of document.querySelectorAll(".samples img")) {
  const gone = () => (image.closest(".samples").hidden = true);
  if (image.complete && !image.naturalWidth) gone();
  else image.addEventListener("error", gone);
}

const choice = $("where");
if (choice) {
  const { Device } = await import("./device.js");
  device = new Device(choice, loading);
}
