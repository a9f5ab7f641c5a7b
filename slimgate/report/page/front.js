const HEIGHT = 460;
const EDGE = { left: 62, right: 24, top: 18, bottom: 46 };
const CROWD = 60;
const MOST_NAMES = 24;

/** The models that no other beats both in gain and in drop, the largest gain first. */
function frontOf(points) {
  const front = [];
  for (const point of [...points].sort((a, b) => b.x - a.x || a.y - b.y)) {
    if (!front.length || point.y < front.at(-1).y) front.push(point);
  }
  return front;
}

/** Places of names that do not cover each other; a point whose name has no room keeps it for its label. */
function namesOf(points, first) {
  const taken = points.map(({ px, py, r }) => {
    const half = Math.max(4, 0.8 * r);
    return [px - half, py - half, px + half, py + half];
  });
  const free = (box) => box[0] > EDGE.left && box[2] < WIDTH - 4 && box[1] > 4 && box[3] < HEIGHT - EDGE.bottom
    && taken.every((other) => box[2] < other[0] || box[0] > other[2] || box[3] < other[1] || box[1] > other[3]);
  const names = [];
  for (const point of first) {
    const wide = point.model.name.length * 6.6;
    const away = point.r + 4;
    const tries = [[away, 4], [-away - wide, 4], [-wide / 2, -away - 2], [-wide / 2, away + 10], [away, -8], [away, 15]];
    for (const [dx, dy] of tries) {
      const [x, y] = [point.px + dx, point.py + dy];
      const box = [x, y - 10, x + wide, y + 3];
      if (free(box)) {
        taken.push(box);
        names.push(draw("text", { x, y, class: "name" }, point.model.name));
        break;
      }
    }
  }
  return names;
}

/** How far down the drops reach: one broken model must not press all others against the top. */
function dropRange(points, limit, whole, interval) {
  const reached = (point) => (interval ? [point.y, point.low, point.high] : [point.y]);
  const sorted = points.map((point) => point.y).sort((a, b) => a - b);
  const usual = sorted[Math.floor(0.75 * (sorted.length - 1))] * 1.6;
  const reach = whole || points.length < 4 ? Infinity : Math.max(2.5 * (limit ?? 0), usual, 0.1);
  const low = Math.min(0, ...points.map((point) => point.y), ...points.flatMap(reached).map((drop) => Math.max(drop, -reach)));
  const high = Math.max(limit ?? 0, 0.1, ...points.filter((point) => point.y <= reach).flatMap(reached));
  const margin = 0.08 * (high - low);
  return [low - margin, high + margin];
}

/** The mark of a point: a dot, a diamond for the teacher, a triangle where its drop is below the axis. */
function markOf(point) {
  const { px: x, py: y, r } = point;
  if (point.below) return draw("path", { d: `M${x - 6} ${y - 9}H${x + 6}L${x} ${y}Z` });
  if (point.model.teacher) return draw("path", { d: `M${x} ${y - 7}L${x + 7} ${y}L${x} ${y + 7}L${x - 7} ${y}Z` });
  return draw("circle", { cx: x, cy: y, r });
}

/** The point of a model for a metric and an axis; null if the model lacks a figure of either. */
function pointOf(model, metric, axis) {
  const drop = model.drops[metric];
  const gain = axis.of(model);
  if (!drop || gain === null || gain === undefined) return null;
  const [value, low, high, dropText] = drop;
  return { model, x: gain.bound, proved: gain.proved, y: axis.interval ? value : high ?? value, low: low ?? value,
    high: high ?? value, text: gain.text, drop: dropText };
}

/** The horizontal axes: gains, whose bound counts, or properties of the files. */
const AXES = {
  speed: (workload, words) => ({
    label: `speed-up, ${words}, at least`, log: true, unit: "×",
    of: (model) => {
      if (!model.speed[workload]) return null;
      const [speedup, lowest, text] = model.speed[workload];
      return { bound: lowest ?? speedup, proved: lowest !== null, text };
    },
  }),
  compression: () => ({
    label: "times smaller than the teacher", log: true, unit: "×",
    of: (model) => (model.compression ? { bound: model.compression, proved: true, text: `${model.size}, ${model.smaller}` } : null),
  }),
  bits: () => ({
    label: "bits a parameter, in the files", interval: true,
    of: (model) => (model.bits ? { bound: model.bits, proved: true, text: `${model.bits} bits a parameter` } : null),
  }),
  sparsity: () => ({
    label: "sparsity, share of zeros", interval: true,
    of: (model) => (model.sparsity !== null && model.sparsity !== undefined
      ? { bound: model.sparsity, proved: true, text: `sparsity ${model.sparsity}` } : null),
  }),
};

