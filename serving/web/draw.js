// Pictures in SVG, and numbers as people read them.

const SVG = "http://www.w3.org/2000/svg";

export function node(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes = {}, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function sheet(width, height, label) {
  return shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
}

export function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return value.toLocaleString("en", { maximumSignificantDigits: Math.abs(value) >= 1000 ? 6 : 4 });
}

export function span(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const [size, name] = units.find(([size]) => seconds >= size) || units[3];
  return `${number(Math.round((seconds / size) * 10) / 10)} ${name}`;
}

export function clock(time) {
  return new Date(time).toLocaleTimeString("en-GB");
}

function ticks(low, high, count = 4) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) found.push(at);
  return found;
}

// Lines over time: series are {name, window, points: [[time, value or null], ...]}.
export function lines(series, now) {
  const [width, height, left, right, top, bottom] = [700, 250, 50, 62, 12, 26];
  const svg = sheet(width, height, "Values of the feature over time, a line for each window");
  const values = series.flatMap((one) => one.points.map(([, value]) => value)).filter((value) => value !== null);
  const times = series.flatMap((one) => one.points.map(([time]) => time));
  if (!values.length) {
    svg.append(shape("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "no values yet"));
    return svg;
  }
  const first = Math.min(...times, now - 60000);
  let [low, high] = [Math.min(0, ...values), Math.max(...values)];
  if (high === low) high = low + 1;
  const x = (time) => left + ((time - first) / (now - first)) * (width - left - right);
  const y = (value) => height - bottom - ((value - low) / (high - low)) * (height - top - bottom);
  for (const at of ticks(low, high)) {
    svg.append(shape("line", { class: "grid", x1: left, x2: width - right, y1: y(at), y2: y(at) }));
    svg.append(shape("text", { x: left - 7, y: y(at) + 4, "text-anchor": "end" }, number(at)));
  }
  for (let i = 0; i <= 4; i++) {
    const at = first + ((now - first) * i) / 4;
    const anchor = i === 0 ? "start" : i === 4 ? "end" : "middle";
    svg.append(shape("text", { x: x(at), y: height - 6, "text-anchor": anchor }, clock(at)));
  }
  const labels = [];
  series.forEach((one, i) => {
    let path = "", pen = false, last = null;
    for (const [time, value] of one.points) {
      if (value === null) pen = false;
      else {
        // A value holds until the next one is known: between them nobody looked.
        path += pen ? `H${x(time).toFixed(1)}V${y(value).toFixed(1)}` : `M${x(time).toFixed(1)},${y(value).toFixed(1)}`;
        pen = true;
        last = [x(time), y(value)];
      }
    }
    svg.append(shape("path", { class: `series w${i % 7}`, d: path }));
    if (last) {
      svg.append(shape("circle", { class: `fill w${i % 7}`, cx: last[0], cy: last[1], r: 3 }));
      labels.push({ y: last[1], i, text: span(one.window) });
    }
  });
  labels.sort((a, b) => a.y - b.y);
  labels.forEach((label, i) => (label.y = i ? Math.max(label.y, labels[i - 1].y + 13) : label.y));
  const over = Math.max(0, labels.length ? labels.at(-1).y - (height - bottom) : 0);
  for (const label of labels) {
    svg.append(shape("text", { class: `fill w${label.i % 7}`, x: width - right + 8, y: label.y - over + 4 }, label.text));
  }
  return svg;
}

// What each window covers: a bar back from now, on a scale of logarithms, with the value in it.
export function windows(series) {
  const [width, left, right, row] = [700, 50, 100, 24];
  const height = series.length * row + 28;
  const svg = sheet(width, height, "What each window covers now, and its value");
  const longest = Math.max(...series.map((one) => one.window), 60);
  const x = (age) => width - right - (Math.log1p(age) / Math.log1p(longest)) * (width - left - right);
  for (const [age, name] of [[0, "now"], [10, "10 s"], [60, "1 min"], [600, "10 min"], [3600, "1 h"], [86400, "1 d"], [604800, "7 d"]]) {
    if (age > longest) continue;
    svg.append(shape("line", { class: "grid", x1: x(age), x2: x(age), y1: 0, y2: height - 20 }));
    svg.append(shape("text", { x: x(age), y: height - 5, "text-anchor": "middle" }, name));
  }
  series.forEach((one, i) => {
    const y = i * row + 3;
    svg.append(shape("rect", { class: `fill w${i % 7}`, x: x(one.window), y, width: x(0) - x(one.window), height: row - 9, rx: 4, opacity: 0.85 }));
    svg.append(shape("text", { class: "strong", x: x(0) + 10, y: y + 12 }, number(one.value)));
  });
  return svg;
}

// A score as the sum of its parts: one bar from 0 to 1, a piece for each component that contributes.
export function stack(parts, total) {
  const [width, height] = [520, 46];
  const svg = sheet(width, height, `The score ${number(total)} as the sum of its components`);
  svg.append(shape("rect", { x: 0, y: 6, width, height: 20, rx: 5, fill: "var(--ground)" }));
  let at = 0;
  parts.forEach((part, i) => {
    const wide = part.share * total * width;
    if (wide > 0) {
      const piece = shape("rect", { class: `fill c${i % 7}`, x: at, y: 6, width: Math.max(wide - 1.5, 0.5), height: 20, rx: 3 });
      piece.append(shape("title", {}, `${part.name}: ${number(part.share * total)}`));
      svg.append(piece);
      at += wide;
    }
  });
  svg.append(shape("line", { class: "limit", x1: 0.8 * width, x2: 0.8 * width, y1: 0, y2: 32 }));
  for (const tick of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
    const anchor = tick === 0 ? "start" : tick === 1 ? "end" : "middle";
    svg.append(shape("text", { x: tick * width, y: 43, "text-anchor": anchor }, tick));
  }
  return svg;
}

// Scores over time as points; `pick(i)` is called when one is chosen.
export function scores(points, chosen, pick) {
  const [width, height, left, bottom] = [520, 96, 26, 18];
  const svg = sheet(width, height, "Scores of this entity over time");
  const times = points.map((point) => point.time);
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const x = (time) => left + 8 + (last > first ? (time - first) / (last - first) : 1) * (width - left - 16);
  const y = (score) => (height - bottom - 6) * (1 - Math.min(score, 1)) + 6;
  for (const at of [0, 0.5, 1]) {
    svg.append(shape("line", { class: "grid", x1: left, x2: width, y1: y(at), y2: y(at) }));
    svg.append(shape("text", { x: left - 6, y: y(at) + 4, "text-anchor": "end" }, at));
  }
  svg.append(shape("line", { class: "limit", x1: left, x2: width, y1: y(0.8), y2: y(0.8) }));
  points.forEach((point, i) => {
    const colour = point.score > 0.8 ? "var(--high)" : point.score > 0.6 ? "var(--mid)" : "var(--tide)";
    const dot = shape("circle", { class: i === chosen ? "pick chosen" : "pick", cx: x(point.time), cy: y(point.score), r: i === chosen ? 6 : 4, fill: colour, tabindex: 0 });
    dot.append(shape("title", {}, `${number(point.score)} at ${clock(point.time)}`));
    dot.addEventListener("click", () => pick(i));
    svg.append(dot);
  });
  svg.append(shape("text", { x: left, y: height - 3 }, clock(first)));
  svg.append(shape("text", { x: width, y: height - 3, "text-anchor": "end" }, clock(last)));
  return svg;
}
