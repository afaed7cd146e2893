// The map of 60 days by hour: a column is a day and a row an hour, in the app's zone. Each cell tells its state by colour and by
// pattern, its numbers when it is pointed at or focused, and opens the hour's windows. Dragging, or Shift with the arrows, selects a range.
import { el, setAttribute, setText } from "./dom.js";
import { count, duration, local, stamp } from "./format.js";
import { hideTip, showTip } from "./tip.js";
import { t } from "./words.js";

const hourLong = 3600_000;
const steps = { ArrowLeft: -24, ArrowRight: 24, ArrowUp: -1, ArrowDown: 1, PageUp: -168, PageDown: 168 };

const states = ["read", "empty", "reading", "backlog", "gap", "unread"];

export class CoverageMap {
  // open is called with an hour that was chosen, select with {from, to} or null.
  constructor(open, select) {
    this.open = open;
    this.select = select;
    this.grid = el("div", {
      class: "map", role: "grid", "aria-label": t("map.label"), "aria-describedby": "map-help",
      on: {
        pointerdown: (e) => this.press(e), pointerover: (e) => this.over(e), pointerleave: () => hideTip(), click: (e) => this.click(e),
        keydown: (e) => this.key(e), focusin: (e) => this.focused(e), focusout: () => hideTip(),
      },
    });
    this.released = () => this.release();
    window.addEventListener("pointerup", this.released);
    this.root = el("div", {}, el("div", { class: "map-frame" }, this.grid), el("p", { class: "unseen", id: "map-help", text: t("map.keys") }), this.legend());
    this.cells = [];
    this.at = -1;
  }

  legend() {
    const swatch = (look) => el("span", { class: `cell ${look}`, "aria-hidden": "true" });
    return el("ul", { class: "legend map-legend" }, el("li", {}, ["l0", "l1", "l2", "l3"].map((level) => swatch(`read ${level}`)), t("state.read")),
      states.slice(1).map((state) => el("li", {}, swatch(state), t(`state.${state}`))),
      ["late", "replayed"].map((mark) => el("li", {}, swatch(`read l1 ${mark}`), t(`state.${mark}`))));
  }

  // set shows hours of [from, to): a map of instants in milliseconds, of whole UTC hours, to what is known of them.
  set(from, to, hours) {
    const start = new Date(from);
    const first = from - (local(start).hour * hourLong);
    const days = Math.ceil((to - first) / (24 * hourLong));
    if (this.first !== first || this.days !== days) this.lay(first, days);
    const busiest = Math.max(10, ...[...hours.values()].map((h) => h.rows ?? 0));
    for (let i = 0; i < this.cells.length; i++) {
      const hour = hours.get(this.first + i * hourLong) ?? { state: "unread" };
      hour.begin = this.first + i * hourLong;
      if (hour.begin >= to) hour.state = "ahead";
      const level = hour.state === "read" ? ` l${Math.min(3, Math.floor(4 * Math.sqrt(hour.rows / busiest)))}` : "";
      const cell = this.cells[i];
      cell.hour = hour;
      const look = `cell ${hour.state}${level}${hour.late ? " late" : ""}${hour.replayed ? " replayed" : ""}`;
      if (cell.look !== look) cell.className = cell.look = look;
      setAttribute(cell, "aria-label", this.lines(hour).join(", "));
    }
    this.mark();
    if (this.at < 0) {
      this.at = Math.max(0, Math.min(this.cells.length - 1, Math.floor((to - 1 - this.first) / hourLong)));
      this.cells[this.at].tabIndex = 0;
    }
    const focused = this.cells.indexOf(document.activeElement);
    if (focused >= 0) this.tell(focused);
  }

