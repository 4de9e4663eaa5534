// Times, lengths and costs, in words for people.

/** @typedef {{amounts: {currency: string, amount: number}[], unknown: number}} Cost */

const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const TIME = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });

/** @param {string} date in ISO 8601 */
export function day(date) {
  return DAY.format(new Date(date));
}

/** @param {string} date in ISO 8601 */
export function time(date) {
  return TIME.format(new Date(date));
}

/** @param {number | null} seconds */
export function length(seconds) {
  if (seconds === null) return "";
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** @param {number} seconds */
export function milliseconds(seconds) {
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(2)} s`;
}

/**
 * @param {number} amount
 * @param {string} currency
 */
export function money(amount, currency) {
  const maximumFractionDigits = amount < 0.1 ? 4 : 2; // an answer costs fractions of a cent
  return new Intl.NumberFormat(undefined, { style: "currency", currency, maximumFractionDigits }).format(amount);
}

/** @param {Cost} cost */
export function cost({ amounts, unknown }) {
  const known = amounts.filter(({ amount }) => amount).map(({ amount, currency }) => money(amount, currency));
  if (unknown) return known.length ? `more than ${known.join(" + ")}` : "cost unknown";
  return known.length ? known.join(" + ") : amounts.length ? "free" : "";
}
