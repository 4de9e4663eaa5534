// What the page is doing: a pure function of what has happened. `next` folds events into a model, server events of
// the Realtime protocol and the page's own; `stateOf` names it.

/**
 * What `data-state` of <body> says:
 * `idle` nobody talks; `asking` the browser asks for the microphone; `connecting` until the session is there;
 * `ready` waits to be written to, or for the button of push-to-talk; `listening` the microphone is heard; `hearing`
 * somebody speaks into it; `thinking` an answer is being made; `speaking` it is being played; `muted`; `reconnecting`;
 * `blocked` there is something to play, which the browser holds back; `error` the conversation cannot go on by itself.
 * @typedef {"idle" | "asking" | "connecting" | "ready" | "listening" | "hearing" | "thinking" | "speaking" | "muted" |
 *   "blocked" | "reconnecting" | "error"} State
 */

/**
 * @typedef {object} Model
 * @property {"closed" | "connecting" | "open" | "reconnecting" | "failed"} line the connection to the server
 * @property {"none" | "asking" | "open"} microphone
 * @property {boolean} muted
 * @property {boolean} byHand push-to-talk: the microphone is heard while a button is held
 * @property {boolean} held that button is
 * @property {boolean} hearing the user is speaking
 * @property {string | null} spoken the item that the user speaks, until it is committed
 * @property {boolean} awaiting the user's turn is over, and no response has been created
 * @property {string | null} response the id of the response in progress
 * @property {readonly string[]} calls function calls without an output
 * @property {string | null} playing the item that is being played
 * @property {string | null} replaying the answer that is being played again
 * @property {boolean} blocked the browser plays nothing before somebody presses something
 */

/**
 * The page's own events; all others are the server's.
 * @typedef {{type: "line", is: Model["line"]} | {type: "microphone", is: Model["microphone"]} |
 *   {type: "muted", is: boolean} | {type: "byHand", is: boolean} |
 *   {type: "held", is: boolean} | {type: "playing" | "replaying", is: string | null} |
 *   {type: "blocked" | "awaiting", is: boolean}} PageEvent
 */
/** @typedef {{type: string, [field: string]: any}} ServerEvent */

/** @type {Readonly<Model>} */
export const START = Object.freeze({
  line: "closed",
  microphone: "none",
  muted: false,
  byHand: false,
  held: false,
  hearing: false,
  spoken: null,
  awaiting: false,
  response: null,
  calls: [],
  playing: null,
  replaying: null,
  blocked: false,
});

/** A session that is gone has no turn, no response and no calls; what is queued still plays. */
const NO_SESSION = { hearing: false, spoken: null, awaiting: false, response: null, calls: [] };

/**
 * @param {Readonly<Model>} model
 * @param {PageEvent | ServerEvent} event
 * @returns {Readonly<Model>}
 */
export function next(model, event) {
  switch (event.type) {
    case "line":
      if (event.is === "open") return { ...model, line: "open" };
      if (event.is === "connecting" || event.is === "reconnecting") return { ...model, ...NO_SESSION, line: event.is };
      return { ...START, byHand: model.byHand, line: event.is };
    case "microphone":
      return { ...model, microphone: event.is, muted: event.is === "open" && model.muted };
    case "muted":
      return { ...model, muted: event.is };
    case "byHand":
      return { ...model, byHand: event.is, held: false, muted: false };
    case "held":
      return { ...model, held: event.is, hearing: event.is && model.hearing };
    case "playing":
    case "replaying":
    case "blocked":
    case "awaiting":
      return { ...model, [event.type]: event.is };
    case "input_audio_buffer.speech_started":
      return { ...model, hearing: true, spoken: event.item_id, awaiting: false };
    case "input_audio_buffer.speech_stopped":
      return { ...model, hearing: false };
    case "input_audio_buffer.cleared":
      return { ...model, hearing: false, spoken: null };
    case "input_audio_buffer.committed":
      return { ...model, hearing: false, spoken: null, awaiting: true };
    case "conversation.item.input_audio_transcription.completed":
      return event.transcript.trim() ? model : { ...model, awaiting: false };
    case "conversation.item.added":
      return { ...model, calls: pending(model.calls, event.item) };
    case "conversation.item.done":
      return event.item.status === "incomplete" ? { ...model, calls: without(model.calls, event.item.call_id) } : model;
    case "response.created":
      return { ...model, response: event.response.id, awaiting: false };
    case "response.done":
      return { ...model, response: null };
    default:
      return model;
  }
}

/**
 * The calls without an output, after this item. A message of the assistant answers all of them.
 * @param {readonly string[]} calls
 * @param {any} item
 */
function pending(calls, item) {
  if (item.type === "function_call") return [...calls, item.call_id];
  if (item.type === "function_call_output") return without(calls, item.call_id);
  return item.type === "message" && item.role === "assistant" ? [] : calls;
}

/**
 * @param {readonly string[]} calls
 * @param {string} call
 */
function without(calls, call) {
  return calls.filter((other) => other !== call);
}

/**
 * @param {Readonly<Model>} model
 * @returns {State}
 */
export function stateOf(model) {
  if (model.line === "failed") return "error";
  if (model.microphone === "asking") return "asking";
  if (model.replaying) return "speaking";
  if (model.line === "closed") return "idle";
  if (model.line !== "open") return model.line;
  if (model.hearing) return "hearing";
  if (model.held) return "listening";
  if (model.playing) return model.blocked ? "blocked" : "speaking";
  if (model.response || model.awaiting || model.calls.length) return "thinking";
  if (model.microphone !== "open" || model.byHand) return "ready";
  return model.muted ? "muted" : "listening";
}
