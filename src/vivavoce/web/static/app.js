// The page: a client of the Realtime protocol like any other. The server knows nothing about it in advance.

import { Captions } from "./captions.js";
import { MicrophoneError, CallAudio } from "./audio.js";

const RETRY_MS = [250, 1000, 2000, 4000, 8000];
const LOADING_MS = 1500;
const MAX_BUFFERED_FRAMES = 250; // five seconds of input, while the socket is connecting
const STALLED_BYTES = 128000; // two seconds of input that do not leave this device
const NO_INPUT_MS = 4000;
const SLOW_RESPONSE_MS = 4000;
const HARMLESS = new Set([
  "response_cancel_not_active", // it had just ended
  "item_truncate_invalid_item_id", // the item was deleted before anything of it was played
]);

const $ = (id) => document.getElementById(id);
const page = document.body;
const captions = new Captions($("turns"));

let audio; // CallAudio, from the first gesture to the end of the conversation
let socket; // the WebSocket
let phase = "idle"; // idle, connecting, open, reconnecting, error
let muted = false;
let over = false; // somebody ended the conversation: the next one is a new one
let userSpeaking = false; // the user is speaking
let spokenItem = null; // the item that the user speaks, until it is committed
let awaitingResponse = false; // the user has spoken, and no response has been created
let response = null; // the id of the response in progress
let responsePurpose; // of its words, if they are no answer
let pendingCalls = new Set(); // function calls without an output, before the next message
let receivingItem = null; // the item whose audio is being received
let playingItem = null; // the item that is being played
let discardedItems = new Set(); // items whose audio is not to be played any more
let whenResponseDone = []; // actions that wait until the response in progress is done
let bufferedFrames = []; // input that waits for the session
let attempts = 0;
let stalled = false; // input waits for the network
let lastInputAt = 0; // when the microphone last gave more than digital silence
let stateSince = 0; // when the state was entered

/** For tests and debugging. */
const stats = (window.vivavoce = { playedMs: 0, peak: 0, truncations: [], framesSent: 0 });

// begin and end

async function talk() {
  if (audio?.hasMicrophone) return;
  const fresh = phase === "idle" || phase === "error";
  const opening = (audio ??= createAudio());
  if (fresh) begin();
  try {
    setPhase(phase === "open" ? "open" : "connecting", "Opening the microphone");
    await opening.openMicrophone();
    if (audio !== opening) return; // ended meanwhile
    showProblem("");
    lastInputAt = performance.now();
    requestWakeLock();
  } catch (error) {
    if (!(error instanceof MicrophoneError)) throw error;
    if (audio !== opening) return;
    if (fresh) return fail(error.message + " You can also write.");
    showProblem(error.message);
  }
  if (fresh) connect();
  render();
}

function createAudio() {
  const opened = new CallAudio();
  opened.onframe = onInputFrame;
  opened.onplayed = onPlayed;
  opened.onfinished = onFinished;
  opened.onlost = () => {
    showProblem("The microphone went away. Connect it and talk again; until then you can write.");
    audio.stream = undefined;
    muted = false;
    render();
  };
  return opened;
}

/** Begin a conversation, or go on with the one on the page. */
function begin() {
  if (over) captions.clear();
  over = false;
  showProblem("");
  attempts = 0;
  Object.assign(stats, { playedMs: 0, peak: 0, truncations: [], framesSent: 0 });
}

function end() {
  over = true;
  keepHistory();
  disconnect();
  audio?.close();
  audio = undefined;
  showProblem("");
  setPhase("idle");
}

function disconnect() {
  if (socket) socket.onclose = socket.onmessage = null;
  socket?.close();
  socket = undefined;
  userSpeaking = awaitingResponse = muted = false;
  response = receivingItem = playingItem = spokenItem = null;
  discardedItems = new Set();
  pendingCalls = new Set();
  whenResponseDone = [];
  bufferedFrames = [];
  captions.dropWaiting();
}

function fail(sentence) {
  disconnect();
  audio?.close();
  audio = undefined;
  showProblem(sentence);
  setPhase("error");
}

