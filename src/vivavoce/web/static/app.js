// The page: one press, and two people talk, of whom one is a machine. It is a client of the Realtime
// protocol like any other; nothing here is known to the server in advance.

import { Captions } from "./captions.js";
import { NoMicrophone, Sound } from "./sound.js";

const RETRY_MS = [250, 1000, 2000, 4000, 8000];
const LOADING_MS = 1500;
const KEPT_FRAMES = 250; // five seconds of a microphone, while the line is being connected
const DEAF_MS = 4000;
const STILL_MS = 4000;
const HARMLESS = new Set([
  "response_cancel_not_active", // it had just ended
  "item_truncate_invalid_item_id", // it was taken back before anything of it was heard
]);

const $ = (id) => document.getElementById(id);
const page = document.body;
const captions = new Captions($("turns"));

let sound; // the AudioContext, from the first gesture to the end of the conversation
let line; // the WebSocket
let phase = "idle"; // idle, connecting, open, reconnecting, error
let muted = false;
let hearing = false; // the caller speaks
let pondering = false; // the caller has spoken, and no answer has begun
let response = null; // the answer under way
let calls = new Set(); // tools at work, of which nothing was said yet
let arriving = null; // the item whose sound comes
let voiced = null; // the item that is being heard
let dropped = new Set(); // items whose sound is not wanted any more
let afterwards = []; // what to do when the answer under way has ended
let kept = []; // frames that wait for a line
let attempts = 0;
let lastHeard = 0; // when the microphone last gave more than digital silence
let since = 0; // when the state was entered

/** What tests and curious people may look at. */
const seen = (window.vivavoce = { playedMs: 0, peak: 0, cuts: [], framesSent: 0 });

// the conversation begins and ends

async function talk() {
  if (sound?.listening) return;
  const fresh = phase === "idle" || phase === "error";
  const opening = (sound ??= open());
  if (fresh) begin();
  try {
    enter(phase === "open" ? "open" : "connecting", "Opening the microphone");
    await opening.listen();
    if (sound !== opening) return; // ended meanwhile
    lastHeard = performance.now();
    stayAwake();
  } catch (error) {
    if (!(error instanceof NoMicrophone)) throw error;
    if (sound !== opening) return;
    if (fresh) return fail(error.message + " You can also write.");
    trouble(error.message);
  }
  if (fresh) connect();
  show();
}

function open() {
  const opened = new Sound();
  opened.onframe = hear;
  opened.onplayed = played;
  opened.onfinished = finished;
  opened.onlost = () => {
    trouble("The microphone went away. Connect it and talk again; until then you can write.");
    sound.stream = undefined;
    show();
  };
  return opened;
}

function begin() {
  captions.clear();
  trouble("");
  attempts = 0;
  Object.assign(seen, { playedMs: 0, peak: 0, cuts: [], framesSent: 0 });
}

function end() {
  hangUp();
  sound?.close();
  sound = undefined;
  trouble("");
  enter("idle");
}

function hangUp() {
  if (line) line.onclose = line.onmessage = null;
  line?.close();
  line = undefined;
  hearing = pondering = muted = false;
  response = arriving = voiced = null;
  dropped = new Set();
  calls = new Set();
  afterwards = [];
  kept = [];
}

function fail(sentence) {
  hangUp();
  sound?.close();
  sound = undefined;
  trouble(sentence);
  enter("error");
}

// the line

const KEY = new URLSearchParams(location.hash.slice(1)).get("key"); // for a server that asks for one: /#key=…

function connect(words = "Connecting") {
  const url = new URL("v1/realtime?extras=1", location.href); // we know what only vivavoce says
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  const opening = new WebSocket(url, KEY ? ["realtime", `openai-insecure-api-key.${KEY}`] : ["realtime"]);
  line = opening;
  if (attempts) enter("reconnecting");
  else enter("connecting", words);
  opening.onmessage = ({ data }) => hears(JSON.parse(data));
  opening.onclose = ({ code }) => lost(code);
}

