// The page: alerts as they come, and one entity at a time.

import { Refused, get, health, stream, useKey } from "/web/api.js";
import { clock, lines, node, number, scores, span, stack, windows } from "/web/draw.js";

const $ = (id) => document.getElementById(id);
const REFRESH = 2000, SHOWN = 100, POINTS = 900;
const state = { types: {}, open: null, lastAlert: "", listening: false };

// ------------------------------------------------------------------ alerts

function showAlert({ id, type, alert: data }, fresh) {
  state.lastAlert = id;
  const level = data.alert_level || "high";
  const item = node("li", { class: level, tabindex: 0, "data-entity": data.entity_id ?? "" });
  item.append(
    node("div", { class: "top" }, node("span", {}, String(data.entity_id ?? "?")), node("span", { class: "score" }, number(data.risk_score))),
    node("div", { class: "under" }, node("span", {}, `${level} · ${String(data.event_type ?? "").replaceAll("_", " ")}`), node("span", {}, data.timestamp ? clock(data.timestamp) : "")),
  );
  if (fresh) item.classList.add("fresh");
  const go = () => open(type ?? Object.keys(state.types)[0], String(data.entity_id));
  item.addEventListener("click", go);
  item.addEventListener("keydown", (event) => event.key === "Enter" && go());
  $("alerts").prepend(item);
  while ($("alerts").children.length > SHOWN) $("alerts").lastChild.remove();
  $("quiet").hidden = true;
  mark();
}

function mark() {
  for (const item of $("alerts").children) item.classList.toggle("open", state.open !== null && item.dataset.entity === state.open.id);
}