// the connection

const KEY = new URLSearchParams(location.hash.slice(1)).get("key"); // for a server that needs one: /#key=…

function connect(words = "Connecting") {
  const url = new URL("v1/realtime?extras=1", location.href); // for the events that only vivavoce has
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  const opening = new WebSocket(url, KEY ? ["realtime", `openai-insecure-api-key.${KEY}`] : ["realtime"]);
  socket = opening;
  if (attempts) setPhase("reconnecting");
  else setPhase("connecting", words);
  opening.onmessage = ({ data }) => handleEvent(JSON.parse(data));
  opening.onclose = ({ code }) => onClose(code);
}

async function onClose(code) {
  socket = undefined;
  const wasOpen = phase === "open";
  over = wasOpen && code === 1000;
  if (over) return fail("The conversation is over. Press to begin a new one.");
  if (phase === "connecting") return explainRefusal();
  if (attempts === RETRY_MS.length) return fail("The server cannot be reached. Press to try again: the conversation goes on.");
  if (wasOpen) captions.note("The line dropped. Trying again.");
  userSpeaking = awaitingResponse = false;
  response = spokenItem = null;
  captions.dropWaiting();
  pendingCalls = new Set();
  onAudioDone(receivingItem);
  setTimeout(() => phase === "reconnecting" && connect(), RETRY_MS[attempts++] * (0.8 + 0.4 * Math.random()));
  setPhase("reconnecting");
}

/** A browser does not say why a WebSocket was refused; the server does by HTTP. */
async function explainRefusal() {
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
  setPhase("connecting", "The models are loading");
  setTimeout(() => phase === "connecting" && connect("The models are loading"), LOADING_MS);
}

function send(event) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(event));
}

function onSessionCreated() {
  replayHistory();
  attempts = 0;
  setPhase("open");
  for (const frame of bufferedFrames) appendInputAudio(frame);
  bufferedFrames = [];
  for (const next of whenResponseDone.splice(0)) next();
}

/** A new session is empty: send it what was said in the old one. */
function replayHistory() {
  const said = captions.history();
  replayedItems = new Set(said.map(({ id }) => id));
  for (const { id, who, text } of said) {
    const part = { type: who === "user" ? "input_text" : "output_text", text };
    send({ type: "conversation.item.create", item: { id, type: "message", role: who, content: [part] } });
  }
  if (attempts) captions.note("The line is back.");
  else if (said.length) captions.note("The conversation goes on.");
}

let replayedItems = new Set(); // items of an earlier session: they are text, and on the page already

const KEPT = `vivavoce ${location.pathname}`;

/** Keep what was said for this tab, should it be loaded again: words only, and nothing of a conversation that is over. */
function keepHistory() {
  try {
    const said = over ? [] : captions.history();
    if (said.length) sessionStorage.setItem(KEPT, JSON.stringify(said));
    else sessionStorage.removeItem(KEPT);
  } catch {
    // a browser that keeps nothing for this page loses the words with it
  }
}

function restoreHistory() {
  try {
    captions.restore(JSON.parse(sessionStorage.getItem(KEPT)) ?? []);
  } catch {
    // nothing is kept, or nothing that can be read
  }
}

// server events

