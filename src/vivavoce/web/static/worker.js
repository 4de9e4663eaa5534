// The service worker: the page opens without its server too, and says that it is away. Only the page's own files are
// kept, never what the server answers: conversations stay where they are.
//
// The server puts `SHELL` before this: the version of the files, and their addresses.

const SCOPE = new URL(registration.scope).pathname;
const CACHES = `vivavoce ${SCOPE} `; // those of this server, should others be below other paths
const CACHE = CACHES + SHELL.version;
const KEPT = { ignoreVary: true }; // whoever asks is sent the same file: only what may read it differs by origin
const SERVER_MS = 5000; // so long the server may take to answer

addEventListener("install", (event) => event.waitUntil(keep()));
addEventListener("activate", (event) => event.waitUntil(takeOver()));
addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) return;
  if (request.mode === "navigate" && pathname === SCOPE) event.respondWith(page(request));
  else if (pathname.startsWith(`${SCOPE}static/`)) event.respondWith(file(request));
});

async function keep() {
  const cache = await caches.open(CACHE);
  await cache.addAll(SHELL.files);
  await skipWaiting();
}

async function takeOver() {
  const old = (await caches.keys()).filter((name) => name.startsWith(CACHES) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await clients.claim();
}

/**
 * The page as the server has it now, and the one that was kept only if there is no server.
 * @param {Request} request
 */
async function page(request) {
  try {
    const answer = await fetch(request, { signal: AbortSignal.timeout(SERVER_MS) });
    if (answer.status < 500) return answer; // more is a proxy's, whose server is away
  } catch {
    // it is away
  }
  return (await caches.match(SCOPE, KEPT)) ?? Response.error();
}

/**
 * The address of a file contains the version, so what is kept under it is never old.
 * @param {Request} request
 */
async function file(request) {
  return (await caches.match(request, KEPT)) ?? fetch(request);
}
