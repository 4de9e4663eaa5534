// A figure with a bar for each day, and the same as a table for those who cannot see it.

import { h } from "../dom.js";

/** @typedef {{name: string, kind: "you" | "it" | "soft" | "warn", values: (number | undefined)[]}} Series */

const DATE = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });

/**
 * @param {string} title
 * @param {string} about
 * @param {string[]} dates in ISO 8601, one after the other
 * @param {Series[]} series one before the other, the tallest first
 * @param {(value: number) => string} [format]
 */
export function dayChart(title, about, dates, series, format = String) {
  const highest = Math.max(...series.flatMap(({ values }) => values.map((value) => value ?? 0)));
  const bars = dates.map((date, at) => {
    const day = h("span", { className: "day", title: tip(date, at, series, format) });
    for (const { kind, values } of series) {
      const value = values[at];
      if (!value) continue;
      const bar = h("span", { className: `column ${kind}` });
      bar.style.setProperty("--share", String(value / highest));
      day.append(bar);
    }
    return day;
  });
  const scale = h("p", { className: "scale" }, highest ? format(highest) : "");
  const picture = h("div", { className: "days", ariaHidden: "true" }, ...bars);
  const ends = h("p", { className: "ends", ariaHidden: "true" }, h("span", {}, shown(dates[0])), h("span", {}, shown(dates.at(-1))));
  const caption = h("figcaption", {}, h("b", {}, title), h("small", {}, about));
  return h("figure", {}, caption, scale, picture, ends, table(title, dates, series, format));
}

/**
 * @param {string} title
 * @param {string[]} dates
 * @param {Series[]} series
 * @param {(value: number) => string} format
 */
function table(title, dates, series, format) {
  const names = ["Day", ...series.map(({ name }) => name)].map((name) => h("th", { scope: "col" }, name));
  const rows = dates.flatMap((date, at) => {
    if (series.every(({ values }) => values[at] === undefined)) return [];
    const cells = series.map(({ values }) => h("td", {}, values[at] === undefined ? "" : format(values[at])));
    return [h("tr", {}, h("th", { scope: "row" }, shown(date)), ...cells)];
  });
  const caption = h("caption", {}, title);
  return h("div", { className: "unseen" }, h("table", {}, caption, h("thead", {}, h("tr", {}, ...names)), h("tbody", {}, ...rows)));
}

/**
 * @param {string} date
 * @param {number} at
 * @param {Series[]} series
 * @param {(value: number) => string} format
 */
function tip(date, at, series, format) {
  const values = series.map(({ name, values }) => `${name}: ${values[at] === undefined ? "none" : format(values[at])}`);
  return [shown(date), ...values].join("\n");
}

/** @param {string | undefined} date */
function shown(date) {
  return date ? DATE.format(new Date(date)) : "";
}
