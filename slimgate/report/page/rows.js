const KINDS_OF_CHANGE = ["right to wrong", "wrong to right", "moved", "worse", "better"];
const ROWS_AT_ONCE = 10;

/** A row's answers and text beside the teacher's. */
function changedRow([row, kind, answer, confidence], { rows, words }) {
  const [id, label, text, teacherAnswer, teacherConfidence] = rows[row];
  const word = (place, sure) => {
    if (place === null) return "–";
    return sure === null ? words[place] : `${words[place]} (${sure.toFixed(2)})`;
  };
  return {
    kind,
    cells: [id, KINDS_OF_CHANGE[kind], word(label, null), word(teacherAnswer, teacherConfidence),
      word(answer, confidence), text ?? "–"],
  };
}

/** The rows that changed under a model, some at a time, with a filter; nothing where none are known. */
function fillChanged(name, host) {
  const rows = changed().models[name];
  if (!rows) return;
  host.append(make("h3", {}, "Rows that changed"), make("p", { className: "quiet" }, rows.about));
  if (!rows.shown.length) return;
  const all = rows.shown.map((row) => changedRow(row, changed()));
  const filter = make("input", { type: "search", autocomplete: "off" });
  const status = make("p", { role: "status", className: "quiet" });
  const more = make("button", { type: "button" });
  const place = make("div");
  let kind = "all";
  let most = ROWS_AT_ONCE;
  const draw = () => {
    const words = filter.value.toLowerCase();
    const fitting = all.filter((row) => (kind === "all" || String(row.kind) === kind)
      && row.cells.join(" ").toLowerCase().includes(words));
    const shown = fitting.slice(0, most);
    const heads = ["row", "change", "label", "teacher", name, "text"];
    const empty = heads.map((_, k) => shown.every((row) => row.cells[k] === "–"));
    const known = (cells) => cells.filter((_, k) => !empty[k]);
    place.replaceChildren(textTable(`Rows that changed under ${name}`, known(heads),
      shown.map((row) => known(row.cells))));
    status.textContent = `${shown.length} of ${counted(fitting.length, "row", "rows")} shown`;
    more.hidden = shown.length === fitting.length;
    more.textContent = `Show ${Math.min(fitting.length - shown.length, 4 * ROWS_AT_ONCE)} more`;
  };
  filter.addEventListener("input", () => { most = ROWS_AT_ONCE; draw(); });
  more.addEventListener("click", () => { most += 4 * ROWS_AT_ONCE; draw(); });
  const kinds = [...new Set(all.map((row) => row.kind))].sort();
  const tools = make("div", { className: "tools" }, labelled("Filter rows", filter));
  if (kinds.length > 1) {
    const choices = [["all", "all"], ...kinds.map((number) => [String(number), KINDS_OF_CHANGE[number]])];
    tools.append(choice("Change", choices, (value) => { kind = value; most = ROWS_AT_ONCE; draw(); }));
  }
  tools.append(status);
  host.append(tools, place, more);
  draw();
}
