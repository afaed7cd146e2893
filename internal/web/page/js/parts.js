// What several views are made of.
import { el, icon, keyed, setAttribute, setText, setWidth } from "./dom.js";
import { count } from "./format.js";
import { t } from "./words.js";

// card is a titled section. What stands beside the title is given as tools.
export function card(title, content, { tools = [] } = {}) {
  return el("section", { class: "card" }, el("div", { class: "spread" }, el("h2", { text: title }), tools), content);
}

// Tile is a number with its name, and below it a line of detail and a bar.
export class Tile {
  constructor(name) {
    this.value = el("dd", { class: "value", text: "–" });
    this.detail = el("dd", { class: "muted small detail" });
    this.fill = el("span");
    this.bar = el("dd", { class: "bar", "aria-hidden": "true", hidden: true }, this.fill);
    this.root = el("div", { class: "tile" }, el("dt", { text: name }), this.value, this.bar, this.detail);
  }

  // set shows a value; state is ok, warning or failing, part the filled fraction of the bar.
  set(value, detail = "", { state = "ok", part = null } = {}) {
    setText(this.value, value);
    setText(this.detail, detail);
    setAttribute(this.root, "data-state", state);
    this.bar.hidden = part === null;
    if (part !== null) setWidth(this.fill, part);
  }
}

// Table shows items as rows. A column has a name (a key of the dictionary), text(item), and may have link(item), look(item) (a class of
// the cell), sort (a word for the server) and the class of its cells.
export class Table {
  constructor(name, columns, { empty = "none", key, sorted = null, open = null } = {}) {
    this.columns = columns;
    this.key = key;
    this.sorted = sorted;
    this.body = el("tbody");
    this.head = el("tr", {}, columns.map((c) => this.heading(c)));
    this.none = t(empty);
    this.empty = el("p", { class: "muted" });
    this.frame = el("div", { class: "scroll", role: "region", "aria-label": name, tabindex: "0" },
      el("table", {}, el("caption", { class: "unseen", text: name }), el("thead", {}, this.head), this.body));
    this.root = el("div", {}, this.frame, this.empty);
    this.open = open;
    this.says(t("loading"));
  }

  heading(column) {
    const name = t(column.name);
    const cell = el("th", { scope: "col", class: column.class });
    if (!column.sort || !this.sorted) {
      cell.textContent = name;
      return cell;
    }
    const button = el("button", { type: "button", class: "sort", text: name, on: { click: () => this.sorted.choose(column.sort) } });
    cell.append(button);
    cell.dataset.sort = column.sort;
    return cell;
  }

  // says shows a text in place of rows, such as why there are none.
  says(text) {
    this.show([]);
    setText(this.empty, text);
  }

  set(items) {
    this.asked = true;
    this.show(items);
    setText(this.empty, this.none);
  }

  // failed shows why nothing is known. What was known before stays.
  failed(error) {
    if (!this.asked) this.says(error.message);
  }

  show(items) {
    this.frame.hidden = items.length === 0;
    this.empty.hidden = items.length > 0;
    for (const cell of this.head.children) {
      if (!cell.dataset.sort) continue;
      const mine = cell.dataset.sort === this.sorted.by;
      setAttribute(cell, "aria-sort", mine ? (this.sorted.descending ? "descending" : "ascending") : "none");
    }
    keyed(this.body, items, this.key, (item) => this.row(item), (row, item) => this.update(row, item));
  }

  row(item) {
    return el("tr", {}, this.columns.map((c) => {
      const cell = el(c.head ? "th" : "td", { class: c.class, scope: c.head ? "row" : null });
      if (c.link?.(item)) cell.append(el("a", {}));
      return cell;
    }));
  }

  update(row, item) {
    this.columns.forEach((c, i) => {
      const cell = row.children[i];
      const inner = cell.firstElementChild?.tagName === "A" ? cell.firstElementChild : cell;
      if (c.show) c.show(cell, item);
      else setText(inner, c.text(item));
      if (c.link && inner !== cell) setAttribute(inner, "href", c.link(item));
      if (c.look) setAttribute(cell, "data-look", c.look(item));
    });
  }
}

// Verdict is the one sentence that matters, with what is wrong below it. Only a change of its state is said to screen readers.
export class Verdict {
  constructor() {
    this.icon = el("span", { class: "verdict-icon" });
    this.sentence = el("h1", { id: "verdict" });
    this.detail = el("p", { class: "muted" });
    this.problems = el("ul", { class: "problems" });
    this.root = el("section", { class: "verdict", "aria-labelledby": "verdict" }, this.icon, el("div", { class: "verdict-text" }, this.sentence, this.detail, this.problems));
  }

  // set takes the state (ok, warning, failing, waiting), the sentence, a line below it, and problems: {key, title, link, detail, hint}.
  set(state, sentence, detail, problems, leftOut = 0) {
    if (this.state !== state) this.icon.replaceChildren(icon(state), el("span", { class: "unseen", text: t(`verdict.${state}`) }));
    setAttribute(this.root, "data-state", state);
    setText(this.sentence, sentence);
    setText(this.detail, detail);
    const shown = leftOut > 0 ? [...problems, { key: "more", title: t("problems.more", { n: count(leftOut) }) }] : problems;
    this.problems.hidden = shown.length === 0;
    keyed(this.problems, shown, (p) => p.key, () => el("li", {}, el("b", {}), el("span", { class: "problem-detail" }), el("span", { class: "hint" })), (node, p) => {
      const [title, text, hint] = node.children;
      if (p.link) {
        if (!title.firstElementChild) title.append(el("a", {}));
        setText(title.firstElementChild, p.title);
        setAttribute(title.firstElementChild, "href", p.link);
      } else {
        setText(title, p.title);
      }
      setText(text, p.detail ?? "");
      setText(hint, p.hint ?? "");
    });
    const said = `${state} ${problems.length + leftOut}`;
    if (this.said !== said) setText(document.getElementById("said"), state === "ok" && this.said === undefined ? "" : `${t(`verdict.${state}`)}: ${sentence}`);
    this.said = said;
    this.state = state;
  }
}

// badge is a state in a word.
export function showBadge(cell, state, text) {
  if (!cell.firstElementChild) cell.append(el("span", { class: "badge" }));
  setAttribute(cell.firstElementChild, "data-state", state);
  setText(cell.firstElementChild, text);
}
