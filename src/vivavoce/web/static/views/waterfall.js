// What happened in a turn, and when: a bar for each stage, in a table, so that it can be read as well as seen.

import { h } from "../dom.js";
import { milliseconds } from "./formats.js";

/** @typedef {{stage: string, detail: string, began: number, ended: number, seconds: number}} Stage */

/** @type {Record<string, string>} */
const NAMES = {
  speech: "You spoke",
  endpointing: "End of turn found",
  transcript: "Transcript",
  first_token: "Model's first token",
  first_text: "First words",
  first_audio: "First sound",
  tool: "Tool",
  speaking: "Spoken",
  response: "Whole response",
  interrupted: "Interrupted",
};

/** @param {Stage[]} stages */
export function waterfall(stages) {
  const from = Math.min(...stages.map(({ began }) => began));
  const span = Math.max(...stages.map(({ ended }) => ended)) - from || 1;
  const rows = stages.map(({ stage, detail, began, ended, seconds }) => {
    const bar = h("span", { className: `bar ${stage}` });
    bar.style.setProperty("--from", String((began - from) / span));
    bar.style.setProperty("--share", String((ended - began) / span));
    const name = `${NAMES[stage] ?? stage}${detail ? ` ${detail}` : ""}`;
    const at = h("td", { className: "at" }, milliseconds(stage === "interrupted" ? began - from : seconds));
    return h("tr", {}, h("th", { scope: "row" }, name), h("td", { className: "bars" }, bar), at);
  });
  const caption = h("caption", { className: "unseen" }, "How long each stage of this turn took");
  return h("table", { className: "waterfall" }, caption, h("tbody", {}, ...rows));
}