async function lost(code) {
  line = undefined;
  const wasOpen = phase === "open";
  if (wasOpen && code === 1000) return fail("The conversation is over. Press to begin a new one.");
  if (phase === "connecting") return refused();
  if (attempts === RETRY_MS.length) return fail("The server cannot be reached. Press to try again.");
  if (wasOpen) captions.note("The line dropped. Trying again.");
  hearing = pondering = false;
  response = null;
  calls = new Set();
  complete(arriving);
  setTimeout(() => phase === "reconnecting" && connect(), RETRY_MS[attempts++] * (0.8 + 0.4 * Math.random()));
  enter("reconnecting");
}

/** A browser does not say why a line was refused; the server does, when it is asked otherwise. */
async function refused() {
  let status;
  try {
    status = await (await fetch("v1/status")).json();
  } catch {
    return fail("The server cannot be reached. Is it running?");
  }
  if (phase !== "connecting") return; // ended meanwhile
  if (status.key_needed && !KEY)
    return fail("This server asks for a key: write #key= and the key behind this page's address.");
  if (status.ready) return fail("The server takes no conversation just now. Try again in a moment.");
  enter("connecting", "The models are loading");
  setTimeout(() => phase === "connecting" && connect("The models are loading"), LOADING_MS);
}

function send(event) {
  if (line?.readyState === WebSocket.OPEN) line.send(JSON.stringify(event));
}

function opened() {
  if (attempts) resume();
  attempts = 0;
  enter("open");
  for (const frame of kept) append(frame);
  kept = [];
  for (const next of afterwards.splice(0)) next();
}

/** A new line knows nothing: tell it what was said on the old one. */
function resume() {
  const said = captions.said();
  captions.forget();
  for (const { who, text } of said) {
    const mine = who === "you";
    const part = { type: mine ? "input_text" : "output_text", text };
    const id = `past_${crypto.randomUUID().slice(0, 18)}`;
    past.add(id);
    send({
      type: "conversation.item.create",
      item: { id, type: "message", role: mine ? "user" : "assistant", content: [part] },
    });
  }
  captions.note("The line is back.");
}

const past = new Set(); // items that are on the page already

// what the other side says: the table of contents

function hears(event) {
  switch (event.type) {
    case "session.created":
      return opened();
    case "input_audio_buffer.speech_started":
      hearing = true;
      pondering = false;
      quiet();
      break;
    case "input_audio_buffer.speech_stopped":
      hearing = false;
      break;
    case "input_audio_buffer.committed":
      pondering = true;
      break;
    case "conversation.item.added":
      added(event.item);
      break;
    case "conversation.item.done":
      if (event.item.status === "incomplete") calls.delete(event.item.call_id);
      break;
    case "conversation.item.deleted":
      captions.remove(event.item_id);
      break;
    case "conversation.item.input_audio_transcription.delta":
      captions.more(event.item_id, event.delta);
      break;
    case "conversation.item.input_audio_transcription.completed":
      captions.write(event.item_id, event.transcript);
      if (!event.transcript.trim()) pondering = false;
      break;
    case "conversation.item.input_audio_transcription.failed":
      captions.write(event.item_id, "(What you said could not be written down.)");
      break;
    case "response.created":
      response = event.response.id;
      pondering = false;
      break;
    case "response.output_text.delta":
    case "response.output_audio_transcript.delta":
      captions.answer(event.item_id)?.say(event.delta);
      captions.show(event.item_id);
      break;
    case "response.output_audio.delta":
      voice(event.item_id, event.delta);
      break;
    case "response.output_audio.done":
      complete(event.item_id);
      break;
    case "response.done":
      done(event.response);
      break;
    case "vivavoce.card":
      captions.card(event.title, event.html);
      break;
    case "vivavoce.assistant":
      captions.note(`You now talk with ${event.name}.`);
      break;
    case "vivavoce.engine":
      captions.note(ENGINES[event.engine]);
      break;
    case "error":
      wrong(event.error);
      break;
  }
  show();
}

const ENGINES = {
  lost: "The upstream server does not answer. Trying again.",
  remote: "The upstream server is back.",
  cascade: "The upstream server does not answer. From here on the models of this server do.",
};

