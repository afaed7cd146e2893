// Charts over time, drawn by uPlot. Each has a legend in text, which also has the values under the pointer, and a summary for
// screen readers.
import uPlot from "../vendor/uplot/uPlot.js";
import { el, keyed, setAttribute, setText } from "./dom.js";
import { brief, count, duration, rate, stamp } from "./format.js";
import { t } from "./words.js";

const dashes = [[], [7, 4], [2, 3], [10, 3, 2, 3], [4, 4], [1, 5]];
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The steps of an axis of durations, in seconds.
const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 172800, 432000, 864000];

export const durations = { show: duration, tick: brief, steps };
export const counts = { show: count, tick: count, least: 5 };
export const rates = { show: rate, tick: rate };

// Chart shows series over time: title is a key of the dictionary, kind says how values are written.
export class Chart {
  constructor(title, kind) {
    this.title = title;
    this.kind = kind;
    this.show = kind.show;
    this.nothing = el("p", { class: "muted", text: t("none") });
    this.heading = el("h2", { text: t(title) });
    this.legend = el("ul", { class: "legend" });
    this.at = el("span", { class: "muted small" });
    this.plot = el("div", { class: "plot", role: "img" });
    this.root = el("section", { class: "card chart" }, el("div", { class: "spread" }, this.heading, this.at), this.nothing, this.plot, this.legend);
    this.names = [];
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.plot);
    this.schemes = matchMedia("(prefers-color-scheme: dark)");
    this.recolor = () => this.build();
    this.schemes.addEventListener("change", this.recolor);
  }

  // set takes columns: times in seconds since 1970, and by name the values, null where there is none.
  set(times, series) {
    const names = Object.keys(series).filter((name) => series[name].some((value) => value !== null));
    this.nothing.hidden = names.length > 0;
    this.plot.hidden = this.legend.hidden = names.length === 0;
    this.data = [times, ...names.map((name) => series[name])];
    if (!this.chart || names.join("\n") !== this.names.join("\n")) {
      this.names = names;
      this.build();
    } else {
      this.chart.setData(this.data);
    }
    this.tell();
  }

  build() {
    this.chart?.destroy();
    this.chart = null;
    if (!this.data || this.plot.clientWidth === 0) return;
    const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const options = {
      width: this.plot.clientWidth,
      height: 150,
      legend: { show: false },
      padding: [8, 8, 0, 0],
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { range: () => this.times() },
        y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(this.kind.least ?? 0, (high ?? 0) * 1.1) || 1] },
      },
      axes: [
        { ...axis, space: 70, size: 26, values: (_, ticks) => ticks.map((s) => stamp(new Date(s * 1000)).slice(11, 16)) },
        { ...axis, size: 58, ...(this.kind.steps ? { incrs: this.kind.steps } : {}), values: (_, ticks) => ticks.map((v) => this.kind.tick(v)) },
      ],
      series: [{}, ...this.names.map((_, i) => ({
        stroke: color(`--series-${i % 6}`), width: 1.75, dash: dashes[i % 6], points: { show: false }, spanGaps: false,
      }))],
      hooks: { setCursor: [() => this.tell()] },
    };
    this.chart = new uPlot(options, this.data, this.plot);
  }

  // times are the first and the last one that are shown: ten minutes at least.
  times() {
    const [all] = this.data;
    const last = all.at(-1) ?? Date.now() / 1000;
    return [Math.min(all[0] ?? last, last - 600), last];
  }

  resize() {
    if (!this.chart) this.build();
    else if (this.chart.width !== this.plot.clientWidth && this.plot.clientWidth > 0) this.chart.setSize({ width: this.plot.clientWidth, height: 150 });
  }

  // tell writes the values under the pointer, or else the newest ones.
  tell() {
    if (!this.data) return;
    const under = this.chart?.cursor.idx ?? null;
    const i = under ?? this.data[0].length - 1;
    setText(this.at, under === null ? "" : stamp(new Date(this.data[0][i] * 1000)).slice(11));
    const items = this.names.map((name, n) => ({ name, n, value: this.data[n + 1][i] }));
    keyed(this.legend, items, (item) => item.name, (item) => el("li", {}, el("span", { class: `swatch s${item.n % 6}`, "aria-hidden": "true" }),
      el("span", { text: item.name }), el("b", {})), (node, item) => setText(node.lastChild, this.show(item.value)));
    const last = this.data[0].length - 1;
    setAttribute(this.plot, "aria-label", `${t(this.title)}: ${last < 0 ? t("none") : this.names.map((name, n) => t("chart.summary", {
      name, now: this.show(this.data[n + 1][last]), most: this.show(Math.max(...this.data[n + 1].map((v) => v ?? 0))),
    })).join("; ")}`);
  }

  destroy() {
    this.sizes.disconnect();
    this.schemes.removeEventListener("change", this.recolor);
    this.chart?.destroy();
  }
}
