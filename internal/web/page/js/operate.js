// What an operator may change from here: publish a range again, replay it, pause and resume. The token is typed in and kept in memory
// alone. Each change is first computed without being made; what it would do is shown as a question.
import { APIError, hasToken, post, setToken } from "./api.js";
import { el, setText } from "./dom.js";
import { count, duration, instant, stamp, zoneName } from "./format.js";
import { changes } from "./model.js";
import { t } from "./words.js";

export class Operate {
  constructor({ app, prefix, stream, audited }) {
    this.app = app;
    this.prefix = prefix;
    this.stream = stream;
    this.audited = audited;
    this.token = el("input", { type: "password", autocomplete: "off", spellcheck: "false", on: { input: () => setToken(this.token.value) } });
    this.from = el("input", { type: "text", inputmode: "numeric", placeholder: "2026-11-29 10:00:00", autocomplete: "off" });
    this.to = el("input", { type: "text", inputmode: "numeric", placeholder: "2026-11-29 11:00:00", autocomplete: "off" });
    this.target = el("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder: t("operate.same_topics") });
    this.said = el("p", { role: "status", class: "said" });
    this.pause = this.button("operate.pause", () => this.change(this.paused ? "resume" : "pause", {}));
    const field = (name, input) => el("label", {}, el("span", { text: t(name) }), input);
    this.form = el("form", { class: "operate", on: { submit: (e) => e.preventDefault() } },
      el("div", { class: "fields" }, field("operate.token", this.token), this.pause),
      el("div", { class: "fields" }, field("operate.from", this.from), field("operate.to", this.to),
        this.button("operate.reset", () => this.ranged("reset", {})), this.button("operate.audit", () => this.ranged("audit", {}))),
      el("div", { class: "fields" }, field("operate.target", this.target), this.button("operate.replay", () => this.ranged("replay", { target: this.target.value.trim() }))),
      el("p", { class: "muted small", text: t("operate.help", { zone: zoneName() }) }), this.said);
    this.forbidden = el("p", { class: "muted", text: t("operate.forbidden") });
    this.question = el("p", { class: "question" });
    this.yes = el("button", { type: "submit", value: "yes", class: "strong", text: t("operate.confirm") });
    this.dialog = el("dialog", { "aria-labelledby": "question-title" }, el("form", { method: "dialog" }, el("h2", { id: "question-title", text: t("operate.question") }),
      this.question, el("div", { class: "fields" }, this.yes, el("button", { type: "submit", value: "no", class: "quiet", text: t("operate.cancel") }))));
    this.root = el("details", { class: "card" }, el("summary", {}, el("h2", { text: t("operate.title") })), this.forbidden, this.form, this.dialog);
    this.wanted = null; // Whether it was paused (true) or resumed from here, until that is seen.
    this.allow(false);
  }

  button(name, act) {
    return el("button", { type: "button", text: t(name), on: { click: act } });
  }

  allow(allowed) {
    this.form.hidden = !allowed;
    this.forbidden.hidden = allowed;
  }

  tell(app) {
    if (app.state && (app.state === "paused") === this.wanted) this.wanted = null;
    this.paused = this.wanted ?? app.state === "paused"; // A run may notice only after a while.
    setText(this.pause, t(this.paused ? "operate.resume" : "operate.pause"));
  }

  // choose takes a range that was selected on the map.
  choose(range) {
    this.from.value = range ? stamp(range.from) : "";
    this.to.value = range ? stamp(new Date(range.to - 1000)) : ""; // Both are included.
    if (range) this.root.open = true;
  }

  ranged(kind, more) {
    const [from, to] = [instant(this.from.value), instant(this.to.value)];
    if (!from || !to || from > to) {
      setText(this.said, t("operate.range"));
      (from ? this.to : this.from).focus();
      return;
    }
    this.change(kind, { from, to, stream: this.stream(), ...more });
  }

  // change asks what a change would do, and makes it once that is confirmed.
  async change(kind, wish) {
    if (!hasToken()) {
      setText(this.said, t("operate.token.missing"));
      this.token.focus();
      return;
    }
    const { path, body, dry } = changes[kind]({ app: this.app, prefix: this.prefix, ...wish });
    try {
      setText(this.said, t("operate.computing"));
      const plan = dry ? await post(path, { ...body, dry_run: true }) : {};
      setText(this.said, "");
      const cost = plan.cost ?? plan;
      const takes = { rows: count(cost.rows), n: count(cost.requests), time: duration(cost.seconds) };
      if (!await this.confirmed(plan.question || t(`operate.${kind}.question`, { app: this.app, ...takes }))) return;
      setText(this.said, t("operate.working"));
      const done = await post(path, body);
      setText(this.said, done.text ?? t("operate.done"));
      if (kind === "pause" || kind === "resume") {
        this.wanted = kind === "pause";
        this.tell({ state: "" });
      }
      if (kind === "audit") this.audited(done.id, wish.stream);
    } catch (error) {
      if (!(error instanceof APIError)) throw error;
      setText(this.said, error.status === 401 ? t("operate.token.wrong") : error.message);
    }
  }

  confirmed(question) {
    setText(this.question, question);
    this.dialog.returnValue = "no";
    this.dialog.showModal();
    return new Promise((resolve) => {
      this.dialog.addEventListener("close", () => resolve(this.dialog.returnValue === "yes"), { once: true });
    });
  }
}
