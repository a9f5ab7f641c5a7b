const LINE = 22;
const MOST_LINES = 60;
const nameRoom = () => Math.min(210, 0.34 * WIDTH);

/** Times of a call on one workload of the models that the table shows, in its order. */
function timesChart(host) {
  const workloads = Object.entries(data().workloads);
  const byName = new Map(data().models.map((model) => [model.name, model]));
  const [tools, place, asTable] = [".tools", ".drawing", ".as-table"].map((name) => host.querySelector(name));
  let [workload] = workloads[0];
  const update = () => {
    WIDTH = widthOf(place);
    const timed = visibleBodies().map((body) => byName.get(body.dataset.name)).filter((model) => model.times[workload]?.p50);
    const teacher = data().models.find((model) => model.teacher)?.times[workload]?.p50;
    const shown = timed.slice(0, MOST_LINES);
    const left = timed.length - shown.length;
    place.replaceChildren(shown.length ? drawTimes(shown, workload, teacher) : make("p", {}, "No model that the table shows was timed on this."));
    if (left) place.append(make("p", { className: "quiet" }, `${left} more are not drawn: filter or sort the table.`));
    asTable.querySelector(".scroll")?.remove();
    if (asTable.open) {
      asTable.append(textTable(`Times of a call, ms, ${data().workloads[workload]}`, ["model", "ms"],
        timed.map((model) => [model.name, model.times[workload].words])));
    }
  };
  if (workloads.length > 1) tools.append(choice("Workload", workloads, (value) => { workload = value; update(); }));
  document.addEventListener("models-shown", update);
  asTable.addEventListener("toggle", update);
  host.hidden = false;
  update();
  whenResized(place, update);
}

function drawTimes(shown, workload, teacher) {
  const ends = shown.map(({ times }) => {
    const { min, p50, p90, p95, p99 } = times[workload];
    return [min ?? p50, p99 ?? p95 ?? p90 ?? p50];
  });
  const [low, high] = [Math.min(...ends.map(([min]) => min)), Math.max(...ends.map(([, max]) => max))];
  const wide = high / low > 12;
  const end = WIDTH - (WIDTH < 600 ? 52 : 90);
  const scale = wide ? logarithmic(low / 1.1, high * 1.1, nameRoom(), end) : linear(0, high * 1.03, nameRoom(), end);
  const height = LINE * shown.length + 44;
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img",
    "aria-label": `Times of a call on ${data().workloads[workload]} of ${counted(shown.length, "model", "models")}; the table below has the figures` });
  for (const tick of scale.ticks) {
    svg.append(draw("path", { class: "grid", d: `M${scale.at(tick)} 8V${height - 34}` }),
      draw("text", { class: "tick", x: scale.at(tick), y: height - 18, "text-anchor": "middle" }, tickText(tick)));
  }
  svg.append(draw("text", { class: "label", x: (nameRoom() + end) / 2, y: height - 3, "text-anchor": "middle" }, `ms a call${wide ? ", equal factors equally far apart" : ""}`));
  if (teacher && teacher >= scale.low && teacher <= scale.high) {
    svg.append(draw("path", { class: "limit", d: `M${scale.at(teacher)} 8V${height - 34}` }));
  }
  shown.forEach((model, k) => {
    const { p50, p90, words } = model.times[workload];
    const y = 8 + LINE * (k + 0.5);
    const [min, max] = ends[k].map(scale.at);
    const thick = scale.at(p90 ?? p50);
    const name = model.name.length * 6.6 > nameRoom() - 12 ? `${model.name.slice(0, Math.floor(nameRoom() / 6.6) - 3)}…` : model.name;
    svg.append(draw("g", { class: `times ${model.teacher ? "reference" : model.inside ? "inside" : "outside"}` },
      draw("title", {}, `${model.name}: ${words}`),
      draw("text", { class: "name", x: nameRoom() - 10, y: y + 4, "text-anchor": "end" }, name),
      draw("path", { class: "whisker", d: `M${min} ${y}H${max}` }),
      draw("rect", { x: min, y: y - 5, width: Math.max(thick - min, 1), height: 10 }),
      draw("path", { class: "median", d: `M${scale.at(p50)} ${y - 8}V${y + 8}` }),
      draw("text", { class: "tick", x: max + 8, y: y + 4 }, tickText(Number(p50.toPrecision(3))))));
  });
  return svg;
}

if (models && Object.keys(data().workloads).length) timesChart(byId("times"));