  // lay makes the cells, a day's hours below each other.
  lay(first, days) {
    this.first = first;
    this.days = days;
    this.at = -1;
    this.selected = null;
    this.cells = Array.from({ length: 24 * days }, (_, i) => {
      const cell = el("div", { role: "gridcell", tabindex: "-1", "aria-colindex": Math.floor(i / 24) + 2 });
      cell.index = i;
      return cell;
    });
    const head = el("div", { role: "row" }, el("span", { role: "columnheader", class: "corner" }, el("span", { class: "unseen", text: t("map.hour") })));
    for (let d = 0; d < days; d++) {
      const day = local(new Date(first + d * 24 * hourLong)).day;
      const shown = (days - 1 - d) % 7 === 0;
      head.append(el("span", { role: "columnheader", class: "day" }, el("span", { class: "unseen", text: day }), shown ? el("span", { "aria-hidden": "true", text: day.slice(5) }) : ""));
    }
    const rows = Array.from({ length: 24 }, (_, h) => el("div", { role: "row" },
      el("span", { role: "rowheader", class: "hour" }, el("span", { class: h % 6 === 0 ? null : "unseen", text: stamp(new Date(first + h * hourLong)).slice(11, 16) })),
      Array.from({ length: days }, (_, d) => this.cells[24 * d + h])));
    setAttribute(this.grid, "aria-rowcount", 25);
    setAttribute(this.grid, "aria-colcount", days + 1);
    this.grid.style.setProperty("--days", days);
    this.grid.replaceChildren(head, ...rows);
  }

  // lines are what is told of an hour.
  lines(hour) {
    const at = stamp(new Date(hour.begin));
    const lines = [`${at.slice(0, 16)}–${stamp(new Date(hour.begin + hourLong)).slice(11, 16)}`, t(`state.${hour.state}`)];
    if (hour.rows) lines.push(t("hour.rows", { n: count(hour.rows), published: count(hour.published) }));
    if (hour.rejected) lines.push(t("hour.rejected", { n: count(hour.rejected) }));
    if (hour.late) lines.push(t("hour.late", { n: count(hour.late) }));
    if (hour.gap) lines.push(t("hour.gap", { time: duration(hour.gap) }));
    if (hour.replayed) lines.push(t("hour.replayed", { n: hour.replayed }));
    return lines;
  }

  tell(i) {
    if (this.cells[i]) showTip(this.cells[i], this.lines(this.cells[i].hour));
  }

  cellOf(event) {
    return event.target.closest?.("[role=gridcell]") ?? null;
  }

  press(event) {
    const cell = this.cellOf(event);
    if (!cell || event.button !== 0 || event.pointerType === "touch") return;
    this.anchor = cell.index;
    this.dragged = false;
  }

  over(event) {
    const cell = this.cellOf(event);
    if (!cell) return hideTip();
    this.tell(cell.index);
    if (this.anchor === undefined || cell.index === this.anchor && !this.dragged) return;
    this.dragged = true;
    this.range(this.anchor, cell.index);
  }

  release() {
    if (this.dragged) this.select(this.selectedRange());
    this.anchor = undefined;
  }

  click(event) {
    const cell = this.cellOf(event);
    if (!cell || this.dragged) return;
    this.go(cell.index);
    if (cell.hour.state !== "ahead") this.open(cell.hour);
  }

  key(event) {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      const { hour } = this.cells[this.at];
      if (hour.state !== "ahead") this.open(hour);
      return;
    }
    if (event.key === "Escape") {
      hideTip();
      if (this.selected) {
        this.range(null);
        this.select(null);
      }
      return;
    }
    const to = event.key === "Home" ? 0 : event.key === "End" ? this.cells.length - 1 : this.at + (steps[event.key] ?? 0);
    if (to === this.at || to < 0 || to >= this.cells.length) {
      if (steps[event.key]) event.preventDefault();
      return;
    }
    event.preventDefault();
    if (event.shiftKey) {
      this.shiftFrom ??= this.at;
      this.range(this.shiftFrom, to);
      this.select(this.selectedRange());
    } else {
      this.shiftFrom = undefined;
    }
    this.go(to);
  }

  go(i) {
    if (this.at >= 0) this.cells[this.at].tabIndex = -1;
    this.at = i;
    this.cells[i].tabIndex = 0;
    this.cells[i].focus();
  }

  focused(event) {
    const cell = this.cellOf(event);
    if (cell && cell.matches(":focus-visible")) this.tell(cell.index);
  }

  range(a, b) {
    this.selected = a === null ? null : [Math.min(a, b), Math.max(a, b)];
    this.mark();
  }

  selectedRange() {
    const [a, b] = this.selected;
    return { from: new Date(this.first + a * hourLong), to: new Date(this.first + (b + 1) * hourLong) };
  }

  mark() {
    const [a, b] = this.selected ?? [1, 0];
    for (let i = 0; i < this.cells.length; i++) setAttribute(this.cells[i], "aria-selected", i >= a && i <= b ? "true" : null);
  }

  destroy() {
    window.removeEventListener("pointerup", this.released);
    hideTip();
  }
}