function added({ id, type, role, content, call_id: call }) {
  if (type === "function_call") calls.add(call);
  if (type === "function_call_output") calls.delete(call);
  if (type !== "message" || past.delete(id)) return;
  if (role === "assistant") {
    calls.clear();
    return captions.add(id, "it");
  }
  if (role === "user") captions.add(id, "you", content.map((part) => part.text ?? part.transcript ?? "").join(" "));
}

function done({ status, status_details: details }) {
  response = null;
  if (status === "failed") captions.note(`The answer failed: ${details?.error?.message ?? "the server did not say why"}`);
  for (const next of afterwards.splice(0)) next();
}

function wrong({ code, message }) {
  if (HARMLESS.has(code)) return;
  if (code === "conversation_already_has_active_response") return afterwards.push(wantAnswer); // a greeting, say
  if (code === "session_expired") return fail("This conversation has lasted as long as it may. Press for a new one.");
  trouble(message);
}

// hearing

function hear({ frame, level }) {
  meter(level);
  if (phase === "open") append(frame);
  else if (kept.push(frame) > KEPT_FRAMES) kept.shift();
}

function append(frame) {
  seen.framesSent++;
  const bytes = new Uint8Array(frame);
  send({ type: "input_audio_buffer.append", audio: btoa(String.fromCharCode(...bytes)) });
}

// speaking

function voice(item, base64) {
  if (dropped.has(item) || !sound?.plays) return;
  const samples = new Int16Array(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)).buffer);
  captions.answer(item)?.sound(samples.length);
  arriving = item;
  voiced ??= item;
  sound.play(item, samples);
}

/** No more of this item's sound comes: all was sent, or the line has dropped. */
function complete(item) {
  arriving = null;
  captions.answer(item)?.finish();
  if (item && !dropped.has(item)) sound?.end(item);
}

function played({ item, ms, level }) {
  if (dropped.has(item)) return;
  const answer = captions.answer(item);
  if (answer) answer.heard = ms;
  seen.playedMs = Math.max(seen.playedMs, ms);
  seen.peak = Math.max(seen.peak, level);
  const first = voiced !== item;
  voiced = item;
  glow(level);
  captions.show(item);
  if (first) show();
}

function finished(item) {
  const answer = captions.answer(item);
  if (answer) answer.heard = Infinity;
  captions.show(item);
  if (voiced === item) voiced = null;
  show();
}

/** Fall silent, and tell the server what of the answer was heard. */
async function quiet() {
  if (!voiced || !sound) return;
  dropped.add(voiced); // it still sounds until the audio thread has heard of it
  voiced = null;
  for (const { item, ms } of await sound.hush()) cut(item, ms);
}

function cut(item, ms) {
  dropped.add(item);
  if (voiced === item) voiced = null;
  const answer = captions.answer(item);
  if (answer) Object.assign(answer, { heard: ms, cut: true });
  captions.show(item);
  seen.cuts.push({ item, ms });
  send({ type: "conversation.item.truncate", item_id: item, content_index: 0, audio_end_ms: ms });
}

/** The caller wants silence without saying so. */
async function stop() {
  if (!voiced && !response) return;
  if (response) send({ type: "response.cancel", response_id: response });
  await quiet();
  show();
}

// writing

async function write(text) {
  sound ??= open();
  const silent = await sound.ready.then(() => "", ({ message }) => message);
  if (phase === "idle" || phase === "error") {
    begin();
    trouble(silent);
    afterwards.push(() => ask(text));
    return connect();
  }
  await stop();
  if (response || phase !== "open") afterwards.push(() => ask(text));
  else ask(text);
}

function ask(text) {
  const item = { type: "message", role: "user", content: [{ type: "input_text", text }] };
  send({ type: "conversation.item.create", item });
  wantAnswer();
}

function wantAnswer() {
  send({ type: "response.create" });
  pondering = true;
  show();
}

// what is shown

const SAYS = {
  idle: ["Press and speak", "You may interrupt at any time."],
  connecting: ["Connecting", ""],
  listening: ["Listening", "Speak whenever you like."],
  hearing: ["I hear you", ""],
  thinking: ["Thinking", ""],
  speaking: ["Speaking", "Talk to interrupt, or press the circle."],
  muted: ["Muted", "I do not hear you until you unmute."],
  writing: ["Write to me", "Or press the circle to talk."],
  reconnecting: ["The line dropped", "Trying to get it back."],
  error: ["That did not work", ""],
};
const NAMES = { idle: "Talk", writing: "Talk", error: "Talk again", speaking: "Stop the voice", thinking: "Stop the answer" };
const ANNOUNCED = new Set(["connecting", "muted", "reconnecting"]);

