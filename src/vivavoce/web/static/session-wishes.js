// What people chose, as the Realtime protocol says it. What nobody chose is left to the server.

/** @typedef {import("./settings.js").Settings} Settings */

/** By name: what the assistant is told beside the server's own instructions. @type {Record<string, {title: string, instructions: string}>} */
export const PERSONALITIES = {
  brief: { title: "Brief", instructions: "Answer in one short sentence." },
  friend: { title: "A good friend", instructions: "Talk like a good friend: warm, curious and informal. Ask back now and then." },
  teacher: {
    title: "A patient teacher",
    instructions: "Explain like a patient teacher: one step at a time, with an example, and ask whether it was understood.",
  },
  storyteller: { title: "A storyteller", instructions: "Answer like a storyteller: vividly, with people and places." },
  partner: {
    title: "A language partner",
    instructions: "Help the user to practise the language they speak: use simple words, and correct mistakes kindly.",
  },
};

const EAGERNESS = { patient: "low", quick: "high" };
const PAUSES = { patient: 2, quick: 0.6 }; // times the server's own silence
const UNENDING_MS = 60000; // a pause that ends no turn, where a button does

/**
 * How turns begin and end: with the patience and the interruptions that were chosen, or by a button.
 * @param {Settings} settings
 * @param {any} detection the server's own
 */
export function detectionWith(settings, detection) {
  if (settings.get("talking") === "hold")
    return { type: "server_vad", silence_duration_ms: UNENDING_MS, create_response: false, interrupt_response: false };
  const interrupts = { off: false, touch: false, speech: true, words: "words" }[settings.get("interrupting")];
  return { ...withPauses(settings.get("pauses"), detection), interrupt_response: detection.interrupt_response && interrupts };
}

/**
 * @param {"patient" | "normal" | "quick"} pauses
 * @param {any} detection
 */
function withPauses(pauses, detection) {
  if (pauses === "normal") return detection;
  if (detection.type === "semantic_vad") return { ...detection, eagerness: EAGERNESS[pauses] };
  return { ...detection, silence_duration_ms: Math.round(detection.silence_duration_ms * PAUSES[pauses]) };
}

/**
 * The changes to a session, each for itself: one that the server refuses does not undo the others.
 * @param {Settings} settings
 * @param {any} session as the server made it
 * @returns {object[]}
 */
export function sessionWishes(settings, session) {
  const { input, output } = session.audio ?? {};
  const [voice, pace, language] = [settings.get("voice"), settings.get("pace"), settings.get("language")];
  const instructions = instructionsWith(settings, session.instructions ?? "");
  const wishes = [];
  if (voice && voice !== output?.voice) wishes.push({ audio: { output: { voice } } });
  if (pace !== 1 && pace !== output?.speed) wishes.push({ audio: { output: { speed: pace } } });
  if (language && input?.transcription) wishes.push({ audio: { input: { transcription: { ...input.transcription, language } } } });
  if (instructions !== session.instructions) wishes.push({ instructions });
  return wishes.map((wish) => ({ type: "realtime", ...wish }));
}

/**
 * @param {Settings} settings
 * @param {string} own the server's
 */
function instructionsWith(settings, own) {
  const personality = settings.get("personality");
  const added = personality === "own" ? settings.get("instructions").trim() : PERSONALITIES[personality]?.instructions;
  return added && !own.endsWith(added) ? [own, added].filter(Boolean).join("\n\n") : own;
}