/** A chart of drops against one axis, with a choice of both; points are reached by arrow keys. */
function dropChart(host, axes) {
  const state = { metric: data().metrics[0], axis: Object.keys(axes)[0], whole: false };
  const [tools, place, asTable] = [".tools", ".drawing", ".as-table"].map((name) => host.querySelector(name));
  const hint = make("p", { className: "hint", ariaHidden: "true" });
  const update = () => {
    WIDTH = widthOf(place);
    const axis = axes[state.axis];
    const points = data().models.map((model) => pointOf(model, state.metric, axis)).filter(Boolean);
    const front = axis.interval ? [] : frontOf(points);
    const lacking = data().models.length - points.length;
    place.replaceChildren(drawPoints(points, front, axis, state, hint), hint, make("p", { className: "quiet" },
      `Filled: inside all its budgets; hollow: not inside; grey: not gated; dashed: by medians, without an interval; diamond: the teacher. `
      + `Arrow keys go from point to point, Enter opens one.${lacking ? ` ${counted(lacking, "model has", "models have")} no figure on one of the axes.` : ""}`));
    hint.textContent = "";
    fillTable(asTable, points, front, axis, state.metric);
  };
  if (data().metrics.length > 1) {
    tools.append(choice("Metric", data().metrics.map((name) => [name, name]), (value) => { state.metric = value; update(); }));
  }
  if (Object.keys(axes).length > 1) {
    tools.append(choice("Against", Object.entries(axes).map(([key, axis]) => [key, axis.label]),
      (value) => { state.axis = value; update(); }));
  }
  const whole = make("input", { type: "checkbox", onchange: () => { state.whole = whole.checked; update(); } });
  tools.append(make("label", { className: "field" }, whole, " the whole range of drops"));
  asTable.addEventListener("toggle", update);
  host.hidden = false;
  update();
  whenResized(place, update);
}

function fillTable(asTable, points, front, axis, metric) {
  asTable.querySelector(".scroll")?.remove();
  if (!asTable.open) return;
  const rows = [...points].sort((a, b) => b.x - a.x).map((point) => [point.model.name, point.text, point.drop,
    point.model.size ?? "–", front.includes(point) ? "yes" : "no", point.model.standing]);
  const heads = ["model", axis.label, `${metric}, drop`, "files", "on the line", "verdict"];
  asTable.append(textTable(`${metric} against ${axis.label}`, heads, rows));
}

function drawPoints(points, front, axis, state, hint) {
  const limit = data().limits[state.metric];
  const unit = data().units[state.metric] === "percent" ? "growth, %" : "drop, points";
  const [low, high] = dropRange(points, limit, state.whole, axis.interval);
  const down = linear(low, high, EDGE.top, HEIGHT - EDGE.bottom);
  const xs = points.map((point) => point.x);
  const [from, to] = [Math.min(...xs), Math.max(...xs)];
  const across = axis.log
    ? logarithmic(from / 1.12, to * 1.18, EDGE.left, WIDTH - EDGE.right)
    : linear(from - 0.06 * (to - from || 1), to + 0.08 * (to - from || 1), EDGE.left, WIDTH - EDGE.right);
  for (const point of points) {
    point.below = point.y > down.high;
    point.px = across.at(point.x);
    point.py = down.at(Math.min(point.y, down.high));
    point.r = axis.interval || points.length > CROWD ? 5 : 7;
  }
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group",
    "aria-label": `${state.metric}, ${unit}, against ${axis.label}: ${counted(points.length, "model", "models")}` });
  if (limit !== null && limit !== undefined) {
    const y = down.at(limit);
    svg.append(draw("rect", { class: "allowed", x: EDGE.left, y: EDGE.top, width: WIDTH - EDGE.left - EDGE.right,
      height: y - EDGE.top }), draw("path", { class: "limit", d: `M${EDGE.left} ${y}H${WIDTH - EDGE.right}` }),
    draw("text", { class: "tick", x: WIDTH - EDGE.right - 4, y: y - 5, "text-anchor": "end" }, `budget ${limit}`));
  }
  for (const tick of down.ticks) {
    svg.append(draw("path", { class: tick === 0 ? "zero" : "grid", d: `M${EDGE.left} ${down.at(tick)}H${WIDTH - EDGE.right}` }),
      draw("text", { class: "tick", x: EDGE.left - 8, y: down.at(tick) + 4, "text-anchor": "end" }, tickText(tick)));
  }
  for (const tick of across.ticks) {
    svg.append(draw("path", { class: axis.log && tick === 1 ? "zero" : "grid", d: `M${across.at(tick)} ${EDGE.top}V${HEIGHT - EDGE.bottom}` }),
      draw("text", { class: "tick", x: across.at(tick), y: HEIGHT - EDGE.bottom + 17, "text-anchor": "middle" }, `${tickText(tick)}${axis.unit ?? ""}`));
  }
  svg.append(draw("text", { class: "label", x: (EDGE.left + WIDTH - EDGE.right) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, axis.label),
    draw("text", { class: "label", x: 16, y: HEIGHT / 2, "text-anchor": "middle", transform: `rotate(-90 16 ${HEIGHT / 2})` },
      `${state.metric}, ${unit}${axis.interval ? "" : ", at most"}`));
  for (const line of axis.interval ? seriesOf(points) : [front]) {
    if (line.length > 1) svg.append(draw("path", { class: "front", d: `M${line.map(({ px, py }) => `${px} ${py}`).join("L")}` }));
  }
  if (axis.interval) {
    for (const { px, low: best, high: worst, below } of points) {
      if (!below) svg.append(draw("path", { class: "reach", d: `M${px} ${down.at(Math.max(best, down.low))}V${down.at(Math.min(worst, down.high))}` }));
    }
  }
  const marks = points.map((point) => markedPoint(point, state, hint));
  if (points.length > CROWD) {
    for (const [k, point] of points.entries()) marks[k].classList.toggle("back", front.length > 0 && !front.includes(point));
  }
  svg.append(...marks);
  svg.append(...namesOf(points, points.length <= MOST_NAMES ? points : front.slice(0, MOST_NAMES)));
  const byPlace = [...points].sort((a, b) => a.px - b.px).map((point) => marks[points.indexOf(point)]);
  roving(svg, byPlace);
  return svg;
}