function state() {
  if (phase !== "open") return phase;
  if (hearing) return "hearing";
  if (voiced) return "speaking";
  if (response || pondering || calls.size) return "thinking";
  if (!sound?.listening) return "writing";
  return muted ? "muted" : "listening";
}

function enter(next, words) {
  phase = next;
  show(words);
}

function show(words) {
  const now = state();
  const [says, hint] = SAYS[now];
  if (page.dataset.state !== now) {
    announce(now);
    since = performance.now();
    if (now !== "speaking" && now !== "hearing") glow(0);
  }
  page.dataset.state = now;
  $("state").textContent = words ?? says;
  $("hint").textContent = now === "speaking" && !sound?.listening ? "Press the circle to stop the voice." : hint;
  $("orb-name").textContent = NAMES[now] ?? "Talk";
  $("orb").setAttribute("aria-disabled", String(!(now in NAMES)));
  const calling = phase === "open" || phase === "connecting" || phase === "reconnecting";
  $("controls").hidden = !calling;
  $("mute").hidden = !sound?.listening;
  $("mute").setAttribute("aria-pressed", String(muted));
  $("talk").hidden = captions.empty && $("turns").children.length === 0;
}

let welcomed = false;

/** For those who cannot see: short, and never over a voice. */
function announce(now) {
  if (now === "idle") welcomed = false;
  if (now === "listening" && !welcomed) {
    welcomed = true;
    $("news").textContent = "Listening";
  } else if (ANNOUNCED.has(now)) $("news").textContent = SAYS[now][0];
}

function trouble(sentence) {
  $("trouble").textContent = sentence;
}

/** One number moves everything: --level, of whoever speaks. */
function glow(level) {
  const shown = Math.min(1, Math.sqrt(level) * 1.8);
  $("orb").style.setProperty("--level", shown.toFixed(3));
}

function meter(level) {
  const bars = muted ? 0 : Math.min(4, Math.max(0, Math.round((20 * Math.log10(level + 1e-6) + 58) / 10)));
  $("mute").dataset.level = bars;
  if (level > 1e-5) lastHeard = performance.now();
  const now = page.dataset.state;
  if (now === "hearing" || now === "listening") glow(level);
}

/** Twice a second: say what only time can tell. */
function tick() {
  const now = page.dataset.state;
  if (now === "thinking" && performance.now() - since > STILL_MS) $("state").textContent = "Still thinking";
  const deaf = now === "listening" && performance.now() - lastHeard > DEAF_MS;
  if (now === "listening") $("hint").textContent = deaf ? "No sound comes from your microphone. Is it switched off?" : SAYS[now][1];
}

async function stayAwake() {
  try {
    await navigator.wakeLock?.request("screen");
  } catch {
    // a screen that darkens is no reason not to talk
  }
}

async function introduce() {
  try {
    const status = await (await fetch("v1/status")).json();
    if (status.description) $("about").textContent = status.description;
  } catch {
    // without a status the page knows less, and works
  }
}

// hands

function press() {
  if (["speaking", "thinking"].includes(page.dataset.state)) return stop();
  if (!sound?.listening && phase !== "connecting" && phase !== "reconnecting") return talk();
}

function toggleMute() {
  if (!sound?.listening) return;
  muted = !muted;
  sound.mute(muted);
  show();
}

$("orb").addEventListener("click", press);
$("mute").addEventListener("click", toggleMute);
$("end").addEventListener("click", end);
$("write").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("words").value.trim();
  if (!text) return;
  $("words").value = "";
  trouble("");
  write(text);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") return stop();
  if (event.target.closest("input, button") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " ") (sound?.listening ? toggleMute : press)();
  else if (event.key === "/") $("words").focus();
  else return;
  event.preventDefault();
});
setInterval(tick, 500);
introduce();
show();
