// The one tooltip: a title and lines beside what is pointed at or focused.
import { el } from "./dom.js";

const tip = document.getElementById("tip");

export function showTip(target, [title, ...lines]) {
  tip.replaceChildren(el("b", { text: title }), ...lines.map((text) => el("span", { text })));
  tip.hidden = false;
  const box = target.getBoundingClientRect();
  const wide = document.documentElement.clientWidth;
  const left = Math.max(8, Math.min(box.left + box.width / 2 - tip.offsetWidth / 2, wide - tip.offsetWidth - 8));
  const above = box.top - tip.offsetHeight - 8;
  tip.style.left = `${left + window.scrollX}px`;
  tip.style.top = `${(above > 0 ? above : box.bottom + 8) + window.scrollY}px`;
}

export function hideTip() {
  tip.hidden = true;
}
