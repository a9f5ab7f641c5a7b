const PANEL = 300;
const BETWEEN_NAMES = 14;
const LETTER = 6.6;

/** A text that fits so many pixels. */
const cutTo = (text, pixels) => (text.length * LETTER > pixels ? `${text.slice(0, Math.max(1, Math.floor(pixels / LETTER) - 1))}…` : text);

/** A metric of each model over the releases, the oldest on the left. */
function historyChart(host, history) {
  const [tools, place] = [".tools", ".drawing"].map((name) => host.querySelector(name));
  const names = Object.keys(history.metrics);
  let [metric] = names;
  const update = () => {
    WIDTH = widthOf(place);
    place.replaceChildren(drawHistory(history, metric));
  };
  if (names.length > 1) tools.append(choice("Metric", names.map((name) => [name, name]), (value) => { metric = value; update(); }));
  host.hidden = false;
  update();
  whenResized(place, update);
}

function drawHistory(history, metric) {
  const byName = new Map(data().models.map((model) => [model.name, model]));
  const lines = Object.entries(history.metrics[metric]).map(([name, values]) => ({ name, values }));
  const known = lines.flatMap(({ values }) => values).filter((value) => value !== null);
  const margin = 0.08 * (Math.max(...known) - Math.min(...known)) || 0.01;
  const [bottom, end] = [PANEL - 32, WIDTH - Math.min(190, 0.3 * WIDTH)];
  const down = linear(Math.min(...known) - margin, Math.max(...known) + margin, bottom, 18);
  const across = (place) => 70 + (place + 0.5) * ((end - 70) / history.releases.length);
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${PANEL}`, role: "img",
    "aria-label": `${metric} of ${counted(lines.length, "model", "models")} in ${history.releases.length} releases; the tables of the section "History" have the figures` });
  for (const tick of down.ticks) {
    svg.append(draw("path", { class: "grid", d: `M62 ${down.at(tick)}H${end}` }),
      draw("text", { class: "tick", x: 54, y: down.at(tick) + 4, "text-anchor": "end" }, tickText(tick)));
  }
  history.releases.forEach((release, place) => svg.append(
    draw("text", { class: "tick", x: across(place), y: bottom + 17, "text-anchor": "middle" },
      cutTo(release, (end - 70) / history.releases.length))));
  svg.append(draw("text", { class: "label", x: 16, y: PANEL / 2, "text-anchor": "middle", transform: `rotate(-90 16 ${PANEL / 2})` }, metric));
  for (const line of lines) svg.append(drawModel(line, byName.get(line.name), history, across, down));
  const ends = lines.map(({ name, values }) => ({ name, y: down.at(values.findLast((value) => value !== null) ?? down.low) }))
    .sort((a, b) => a.y - b.y);
  ends.forEach((label, k) => { if (k) label.y = Math.max(label.y, ends[k - 1].y + BETWEEN_NAMES); });
  svg.append(...ends.map(({ name, y }) => draw("text", { class: "name", x: end + 6, y: y + 4 }, cutTo(name, WIDTH - end - 8))));
  return svg;
}

/** A model's marks, joined from each release to the next one that has a value. */
function drawModel({ name, values }, model, history, across, down) {
  const kind = model?.teacher ? "reference" : model?.inside ? "inside" : model?.gated ? "outside" : "free";
  const line = draw("g", { class: `release ${kind}` });
  const places = values.map((_, place) => place).filter((place) => values[place] !== null);
  places.slice(1).forEach((place, k) => {
    const joined = history.joined.slice(places[k], place).every(Boolean);
    line.append(draw("path", { class: joined ? "" : "other-rows",
      d: `M${across(places[k])} ${down.at(values[places[k]])}L${across(place)} ${down.at(values[place])}` }));
  });
  for (const place of places) {
    line.append(draw("circle", { class: history.same_rows[place] ? "" : "other-rows", cx: across(place), cy: down.at(values[place]), r: 4.5 },
      draw("title", {}, `${name}, ${history.releases[place]}: ${tickText(values[place])}`)));
  }
  return line;
}

if (data().history) historyChart(byId("history"), data().history);