function handleEvent(event) {
  switch (event.type) {
    case "session.created":
      return onSessionCreated();
    case "input_audio_buffer.speech_started":
      userSpeaking = true;
      awaitingResponse = false;
      if (spokenItem) captions.remove(spokenItem); // it was dropped
      spokenItem = event.item_id;
      captions.add(spokenItem, "user");
      interrupt();
      break;
    case "input_audio_buffer.speech_stopped":
      userSpeaking = false;
      break;
    case "input_audio_buffer.cleared":
      userSpeaking = false;
      captions.remove(spokenItem);
      spokenItem = null;
      break;
    case "input_audio_buffer.committed":
      userSpeaking = false;
      spokenItem = null;
      awaitingResponse = true;
      break;
    case "conversation.item.added":
      onItemAdded(event.item);
      break;
    case "conversation.item.done":
      if (event.item.status === "incomplete") pendingCalls.delete(event.item.call_id);
      break;
    case "conversation.item.deleted":
      captions.remove(event.item_id);
      break;
    case "conversation.item.input_audio_transcription.delta":
      captions.appendText(event.item_id, event.delta);
      break;
    case "conversation.item.input_audio_transcription.completed":
      captions.setText(event.item_id, event.transcript);
      if (!event.transcript.trim()) awaitingResponse = false;
      break;
    case "conversation.item.input_audio_transcription.failed":
      captions.setText(event.item_id, event.error.code === "language_not_supported"
        ? `(${event.error.message})` : "(What you said could not be written down.)");
      break;
    case "response.created":
      response = event.response.id;
      responsePurpose = event.response.metadata?.["vivavoce.purpose"];
      awaitingResponse = false;
      break;
    case "response.output_text.delta":
    case "response.output_audio_transcript.delta":
      captions.answer(event.item_id)?.appendText(event.delta);
      captions.renderAnswer(event.item_id);
      break;
    case "response.output_audio.delta":
      onAudioDelta(event.item_id, event.delta);
      break;
    case "response.output_audio.done":
      onAudioDone(event.item_id);
      break;
    case "response.done":
      onResponseDone(event.response);
      break;
    case "vivavoce.card":
      captions.card(event.title, event.html);
      break;
    case "vivavoce.assistant":
      captions.note(`You now talk with ${event.name}.`);
      break;
    case "vivavoce.engine":
      captions.note(ENGINE_NOTES[event.engine]);
      break;
    case "error":
      onError(event.error);
      break;
  }
  render();
}

const ENGINE_NOTES = {
  lost: "The upstream server does not answer. Trying again.",
  remote: "The upstream server is back.",
  cascade: "The upstream server does not answer. From here on the models of this server do.",
};

function onItemAdded({ id, type, role, content, call_id: call }) {
  if (type === "function_call") pendingCalls.add(call);
  if (type === "function_call_output") pendingCalls.delete(call);
  if (type !== "message" || replayedItems.has(id)) return;
  if (role === "assistant") {
    pendingCalls.clear();
    return captions.add(id, "assistant", "", /^(apology|filler)_/.exec(id)?.[1] ?? responsePurpose);
  }
  if (role === "user") captions.add(id, "user", content.map((part) => part.text ?? part.transcript ?? "").join(" "));
}

function onResponseDone({ status, status_details: details }) {
  response = null;
  if (status === "failed") captions.note(`The answer failed: ${details?.error?.message ?? "the server did not say why"}`);
  for (const next of whenResponseDone.splice(0)) next();
}

function onError({ code, message }) {
  if (HARMLESS.has(code)) return;
  if (code === "conversation_already_has_active_response") return whenResponseDone.push(createResponse); // a greeting, for example
  if (code === "session_expired") return fail("This conversation has lasted as long as it may. Press to go on in another one.");
  showProblem(message);
}

// input audio

function onInputFrame({ frame, level }) {
  meter(level);
  if (phase === "open") appendInputAudio(frame);
  else if (bufferedFrames.push(frame) > MAX_BUFFERED_FRAMES) bufferedFrames.shift();
}

function appendInputAudio(frame) {
  stats.framesSent++;
  const bytes = new Uint8Array(frame);
  send({ type: "input_audio_buffer.append", audio: btoa(String.fromCharCode(...bytes)) });
}

// output audio

function onAudioDelta(item, base64) {
  if (discardedItems.has(item) || !audio?.canPlay) return;
  const samples = new Int16Array(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)).buffer);
  captions.answer(item)?.appendAudio(samples.length);
  receivingItem = item;
  playingItem ??= item;
  audio.play(item, samples);
}

/** No more audio of this item comes: all was sent, or the connection was lost. */
function onAudioDone(item) {
  receivingItem = null;
  captions.answer(item)?.finish();
  if (item && !discardedItems.has(item)) audio?.finish(item);
}

