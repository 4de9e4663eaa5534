// <dashboard-view>: for the owner of the server, what goes on and what it costs. `#/dashboard/7` shows seven days.

import { h, write } from "../dom.js";
import { ServerError, readStatus, request } from "../server.js";
import { dayChart } from "./day-chart.js";
import { cost, length, milliseconds, money } from "./formats.js";

const NOW_MS = 5000;
const PERIODS = [7, 30, 90];
const DAY_MS = 86_400_000;

/** @typedef {{key: string | null, conversations: number, seconds: number, errors: number, crashes: number, responses: number, failed: number, stages: Record<string, {turns: number, p50: number, p90: number, p95: number}>}} Group */
/** @typedef {{key: string | null, provider: string | null, uses: number, cost: import("./formats.js").Cost}} Costs */

export class DashboardView extends HTMLElement {
  #asking = new AbortController();
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #clock;
  #now = h("section", { id: "now", ariaLabel: "Now" });
  #told = h("p", { className: "problem", role: "alert" });
  #charts = h("div", { id: "charts" });

  connectedCallback() {
    this.#clock = setInterval(() => this.#showNow(), NOW_MS);
  }

  disconnectedCallback() {
    clearInterval(this.#clock);
    this.#asking.abort();
  }

  open() {
    this.#showNow();
  }

  /** @param {string[]} path */
  show([days]) {
    const period = PERIODS.find((one) => String(one) === days) ?? 30;
    const links = PERIODS.map((one) => {
      const link = h("a", { href: `#/dashboard/${one}` }, `${one} days`);
      if (one === period) link.setAttribute("aria-current", "true");
      return link;
    });
    const periods = h("div", { id: "periods", role: "group", ariaLabel: "Period" }, ...links);
    this.replaceChildren(h("h2", {}, "Dashboard"), this.#now, periods, this.#told, this.#charts);
    this.#asking.abort();
    this.#asking = new AbortController();
    this.#ask(period);
  }

  async #showNow() {
    try {
      const [status, ready] = await Promise.all([readStatus(), readiness()]);
      const names = Object.entries(status.providers ?? {});
      const providers = names.map(([role, about]) => provider(role, about, ready[role] ?? "waiting"));
      const talking = status.conversations === 1 ? "conversation goes on now" : "conversations go on now";
      const count = h("p", { className: "count" }, h("b", {}, String(status.conversations)), ` ${talking}`);
      this.#now.replaceChildren(count, h("ul", {}, ...providers));
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      this.#now.replaceChildren(h("p", { className: "problem" }, error.message));
    }
  }

  /** @param {number} days */
  async #ask(days) {
    const { signal } = this.#asking;
    const from = new Date(Date.now() - (days - 1) * DAY_MS).toISOString().slice(0, 10);
    const to = new Date(Date.now() + DAY_MS).toISOString().slice(0, 10);
    const period = `from=${from}&to=${to}`;
    const paths = [`statistics?by=day&${period}`, `costs?by=day&${period}`, `costs?by=model&${period}`];
    try {
      const answers = await Promise.all(paths.map((path) => request(`v1/history/${path}`, { signal })));
      const [statistics, byDay, byModel] = await Promise.all(answers.map((answer) => answer.json()));
      if (signal.aborted) return;
      write(this.#told, "");
      this.#show(datesFrom(from, days), statistics.data, byDay, byModel.data);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ServerError)) throw error;
      this.#charts.replaceChildren();
      write(this.#told, error.message);
    }
  }

  /**
   * @param {string[]} dates
   * @param {Group[]} groups
   * @param {{total: import("./formats.js").Cost, data: Costs[]}} costs
   * @param {Costs[]} models
   */
  #show(dates, groups, costs, models) {
    const days = new Map(groups.map((group) => [group.key, group]));
    const spent = new Map(costs.data.map((group) => [group.key, group.cost]));
    const currency = costs.total.amounts[0]?.currency ?? "USD";
    const of = (/** @type {(group: Group) => number | undefined} */ value) =>
      dates.map((date) => {
        const group = days.get(date);
        return group && value(group);
      });
    const count = sum(groups, ({ conversations }) => conversations);
    const errors = (/** @type {Group} */ group) => group.failed + group.errors + group.crashes;
    this.#charts.replaceChildren(
      dayChart(`${count} conversations`, length(sum(groups, ({ seconds }) => seconds)), dates, [
        { name: "Conversations", kind: "you", values: of(({ conversations }) => conversations) },
      ]),
      dayChart("Wait for an answer", "from the end of a turn to the first sound, half of the turns and nine of ten", dates, [
        { name: "90 %", kind: "soft", values: of(({ stages }) => stages.first_audio?.p90) },
        { name: "50 %", kind: "it", values: of(({ stages }) => stages.first_audio?.p50) },
      ], milliseconds),
      dayChart(`${sum(groups, errors)} errors`, "answers that failed, and conversations that ended by an error or a crash", dates, [
        { name: "Errors", kind: "warn", values: of(errors) },
      ]),
      dayChart(`Cost: ${cost(costs.total) || "nothing"}`, "of models, as far as their prices are known", dates, [
        { name: "Cost", kind: "it", values: dates.map((date) => amount(spent.get(date), currency)) },
      ], (value) => money(value, currency)),
      modelTable(models),
    );
  }
}

/** @returns {Promise<Record<string, string>>} by role: `waiting`, `loading` or `ready` */
async function readiness() {
  const response = await fetch(new URL("readyz", document.baseURI)); // 503 while models load, which is an answer
  return (await response.json()).models;
}

/**
 * @param {string} role
 * @param {string} about
 * @param {string} state
 */
function provider(role, about, state) {
  const dot = h("span", { className: `dot ${state}` });
  return h("li", {}, dot, h("b", {}, role), ` ${about}`, ...(state === "ready" ? [] : [h("em", {}, ` ${state}`)]));
}

/** @param {Costs[]} models */
function modelTable(models) {
  const rows = models.map(({ key, provider, uses, cost: spent }) =>
    h("tr", {}, h("th", { scope: "row" }, key ?? "unknown"), h("td", {}, provider ?? ""), h("td", {}, String(uses)), h("td", {}, cost(spent))),
  );
  const names = ["Model", "Provider", "Uses", "Cost"].map((name) => h("th", { scope: "col" }, name));
  const table = h("table", {}, h("caption", {}, "Cost by model"), h("thead", {}, h("tr", {}, ...names)), h("tbody", {}, ...rows));
  return h("section", { className: "models" }, table);
}

/**
 * @param {import("./formats.js").Cost | undefined} spent
 * @param {string} currency
 */
function amount(spent, currency) {
  return spent?.amounts.find((one) => one.currency === currency)?.amount;
}

/**
 * @param {string} from
 * @param {number} days
 */
function datesFrom(from, days) {
  const start = Date.parse(from);
  return Array.from({ length: days }, (_, at) => new Date(start + at * DAY_MS).toISOString().slice(0, 10));
}

/**
 * @template Row
 * @param {Row[]} rows
 * @param {(row: Row) => number} value
 */
function sum(rows, value) {
  return rows.reduce((total, row) => total + value(row), 0);
}

customElements.define("dashboard-view", DashboardView);
