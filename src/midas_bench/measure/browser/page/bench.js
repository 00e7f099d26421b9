// The page that measures: it asks its server for a question, answers it, and asks for the next one.
//
// {do: "hello"}                -> {}
// {do: "load", model, threads} -> what the depth worker says when it is ready
// {do: "rounds", inferenceOnly} -> one timed round: {rounds_ms: [number], stages_ms}
// {do: "depth"}                -> {depth: [number]}, row by row
// {do: "kernel"}               -> {least_ms}
// A failure is {type: "failed", title, detail, next_step}.

let depthWorker = null;
let kernelWorker = null;
let photoBytes = null;

/** Give a worker a message, and wait for what it says to it; `load` also tells of its progress. */
function told(worker, message, transferred = []) {
  return new Promise((resolve) => {
    worker.onmessage = ({ data }) => data.type !== "progress" && resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      resolve({ type: "failed", title: "The worker cannot run", detail: event.message ?? "", next_step: "" });
    };
    worker.postMessage(message, transferred);
  });
}

/** Return the photo's bytes, a copy of its own for each call: a worker keeps what it is given. */
async function photo() {
  photoBytes ??= await (await fetch("photo")).arrayBuffer();
  return photoBytes.slice();
}

const TASKS = {
  hello() {
    return {};
  },
  load({ model, threads }) {
    depthWorker = new Worker("device/depth-worker.js", { type: "module" });
    const base = new URL("device/", location).href;
    return told(depthWorker, { type: "load", base, model, threads, provider: "wasm" });
  },
  async rounds({ inferenceOnly }) {
    return told(depthWorker, { type: "rounds", id: 0, photo: await photo(), count: 1, inferenceOnly });
  },
  async depth() {
    const result = await told(depthWorker, { type: "run", id: 0, photo: await photo(), depth: true });
    if (result.type === "failed") return result;
    return { depth: Array.from(result.depth) };
  },
  kernel() {
    kernelWorker ??= new Worker("kernel-worker.js");
    return told(kernelWorker, {});
  },
};

async function answer(question) {
  try {
    return await TASKS[question.do](question);
  } catch (error) {
    return { type: "failed", title: "The page failed", detail: String(error), next_step: "" };
  }
}

for (;;) {
  const response = await fetch("next");
  if (response.status !== 200) continue;
  const body = JSON.stringify(await answer(await response.json()));
  await fetch("answer", { method: "POST", body });
}