function onPlayed({ item, ms, level }) {
  if (discardedItems.has(item)) return;
  const answer = captions.answer(item);
  if (answer) answer.playedMs = ms;
  stats.playedMs = Math.max(stats.playedMs, ms);
  stats.peak = Math.max(stats.peak, level);
  const first = playingItem !== item;
  playingItem = item;
  showLevel(level);
  captions.renderAnswer(item);
  if (first) render();
}

function onFinished(item) {
  const answer = captions.answer(item);
  if (answer) answer.playedMs = Infinity;
  captions.renderAnswer(item);
  if (playingItem === item) playingItem = null;
  render();
}

/** Stop playing, and send how much of the answer was played. */
async function interrupt() {
  if (!playingItem || !audio) return;
  discardedItems.add(playingItem); // it plays on until the audio thread has the message
  playingItem = null;
  for (const { item, ms } of await audio.interrupt()) truncate(item, ms);
}

function truncate(item, ms) {
  discardedItems.add(item);
  if (playingItem === item) playingItem = null;
  const answer = captions.answer(item);
  if (answer) Object.assign(answer, { playedMs: ms, truncated: true });
  captions.renderAnswer(item);
  stats.truncations.push({ item, ms });
  if (replayedItems.has(item)) return;
  send({ type: "conversation.item.truncate", item_id: item, content_index: 0, audio_end_ms: ms });
}

/** Stop the response without speaking. */
async function stop() {
  if (!playingItem && !response) return;
  if (response) send({ type: "response.cancel", response_id: response });
  await interrupt();
  render();
}

// text input

async function write(text) {
  audio ??= createAudio();
  const silent = await audio.ready.then(() => "", ({ message }) => message);
  if (phase === "idle" || phase === "error") {
    begin();
    showProblem(silent);
    whenResponseDone.push(() => sendText(text));
    return connect();
  }
  await stop();
  if (response || phase !== "open") whenResponseDone.push(() => sendText(text));
  else sendText(text);
}

function sendText(text) {
  const item = { type: "message", role: "user", content: [{ type: "input_text", text }] };
  send({ type: "conversation.item.create", item });
  createResponse();
}

function createResponse() {
  send({ type: "response.create" });
  awaitingResponse = true;
  render();
}

// rendering

const STATE_TEXTS = {
  idle: ["Press and speak", "You may interrupt at any time."],
  connecting: ["Connecting", ""],
  listening: ["Listening", "Speak whenever you like."],
  "user-speaking": ["I hear you", ""],
  thinking: ["Thinking", ""],
  speaking: ["Speaking", "Talk to interrupt, or press the circle."],
  muted: ["Muted", "I do not hear you until you unmute."],
  writing: ["Write to me", "Or press the circle to talk."],
  reconnecting: ["The line dropped", "Trying to get it back."],
  error: ["That did not work", ""],
};
const BUTTON_LABELS = { idle: "Talk", writing: "Talk", error: "Talk again", speaking: "Stop the voice", thinking: "Stop the answer" };
const TURNS = new Set(["listening", "user-speaking", "thinking", "speaking"]); // the states of people who talk
const GOES_ON = ["Press and go on", "Or press End, and then begin anew."];

function state() {
  if (phase !== "open") return phase;
  if (userSpeaking) return "user-speaking";
  if (playingItem) return "speaking";
  if (response || awaitingResponse || pendingCalls.size) return "thinking";
  if (!audio?.hasMicrophone) return "writing";
  return muted ? "muted" : "listening";
}

function setPhase(next, words) {
  phase = next;
  render(words);
}

function render(words) {
  const now = state();
  const goesOn = !over && !captions.empty;
  const [text, hint] = now === "idle" && goesOn ? GOES_ON : STATE_TEXTS[now];
  announce(now, words ?? text);
  if (page.dataset.state !== now) {
    stateSince = performance.now();
    if (now !== "speaking" && now !== "user-speaking") showLevel(0);
  }
  page.dataset.state = now;
  $("state").textContent = words ?? text;
  $("hint").textContent = now === "speaking" && !audio?.hasMicrophone ? "Press the circle to stop the voice." : hint;
  $("orb-name").textContent = BUTTON_LABELS[now] ?? "Talk";
  $("orb").setAttribute("aria-disabled", String(!(now in BUTTON_LABELS)));
  const calling = phase === "open" || phase === "connecting" || phase === "reconnecting";
  $("controls").hidden = !calling && !goesOn;
  $("mute").hidden = !audio?.hasMicrophone;
  $("mute").setAttribute("aria-pressed", String(muted));
  $("mute-name").textContent = muted ? "Unmute" : "Mute";
  $("talk").hidden = captions.empty && $("turns").children.length === 0;
}