async function listen() {
  if (state.listening) return;
  state.listening = true;
  for (let wait = 1000; ; wait = Math.min(wait * 2, 15000)) {
    try {
      if (!state.lastAlert) for (const one of (await get("/v1/alerts?limit=50")).reverse()) showAlert(one, false);
      for await (const event of stream("/v1/alerts/stream", state.lastAlert)) {
        pulse("ok", "connected");
        wait = 500;
        if (event) showAlert(event.data, true);
      }
    } catch (error) {
      if (refused(error)) break;
    }
    pulse("away", "not connected");
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
  state.listening = false;
}

function pulse(kind, title) {
  $("pulse").className = `dot ${kind}`;
  $("pulse").title = title;
}

// ------------------------------------------------------------------ one entity

// Features that differ in their window alone, by the name they share.
function families(type) {
  const found = {};
  for (const [view, features] of Object.entries(state.types[type].views)) {
    for (const [name, about] of Object.entries(features)) {
      const key = `${view}/${about.function}/${about.column}`;
      (found[key] ??= []).push({ name, full: `${view}__${name}`, view, ...about });
    }
  }
  return Object.values(found).map((group) => {
    group.sort((a, b) => a.window - b.window);
    let shared = group[0].name;
    for (const { name } of group) while (!name.startsWith(shared)) shared = shared.slice(0, -1);
    return { label: group.length > 1 ? shared.replace(/_+$/, "") : group[0].name, features: group };
  });
}

async function open(type, id) {
  const kind = state.types[type];
  if (!kind || !id) return;
  $("type").value = type;
  $("id").value = id;
  const kept = state.open && state.open.type === type ? state.open.family : null;
  const groups = families(type);
  groups.sort((a, b) => a.label.localeCompare(b.label));
  state.open = { type, id, groups, family: kept, points: {}, chosen: null };
  $("family").replaceChildren(...groups.map(({ label }) => new Option(label.replaceAll("_", " "), label)));
  history.replaceState(null, "", `#${type}/${encodeURIComponent(id)}`);
  mark();
  try {
    const past = await get(`${path()}/series`);
    for (const [view, held] of Object.entries(past)) {
      for (const [name, values] of Object.entries(held.features)) {
        state.open.points[`${view}__${name}`] = values.map((value, i) => [Date.parse(held.time[i]), value]);
      }
    }
    await refresh();
  } catch (error) {
    refused(error);
  }
}

const path = () => `/v1/entities/${encodeURIComponent(state.open.type)}/${encodeURIComponent(state.open.id)}`;

async function refresh() {
  const asked = state.open;
  if (!asked || document.hidden) return;
  try {
    const found = await get(path());
    if (asked !== state.open) return;
    say("");
    const now = Date.parse(found.as_of);
    for (const [name, value] of Object.entries(found.features)) {
      const points = (asked.points[name] ??= []);
      if (typeof value === "number" || value === null) points.push([now, value]);
      if (points.length > POINTS) points.splice(0, points.length - POINTS);
    }
    asked.found = found;
    asked.now = now;
    show();
  } catch (error) {
    refused(error);
  }
}

function show() {
  const { found, type, id, now } = state.open;
  $("welcome").hidden = true;
  $("entity").hidden = false;
  $("name").textContent = `${type} ${id}`;
  const stamps = Object.values(found.newest_event).filter(Boolean).sort();
  $("newest").textContent = stamps.length ? `newest event ${span(Math.max(0, (now - Date.parse(stamps.at(-1))) / 1000))} ago` : "never seen";
  showFamily();
  showScores(found.scores.map(readScore).filter(Boolean));
  showEvents(found.events);
}

// The feature with the most windows that hold something; a count before others.
function fullest({ groups, found }) {
  const filled = ({ features }) => features.filter(({ full }) => found.features[full]).length + (features[0].function === "count" ? 0.5 : 0);
  return groups.reduce((best, group) => (filled(group) > filled(best) ? group : best)).label;
}

function showFamily() {
  state.open.family ??= fullest(state.open);
  const { groups, family, points, found, now } = state.open;
  $("family").value = family;
  const { features } = groups.find(({ label }) => label === family);
  const series = features.map((one) => ({ ...one, points: points[one.full] ?? [], value: found.features[one.full] }));
  $("lines").replaceChildren(lines(series, now));
  $("windows").replaceChildren(windows(series));
}

// A message of risk-scores: the composite, its components and what was decided.
function readScore({ score }) {
  const held = score.scores ?? {};
  const shares = Object.keys(held).filter((name) => name.endsWith("_share"));
  if (typeof score.score !== "number") return null;
  const parts = shares.map((name) => ({ name: name.slice(0, -6), share: held[name] ?? 0, value: held[name.slice(0, -6)] }));
  const said = Object.entries(held).filter(([name, value]) => !shares.includes(name) && (typeof value === "string" || value === true));
  return { name: score.score_name, score: score.score, time: Date.parse(score.timestamp), parts, said, model: score.model, inexact: score.inexact === true };
}

function showScores(found) {
  $("unscored").hidden = found.length > 0;
  if (!found.length) {
    $("score").replaceChildren();
    $("history").replaceChildren();
    $("when").textContent = "";
    return;
  }
  const held = found.findIndex((one) => one.time === state.open.chosen);
  const chosen = held < 0 ? 0 : held;
  const one = found[chosen];
  const level = one.score > 0.8 ? "high" : one.score > 0.6 ? "mid" : "";
  const head = node("div", { class: "whole" }, node("span", { class: "number" }, number(one.score)), node("span", {}, one.name.replaceAll("_", " ")));
  for (const [name, value] of one.said) head.append(node("span", { class: `tag ${level}` }, value === true ? name.replaceAll("_", " ") : `${value}`));
  if (one.model && typeof one.model.probability === "number") head.append(node("span", { class: "tag" }, `model ${number(one.model.probability)}`));
  if (one.inexact) head.append(node("span", { class: "tag mid" }, "inexact"));
  const table = node("table", { class: "parts" });
  one.parts.forEach((part, i) => {
    const row = node("tr", { class: part.share > 0 ? "" : "none" });
    row.append(
      node("td", {}, node("span", { class: `swatch c${i % 7}` }), part.name.replaceAll("_", " ")),
      node("td", {}, number(part.value)),
      node("td", {}, part.share > 0 ? `${Math.round(part.share * 100)} %` : "–"),
    );
    table.append(row);
  });
  $("score").replaceChildren(head, stack(one.parts, one.score), table);
  $("when").textContent = `event of ${clock(one.time)}`;
  $("history").replaceChildren(scores(found, chosen, (i) => { state.open.chosen = found[i].time; show(); }));
}

const FIRST = ["amount", "claim_amount", "category", "claim_type", "merchant_name", "merchant_id", "location", "device_type", "risk_score"];

function showEvents(events) {
  $("eventless").hidden = events.length > 0;
  const rows = events.map(({ event, topic, received }) => ({ topic, received, event }));
  const names = [...new Set(rows.flatMap(({ event }) => Object.keys(event).filter((name) => typeof event[name] !== "object")))];
  const wanted = [...FIRST.filter((name) => names.includes(name)), ...names.filter((name) => !FIRST.includes(name) && !/(_id|timestamp|event_type)$/.test(name))].slice(0, 9);
  $("events").querySelector("thead").replaceChildren(node("tr", {}, ...(rows.length ? ["received", "topic", ...wanted] : []).map((name) => node("th", {}, name.replaceAll("_", " ")))));
  $("events").querySelector("tbody").replaceChildren(...rows.map(({ topic, received, event }) => node("tr", {}, node("td", { class: "number" }, clock(received)), node("td", {}, topic), ...wanted.map((name) => node("td", { class: typeof event[name] === "number" ? "number" : "" }, number(event[name]))))));
}

// ------------------------------------------------------------------ the rest

function say(text) {
  $("message").textContent = text;
  $("message").hidden = !text;
}

// Shows what went wrong; whether the caller has to name themselves before it makes sense to go on.
function refused(error) {
  const unknown = error instanceof Refused && (error.status === 401 || error.status === 403);
  if (unknown) $("login").hidden = false;
  say(error.message);
  return unknown;
}

async function watchHealth() {
  const shown = [];
  try {
    const { status, dependencies = {} } = await health();
    for (const [name, said] of Object.entries(dependencies)) {
      const dot = node("span", { class: `dot ${said === "ok" ? "ok" : said.startsWith("away") ? "away" : ""}` });
      shown.push(node("span", { title: said }, dot, name));
    }
    if (!shown.length) shown.push(node("span", {}, status));
  } catch {
    shown.push(node("span", {}, node("span", { class: "dot away" }), "server away"));
  }
  $("health").replaceChildren(...shown);
}

async function begin() {
  try {
    state.types = await get("/v1/entities");
  } catch (error) {
    refused(error);
    return;
  }
  $("login").hidden = true;
  say("");
  $("type").replaceChildren(...Object.keys(state.types).map((name) => new Option(name, name)));
  if ("user" in state.types) $("type").value = "user";
  listen();
  const [type, id] = location.hash.slice(1).split("/");
  if (id) open(type, decodeURIComponent(id));
}

$("open").addEventListener("submit", (event) => { event.preventDefault(); open($("type").value, $("id").value.trim()); });
$("login").addEventListener("submit", (event) => { event.preventDefault(); useKey($("key").value.trim()); $("key").value = ""; begin(); });
$("family").addEventListener("change", () => { state.open.family = $("family").value; show(); });
document.addEventListener("visibilitychange", refresh);
setInterval(refresh, REFRESH);
setInterval(watchHealth, 5000);
watchHealth();
begin();
