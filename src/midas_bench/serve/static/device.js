// Computes depth on this device: a Worker holds the network, and the photo never leaves the page.
const CHOICE = "midas-bench-where"; // in localStorage: what was chosen at the last visit
const CONTROL_MS = 2000; // to wait for the service worker, which a forced reload keeps away
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|software/i; // renderers that only imitate a graphics adapter
const CANCELLED = { title: "Cancelled", detail: "Another photo or model was chosen.", next_step: "Choose the photo again." };
const RUNTIMES = { wasm: "WebAssembly", webgpu: "WebGPU" };

export class Device {
  #base;
  #choice; // the fieldset
  #progress;
  #worker = null;
  #loaded = null; // a promise of what the worker said when it was ready
  #key = ""; // of the model and the runtime that it has, or is loading
  #starts = 0;
  #waiting = new Map(); // by a photo's number, the functions that end its promise
  #numbers = 0;
  #kept = null; // a promise: from then on, the service worker keeps what is loaded

  /**
   * @param {HTMLFieldSetElement} choice where to compute, and by which model
   * @param {(loaded: number, total: number) => void} progress hears of the bytes while the model loads
   */
  constructor(choice, progress) {
    this.#choice = choice;
    this.#base = new URL(choice.dataset.base, document.baseURI).href;
    this.#progress = progress;
    this.#restore();
    choice.disabled = false;
    choice.addEventListener("change", () => this.#changed());
    this.#changed();
  }

  /** Whether this device computes, and not the server. */
  get chosen() {
    return this.#choice.querySelector("[value=device]").checked;
  }

  /**
   * Compute the depth of a photo; the model is loaded first unless it is there.
   * @param {Blob} photo
   * @returns {Promise<{heatmap: Blob, stages_ms: Map<string, number>, computed: string}>} heatmap: a PNG
   */
  async depth(photo) {
    const { threads, model, provider } = await this.#load();
    const bytes = await photo.arrayBuffer().catch(() => {
      throw { title: "The photo cannot be read", detail: "Its file is gone, or may not be read.", next_step: "Choose it again." };
    });
    const started_ms = performance.now();
    const { pixels, width, height, stages_ms } = await this.#ask({ type: "run", photo: bytes, depth: false }, [bytes]);
    const computed_ms = performance.now();
    const stages = new Map(Object.entries(stages_ms));
    const worked_ms = [...stages.values()].reduce((sum, ms) => sum + ms, 0);
    stages.set("queue", Math.max(0, computed_ms - started_ms - worked_ms));
    const heatmap = await png(pixels, width, height);
    stages.set("encode", performance.now() - computed_ms);
    const computed = `${model} by ${RUNTIMES[provider]}, ${threads} thread${threads === 1 ? "" : "s"}`;
    return { heatmap, stages_ms: stages, computed };
  }

  /** Stop loading the model; what has come so far in whole files stays for the next time. */
  cancel() {
    if (!this.#worker?.ready) this.#end();
  }

  #load() {
    const { value: model, dataset } = this.#choice.querySelector("select").selectedOptions[0];
    const key = `${model} ${dataset.provider}`;
    if (this.#loaded && key === this.#key) return this.#loaded;
    this.#end();
    this.#key = key;
    this.#loaded = this.#start({ type: "load", base: this.#base, model, threads: 0, provider: dataset.provider });
    const loaded = this.#loaded;
    loaded.catch(() => loaded === this.#loaded && this.#end());
    return this.#loaded;
  }

  async #start(request) {
    const number = ++this.#starts;
    await this.#kept;
    if (number !== this.#starts) throw CANCELLED;
    const worker = new Worker(new URL("depth-worker.js", this.#base), { type: "module" });
    this.#worker = worker;
    worker.addEventListener("message", ({ data }) => this.#heard(worker, data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      if (worker !== this.#worker) return;
      // a script that cannot be had gives no message
      const detail = event.message || "Its script cannot be loaded.";
      const next_step = "Load the page anew, or let the server compute.";
      this.#end({ title: "This device cannot compute depth", detail, next_step });
    });
    const ready = await this.#ask(request);
    worker.ready = true;
    return ready;
  }

  /** Send a message to the worker, and wait for its answer. */
  #ask(message, transferred = []) {
    const id = ++this.#numbers;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...message, id }, transferred);
    });
  }

  #heard(worker, message) {
    if (worker !== this.#worker) return;
    if (message.type === "progress") return this.#progress(message.loaded, message.total);
    // loading is answered without a number
    const id = message.id ?? Math.min(...this.#waiting.keys());
    const { resolve, reject } = this.#waiting.get(id) ?? {};
    this.#waiting.delete(id);
    if (message.type === "failed") reject?.(message);
    else resolve?.(message);
  }

  #end(problem = CANCELLED) {
    this.#starts++;
    this.#worker?.terminate();
    this.#worker = this.#loaded = null;
    this.#key = "";
    for (const { reject } of this.#waiting.values()) reject(problem);
    this.#waiting.clear();
  }

  #restore() {
    const { where, option } = remembered();
    if (where !== "device") return;
    this.#choice.querySelector("[value=device]").checked = true;
    const select = this.#choice.querySelector("select");
    // what a graphics adapter computed may not be had today
    if (select.options[option]?.dataset.provider === "wasm") select.selectedIndex = option;
  }

  #changed() {
    const { chosen } = this;
    document.body.classList.toggle("on-device", chosen);
    remember({ where: chosen ? "device" : "server", option: this.#choice.querySelector("select").selectedIndex });
    if (!chosen) return;
    this.#kept ??= keepForNextVisit();
    document.getElementById("one-thread").hidden = crossOriginIsolated;
    this.#offerAdapter();
  }

  /** Offer what needs a graphics adapter where there is one, and say why where not. */
  async #offerAdapter() {
    const option = this.#choice.querySelector("[data-provider=webgpu]");
    if (!option?.disabled || option.dataset.asked) return;
    option.dataset.asked = "yes";
    const reason = await adapterProblem();
    if (reason) option.textContent += ` – ${reason}`;
    option.disabled = Boolean(reason);
  }
}

async function adapterProblem() {
  if (!navigator.gpu) return "not in this browser";
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  if (!adapter) return "no graphics adapter here";
  const { isFallbackAdapter = adapter.isFallbackAdapter, vendor, architecture, description } = adapter.info ?? {};
  const software = isFallbackAdapter || SOFTWARE.test([vendor, architecture, description].join(" "));
  return software ? "only an imitated graphics adapter here" : "";
}

/** Register the service worker, and wait until it sees what is loaded. */
async function keepForNextVisit() {
  // only secure pages have one; without it, everything works as long as the server answers
  if (!navigator.serviceWorker) return;
  try {
    await navigator.serviceWorker.register("service-worker.js");
  } catch {
    return;
  }
  if (navigator.serviceWorker.controller) return;
  await new Promise((resolve) => {
    navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true });
    setTimeout(resolve, CONTROL_MS);
  });
}

function png(pixels, width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const small = { title: "This device has too little memory", detail: "The browser cannot hold a picture of this size.", next_step: "Take a smaller photo, or let the server compute." };
  return new Promise((resolve, reject) => {
    const context = canvas.getContext("2d");
    if (!context) return reject(small);
    context.putImageData(new ImageData(pixels, width, height), 0, 0);
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(small)), "image/png");
  });
}

function remembered() {
  // a browser may forbid it
  try {
    return JSON.parse(localStorage.getItem(CHOICE)) ?? {};
  } catch {
    return {};
  }
}

function remember(choice) {
  try {
    localStorage.setItem(CHOICE, JSON.stringify(choice));
  } catch {
    // then the next visit begins on the server
  }
}