/** Points of variants whose names differ in one number, from left to right. */
function seriesOf(points) {
  const bySeries = Map.groupBy(points, (point) => point.model.series);
  return [...bySeries.values()].map((line) => line.sort((a, b) => a.px - b.px));
}

function markedPoint(point, state, hint) {
  const { model } = point;
  const kind = model.teacher ? "reference" : model.inside ? "inside" : model.gated ? "outside" : "free";
  const beyond = point.below ? ", below the axis" : "";
  const words = `${model.name}: ${point.text}; ${state.metric} ${point.drop}${beyond}; ${model.size ?? "size not known"}; ${model.standing}`;
  const mark = draw("g", { class: `point ${kind}${point.proved ? "" : " guessed"}`, role: "button", tabindex: -1, "aria-label": words }, markOf(point));
  const showHint = () => { hint.textContent = words; };
  mark.addEventListener("mouseenter", showHint);
  mark.addEventListener("focus", showHint);
  mark.addEventListener("click", () => openModel(model.name));
  return mark;
}

/** One tab stop for all points; arrow keys, Home and End go from one to the next. */
function roving(svg, marks) {
  if (!marks.length) return;
  marks[0].setAttribute("tabindex", 0);
  svg.addEventListener("keydown", (event) => {
    const place = marks.indexOf(document.activeElement);
    if (place < 0) return;
    const moves = { ArrowRight: place + 1, ArrowDown: place + 1, ArrowLeft: place - 1, ArrowUp: place - 1, Home: 0, End: marks.length - 1 };
    if (event.key in moves) {
      const next = marks[Math.min(marks.length - 1, Math.max(0, moves[event.key]))];
      marks[place].setAttribute("tabindex", -1);
      next.setAttribute("tabindex", 0);
      next.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      marks[place].dispatchEvent(new Event("click"));
    } else return;
    event.preventDefault();
  });
}

if (models && data().metrics.length && data().models.length > 1) {
  const fits = (axis) => data().models.filter((model) => axis.of(model)).length > 1;
  const usable = (axes) => Object.fromEntries(Object.entries(axes).filter(([, axis]) => fits(axis)));
  const speeds = Object.entries(data().workloads).map(([name, words]) => [`speed ${name}`, AXES.speed(name, words)]);
  const gains = usable({ ...Object.fromEntries(speeds), compression: AXES.compression() });
  const stored = usable(Object.fromEntries(data().axes.map((name) => [name, AXES[name]()])));
  if (Object.keys(gains).length) dropChart(byId("front"), gains);
  if (Object.keys(stored).length) dropChart(byId("curves"), stored);
}
