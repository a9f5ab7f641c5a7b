"use strict";

/** The element of an id; null where a page has none. */
const byId = (id) => document.getElementById(id);

/** An HTML element with properties and children; texts become text, never markup. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A function that returns the JSON of an element of the page, which is parsed once. */
function jsonReader(id) {
  let read;
  return () => (read ??= JSON.parse(byId(id)?.textContent || "null"));
}

const data = jsonReader("data");
const changed = jsonReader("changed");

/** A table of texts: the first cell of a row is its head; rightAligned: places of columns. */
function textTable(caption, heads, rows, rightAligned = []) {
  const side = (k) => (rightAligned.includes(k) ? "number" : "");
  const head = make("tr", {}, ...heads.map((text, k) => make("th", { scope: "col", className: side(k) }, text)));
  const body = rows.map((row) =>
    make("tr", {}, ...row.map((text, k) =>
      k ? make("td", { className: side(k) }, text) : make("th", { scope: "row" }, text))));
  const table = make("table", {}, make("caption", { className: "unseen" }, caption), make("thead", {}, head),
    make("tbody", {}, ...body));
  return make("div", { className: "scroll", role: "region", tabIndex: 0, ariaLabel: caption }, table);
}

let fields = 0;

/** A field with its label beside it: inside, a field's value would be read as a part of its name. */
function labelled(label, field) {
  field.id = `field-${fields += 1}`;
  return make("span", { className: "field" }, make("label", { htmlFor: field.id }, label), field);
}

/** A labelled choice; choices: [value, text]. */
function choice(label, choices, onchange) {
  const select = make("select", { onchange: () => onchange(select.value) });
  select.append(...choices.map(([value, text]) => make("option", { value }, text)));
  return labelled(label, select);
}

/** A number with its noun: 1 row, 2 rows. */
const counted = (number, singular, plural) => `${number.toLocaleString("en")} ${number === 1 ? singular : plural}`;

/** A link to a folded section opens it. */
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  const section = link && byId(link.hash.slice(1));
  if (section instanceof HTMLDetailsElement) section.open = true;
});

{
  const root = document.documentElement;
  const button = byId("theme");
  const dark = () => getComputedStyle(root).colorScheme === "dark"
    || (root.dataset.theme === undefined && matchMedia("(prefers-color-scheme: dark)").matches);
  const show = () => button.setAttribute("aria-pressed", String(dark()));
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  show();
}
