const models = byId("models");
const bodies = () => [...models.tBodies];
const visibleBodies = () => bodies().filter((body) => !body.hidden);

/** Opens or closes the details below a model's row; they are made when first opened. */
function toggle(body, open) {
  const button = body.querySelector("button.open");
  let details = body.rows[1];
  if (!details && open) {
    const cell = make("td", { colSpan: models.tHead.rows[0].cells.length });
    const inner = make("div", { className: "inner", role: "region", ariaLabel: `Details of ${body.dataset.name}` });
    inner.append(byId(`details-${body.dataset.number}`).content.cloneNode(true));
    cell.append(inner);
    details = make("tr", { className: "details", id: `open-${body.dataset.number}` }, cell);
    body.append(details);
    button.setAttribute("aria-controls", details.id);
    fillChanged(body.dataset.name, inner.querySelector(".changed"));
  }
  if (details) details.hidden = !open;
  button.setAttribute("aria-expanded", String(open));
}

/** Shows a model in the table, whatever the filter says, with its details open. */
function openModel(name) {
  const body = bodies().find((other) => other.dataset.name === name);
  if (body.hidden) {
    byId("filter").value = "";
    for (const box of byId("kinds").querySelectorAll("input")) box.checked = true;
    filterModels();
  }
  toggle(body, true);
  body.scrollIntoView({ block: "start" });
  body.querySelector("button.open").focus({ preventScroll: true });
}

function filterModels() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const kinds = [...byId("kinds").querySelectorAll("input:checked")].map((box) => box.value);
  for (const body of bodies()) {
    const text = `${body.rows[0].textContent} ${body.dataset.words}`.toLowerCase();
    body.hidden = !(kinds.includes(body.dataset.kind) && words.every((word) => text.includes(word)));
  }
  const all = bodies().length;
  byId("shown").textContent = `${visibleBodies().length} of ${counted(all, "model", "models")} shown`;
  document.dispatchEvent(new Event("models-shown"));
}

/** Sorts by a column; what is not known stands last, either way up. */
function sortModels(column, descending) {
  const key = (body) => (column ? body.rows[0].cells[column].dataset.sort : body.dataset.name);
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    const order = column ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true });
    return descending ? -order : order;
  };
  models.append(...bodies().sort(compare));
  document.dispatchEvent(new Event("models-shown"));
}

if (models) {
  const heads = [...models.tHead.rows[0].cells];
  for (const [column, head] of heads.entries()) {
    head.querySelector("button").addEventListener("click", () => {
      const descending = head.ariaSort === "ascending";
      for (const other of heads) other.ariaSort = "none";
      head.ariaSort = descending ? "descending" : "ascending";
      sortModels(column, descending);
    });
  }
  models.addEventListener("click", (event) => {
    const button = event.target.closest("button.open");
    if (button) toggle(button.closest("tbody"), button.ariaExpanded !== "true");
  });
  let waiting;
  byId("filter").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filterModels, 120);
  });
  byId("kinds").addEventListener("change", filterModels);
}
