// Keeps the page and what computes on the device, so that it works without a network from the second visit on.
// The line before this one, which the server writes, lists the files of this version.
// Photos and answers of the API pass by: only what is named there, and what lies in the device's folder, is kept.

const PREFIX = `midas-bench ${registration.scope} `;
/** Of this version; whatever an older one kept is dropped. */
const VERSIONED = `${PREFIX}${KEPT.version}`;
/** Runtime and graphs, whose names change with their content. */
const LARGE = `${PREFIX}large`;
/** What a proxy answers when the server behind it is away. */
const AWAY = [502, 503, 504];

const page = new URL("./", registration.scope).href;
const folder = new URL(KEPT.folder, registration.scope).href;
const versioned = new Set(KEPT.files.map((file) => new URL(file, registration.scope).href));

addEventListener("install", (event) => event.waitUntil(install()));
addEventListener("activate", (event) => event.waitUntil(activate()));
addEventListener("fetch", (event) => {
  const { method, url, mode } = event.request;
  if (method !== "GET") return;
  const address = url.split(/[?#]/)[0];
  if (versioned.has(address)) event.respondWith(current(event.request, mode === "navigate" ? page : address));
  else if (address.startsWith(folder)) event.respondWith(kept(event, address));
});

async function install() {
  const cache = await caches.open(VERSIONED);
  // past the browser's own cache, which may hold those of the version before
  await cache.addAll([...versioned].map((url) => new Request(url, { cache: "reload" })));
  await skipWaiting();
}

async function activate() {
  const names = (await caches.keys()).filter((name) => name.startsWith(PREFIX));
  await Promise.all(names.filter((name) => name !== VERSIONED && name !== LARGE).map((name) => caches.delete(name)));
  await dropUnnamed();
  await clients.claim();
}

/** Drop graphs and runtimes that the settings of this version do not name. */
async function dropUnnamed() {
  const settings = await (await caches.match(`${folder}settings.json`, { cacheName: VERSIONED })).text();
  const large = await caches.open(LARGE);
  for (const request of await large.keys()) if (!settings.includes(request.url.split("/").pop())) await large.delete(request);
}

/** Ask the server, so that nobody sees an old page; without it, give what was kept. */
async function current(request, address) {
  const stored = () => caches.match(address, { cacheName: VERSIONED });
  try {
    const answer = await fetch(request);
    return (AWAY.includes(answer.status) && (await stored())) || answer;
  } catch (error) {
    const answer = await stored();
    if (answer) return answer;
    throw error;
  }
}

/** Give what was kept; without it, ask the server, and keep that. */
async function kept(event, address) {
  const cache = await caches.open(LARGE);
  const stored = await cache.match(address);
  if (stored) return stored;
  const answer = await fetch(event.request);
  // a full disk, or an answer that is cut off, is no reason to withhold it
  if (answer.status === 200) event.waitUntil(cache.put(address, answer.clone()).catch(() => {}));
  return answer;
}
