// A small known kernel in WebAssembly, and how long it takes: that tells which of V8's compilers made the code.
//
// It adds products of vectors, as a matrix product does, in four sums of four numbers. Opcodes:
// https://webassembly.github.io/spec/core/binary/instructions.html

const ITERATIONS = 1_000_000;
const CALLS = 25;
/** Calls of a few instructions each, until V8 has seen that the code is hot and compiled it anew in the background. */
const SHORT_ITERATIONS = 100_000;
const WARM_UP_MS = 300;

const unsigned = (number) => {
  const bytes = [];
  for (; number > 127; number >>>= 7) bytes.push((number & 127) | 128);
  return [...bytes, number];
};
const signed = (number) => {
  const bytes = [];
  for (; number > 63; number >>= 7) bytes.push((number & 127) | 128);
  return [...bytes, number];
};
const section = (id, content) => [id, ...unsigned(content.length), ...content];
const simd = (opcode) => [0xfd, ...unsigned(opcode)];

const I32 = 0x7f, F32 = 0x7d, V128 = 0x7b;
const GET = 0x20, SET = 0x21, TEE = 0x22, CONST = 0x41, ADD = 0x6a, SUB = 0x6b, AND = 0x71, LOOP = 0x03, BR_IF = 0x0d, END = 0x0b;
const LOAD = simd(0), EXTRACT = simd(0x1f), F32X4_ADD = simd(0xe4), F32X4_MUL = simd(0xe6);
/** Locals: iterations left, the place in memory, and the first of four sums. */
const LEFT = 0, PLACE = 1, SUM = 2;
const VECTOR = 16, SUMS = 4, HALF = 4096;

function kernel() {
  const load = (offset) => [GET, PLACE, ...LOAD, 4, ...unsigned(offset)];
  const products = [];
  for (let sum = 0; sum < SUMS; sum++)
    products.push(GET, SUM + sum, ...load(VECTOR * sum), ...load(HALF + VECTOR * sum), ...F32X4_MUL, ...F32X4_ADD, SET, SUM + sum);
  const body = [
    2, 1, I32, SUMS, V128,
    LOOP, 0x40,
    ...products,
    GET, PLACE, CONST, ...signed(VECTOR * SUMS), ADD, CONST, ...signed(HALF - 1), AND, SET, PLACE,
    GET, LEFT, CONST, 1, SUB, TEE, LEFT, BR_IF, 0,
    END,
    GET, SUM, GET, SUM + 1, ...F32X4_ADD, GET, SUM + 2, ...F32X4_ADD, GET, SUM + 3, ...F32X4_ADD, ...EXTRACT, 0,
    END,
  ];
  const magic = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const name = "kernel";
  return Uint8Array.from([
    ...magic,
    ...section(1, [1, 0x60, 1, I32, 1, F32]),
    ...section(3, [1, 0]),
    // one page of memory, all zeros
    ...section(5, [1, 0, 1]),
    ...section(7, [1, name.length, ...[...name].map((letter) => letter.charCodeAt(0)), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ]);
}

let instance = null;

async function warm() {
  ({ instance } = await WebAssembly.instantiate(kernel()));
  const end_ms = performance.now() + WARM_UP_MS;
  while (performance.now() < end_ms) instance.exports.kernel(SHORT_ITERATIONS);
}

/** Return the least time of a call: other work can only add to it. */
function least_ms() {
  let least = Infinity;
  for (let call = 0; call < CALLS; call++) {
    const start_ms = performance.now();
    instance.exports.kernel(ITERATIONS);
    least = Math.min(least, performance.now() - start_ms);
  }
  return least;
}

addEventListener("message", async () => {
  try {
    if (!instance) await warm();
    postMessage({ type: "kernel", least_ms: least_ms() });
  } catch (error) {
    postMessage({ type: "failed", title: "The kernel cannot run", detail: String(error), next_step: "" });
  }
});