/**
 * Name the state for screen readers. It is read aloud, except over a voice, and from turn to turn while the microphone
 * is open: the reader would be heard as the user, interrupt the answer, and be answered.
 */
function announce(now, words) {
  if ($("news").textContent === words) return;
  const turn = TURNS.has(now) && TURNS.has(page.dataset.state) && audio?.hasMicrophone && !muted;
  $("news").setAttribute("aria-live", turn || now === "speaking" || now === "user-speaking" ? "off" : "polite");
  $("news").textContent = words;
}

function showProblem(sentence) {
  $("trouble").textContent = sentence;
}

/** The level of the microphone or the answer, which moves the orb (--level). */
function showLevel(level) {
  const shown = Math.min(1, Math.sqrt(level) * 1.8);
  $("orb").style.setProperty("--level", shown.toFixed(3));
}

function meter(level) {
  const bars = muted ? 0 : Math.min(4, Math.max(0, Math.round((20 * Math.log10(level + 1e-6) + 58) / 10)));
  $("mute").dataset.level = bars;
  if (level > 1e-5) lastInputAt = performance.now();
  const now = page.dataset.state;
  if (now === "user-speaking" || now === "listening") showLevel(level);
}

/** Twice a second: show what has taken too long. */
function tick() {
  const now = page.dataset.state;
  if (now === "thinking" && performance.now() - stateSince > SLOW_RESPONSE_MS) {
    $("state").textContent = "Still thinking";
    announce(now, "Still thinking");
  }
  keepHistory();
  const waits = phase === "open" && socket.bufferedAmount > STALLED_BYTES;
  if (waits !== stalled) showProblem(waits ? "The connection is slow, or lost. What you say waits for it." : "");
  stalled = waits;
  const noInput = now === "listening" && performance.now() - lastInputAt > NO_INPUT_MS;
  if (now === "listening") $("hint").textContent = noInput ? "No sound comes from your microphone. Is it switched off?" : STATE_TEXTS[now][1];
}

async function requestWakeLock() {
  try {
    await navigator.wakeLock?.request("screen");
  } catch {
    // without a wake lock the screen may darken
  }
}

async function showDescription() {
  try {
    const status = await (await fetch("v1/status")).json();
    if (status.description) $("about").textContent = status.description;
  } catch {
    // without a status the page knows less, and works
  }
}

// user actions

function press() {
  if (["speaking", "thinking"].includes(page.dataset.state)) return stop();
  if (!audio?.hasMicrophone && phase !== "connecting" && phase !== "reconnecting") return talk();
}

function toggleMute() {
  if (!audio?.hasMicrophone) return;
  muted = !muted;
  audio.mute(muted);
  render();
}

$("orb").addEventListener("click", press);
$("mute").addEventListener("click", toggleMute);
$("end").addEventListener("click", end);
$("write").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("words").value.trim();
  if (!text) return;
  $("words").value = "";
  showProblem("");
  write(text);
});
document.addEventListener("click", (event) => {
  // pressed by mouse or finger (keys have no detail), a button leaves the keys to the page
  if (event.detail) event.target.closest("button")?.blur();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") return stop();
  if (event.target.closest("input") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " ") {
    if (event.target.closest("button:not([aria-disabled=true])")) return; // the button's own key
    if (!event.repeat) (audio?.hasMicrophone ? toggleMute : press)();
  } else if (event.key === "/") $("words").focus();
  else return;
  event.preventDefault();
});
addEventListener("pagehide", keepHistory);
setInterval(tick, 500);
showDescription();
restoreHistory();
render();
