// The page's languages. words.json has the same keys for each; {name} stands for a value.
const remembered = "jmpub.language";
let words = {};
let current = "en";

export async function loadWords() {
  const answer = await fetch("page/words.json");
  words = await answer.json();
  let chosen = null;
  try {
    chosen = localStorage.getItem(remembered);
  } catch { /* Storage may be forbidden; then nothing is remembered. */ }
  current = words[chosen] ? chosen : (navigator.languages ?? [navigator.language]).some((l) => /^zh\b/i.test(l)) ? "zh" : "en";
}

export const language = () => current;

export function setLanguage(name) {
  current = name;
  try {
    localStorage.setItem(remembered, name);
  } catch { /* See above. */ }
}

// has tells whether there is such a word.
export const has = (key) => Object.hasOwn(words[current] ?? {}, key);

// t is the text of a key. For counts, {n} picks "key.one" where it is 1 and there is one.
export function t(key, values = {}) {
  const text = (String(values.n) === "1" && words[current]?.[`${key}.one`]) || words[current]?.[key] || key;
  return text.replace(/\{(\w+)\}/g, (all, name) => (Object.hasOwn(values, name) ? String(values[name]) : all));
}
