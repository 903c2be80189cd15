// The status page: asks for JSON once a second and shows what changed. Whatever comes from a client
// (names, subjects) is shown as text, never as markup.
"use strict";

const PERIOD = 1000;
const SAMPLES = 120;
const TOP = 10;
const LISTED = 200;

const base = document.body.dataset.base;
const byId = (id) => document.getElementById(id);
const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const shorts = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const history = { in: [], out: [] };
let last = null;
let slowSeen = null;
let paused = false;
let timer = 0;

const count = (value) => (value < 100000 ? numbers.format(value) : shorts.format(value));
const bytes = (value) => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${value.toFixed(unit && value < 100 ? 1 : 0)} ${units[unit]}`;
};
const millis = (nanos) => (nanos < 1e6 ? `${(nanos / 1e3).toFixed(0)} µs` : `${(nanos / 1e6).toFixed(1)} ms`);
const show = (id, text) => { const node = byId(id); if (node.textContent !== text) node.textContent = text; };

async function ask(path) {
  const response = await fetch(base + path, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${(await response.text()).slice(0, 200)}`);
  return response.json();
}

// Rows of cells; a cell is text, or an element.
function rows(id, table, texts = []) {
  const fill = (cells) => {
    const row = document.createElement("tr");
    cells.forEach((cell, index) => {
      const node = document.createElement(index ? "td" : "th");
      if (!index) node.scope = "row";
      if (texts.includes(index)) { node.className = "text"; node.title = String(cell); }
      node.append(cell);
      row.append(node);
    });
    return row;
  };
  byId(id).replaceChildren(...table.map(fill));
}

// Each answer was made at a moment of its own.
const between = (before, now) => (before ? (Date.parse(now.now) - Date.parse(before.now)) / 1000 : 0);

function rate(now, before, field, seconds) {
  return before && seconds > 0 ? Math.max(0, (now[field] - before[field]) / seconds) : 0;
}

function path(values, most) {
  const step = 600 / (SAMPLES - 1);
  const start = SAMPLES - values.length;
  return values.map((value, at) =>
    `${at ? "L" : "M"}${((start + at) * step).toFixed(1)} ${(116 - (112 * value) / most).toFixed(1)}`).join("");
}

function chart(input, output) {
  history.in.push(input);
  history.out.push(output);
  for (const values of [history.in, history.out]) if (values.length > SAMPLES) values.shift();
  const most = Math.max(1, ...history.in, ...history.out);
  byId("chart-in").setAttribute("d", path(history.in, most));
  byId("chart-out").setAttribute("d", path(history.out, most));
  show("chart-text", `messages per second, the last two minutes, at most ${count(most)}`);
}

function warnings(varz, shards, loads) {
  const found = [];
  const loopback = /^(127\.|::1$|localhost$)/;
  if (!varz.auth_required) found.push("No authentication: whoever reaches the client port may connect.");
  if (!loopback.test(varz.http_host)) found.push("Monitoring listens beyond this host and asks for no password.");
  if (varz.max_connections > 0 && varz.connections >= 0.8 * varz.max_connections) {
    found.push(`${numbers.format(varz.connections)} of ${numbers.format(varz.max_connections)} connections are in use.`);
  }
  loads.forEach((load, shard) => { if (load >= 0.9) found.push(`Shard ${shard} is busy ${Math.round(load * 100)} % of the time.`); });
  if (slowSeen !== null && varz.slow_consumers > slowSeen) {
    found.push(`${numbers.format(varz.slow_consumers - slowSeen)} slow consumers were disconnected while you watched.`);
  }
  const dropped = shards.reduce((sum, shard) => sum + shard.dropped_frames, 0);
  if (dropped > 0) found.push(`${numbers.format(dropped)} frames between shards were dropped.`);
  const items = found.map((text) => { const item = document.createElement("li"); item.textContent = text; return item; });
  // Unchanged warnings are not read out again.
  const list = byId("warnings");
  if ([...list.children].map((item) => item.textContent).join("\n") !== found.join("\n")) list.replaceChildren(...items);
  byId("warnings-section").hidden = found.length === 0;
}

function general(varz, before) {
  const seconds = between(before, varz);
  const input = rate(varz, before, "in_msgs", seconds);
  const output = rate(varz, before, "out_msgs", seconds);
  document.title = `${varz.server_name.slice(0, 20)} – ringbus`;
  show("name", varz.server_name);
  show("about", `nats-server ${varz.version} compatible, ${varz.host}:${varz.port}, up ${varz.uptime}`);
  show("in-msgs", `${count(input)}/s`);
  show("out-msgs", `${count(output)}/s`);
  show("in-bytes", `${bytes(rate(varz, before, "in_bytes", seconds))}/s`);
  show("out-bytes", `${bytes(rate(varz, before, "out_bytes", seconds))}/s`);
  show("connections", count(varz.connections));
  show("subscriptions", count(varz.subscriptions));
  show("slow", count(varz.slow_consumers));
  show("cpu", `${varz.cpu} %`);
  show("mem", bytes(varz.mem));
  if (before) chart(input, output);
}

function shardTable(shardz, before) {
  const { shards } = shardz;
  const seconds = between(before, shardz);
  const loads = [];
  rows("shards", shards.map((shard, index) => {
    const old = before && before.shards[index];
    const busy = old ? shard.busy_nanos - old.busy_nanos : 0;
    const idle = old ? shard.idle_nanos - old.idle_nanos : 1;
    const load = Math.min(1, Math.max(0, busy / Math.max(1, busy + idle)));
    loads.push(load);
    const meter = document.createElement("meter");
    Object.assign(meter, { min: 0, max: 1, high: 0.9, value: load });
    const text = `${Math.round(load * 100)} %`;
    meter.setAttribute("aria-label", `load of shard ${shard.shard}`);
    meter.textContent = text;
    const cell = document.createElement("span");
    cell.append(meter, ` ${text}`);
    return [String(shard.shard), cell, count(shard.connections), count(shard.subscriptions),
      count(rate(shard, old, "in_msgs", seconds)), count(rate(shard, old, "out_msgs", seconds)),
      bytes(shard.pending_bytes), count(shard.slow_consumers), millis(shard.longest_turn_nanos)];
  }));
  show("pending", bytes(shards.reduce((sum, shard) => sum + shard.pending_bytes, 0)));
  return loads;
}

function topTable(connz, before) {
  const seconds = between(before, connz);
  const old = new Map((before ? before.connections : []).map((conn) => [conn.cid, conn]));
  const busy = connz.connections.map((conn) => {
    const then = old.get(conn.cid);
    return { conn, input: rate(conn, then, "in_msgs", seconds), output: rate(conn, then, "out_msgs", seconds) };
  });
  busy.sort((a, b) => b.input + b.output - a.input - a.output || a.conn.cid - b.conn.cid);
  rows("top", busy.slice(0, TOP).map(({ conn, input, output }) => [
    String(conn.cid), conn.name || `${conn.lang || "–"} ${conn.version || ""}`, `${conn.ip}:${conn.port}`,
    count(input), count(output), bytes(conn.pending_bytes), count(conn.subscriptions), conn.rtt, conn.idle,
  ]), [1, 2]);
  const shown = Math.min(TOP, connz.connections.length);
  show("top-note", `${shown} of ${numbers.format(connz.total)}; rates of the ${LISTED} that were active last.`);
}

async function subscriptions(subject) {
  try {
    const found = await ask(`subsz?subs=1&limit=20${subject ? `&test=${encodeURIComponent(subject)}` : ""}`);
    const list = found.subscriptions_list || [];
    rows("subs", list.map((sub) => [sub.subject, sub.qgroup || "–", String(sub.cid), count(sub.msgs)]), [0, 1]);
    const of = subject ? `that match ${subject}` : "in all";
    show("subs-note", `${numbers.format(found.total)} subscriptions ${of}${found.total > list.length ? `, ${list.length} shown` : ""}.`);
  } catch (error) {
    rows("subs", []);
    show("subs-note", error.message);
  }
}

function health(good, text) {
  const badge = byId("health");
  badge.className = `badge ${good ? "good" : "bad"}`;
  show("health", text);
}

async function look() {
  try {
    const [varz, shardz, connz] = await Promise.all([
      ask("varz"), ask("shardz"), ask(`connz?sort=last&limit=${LISTED}`)]);
    const same = last && last.varz.server_id === varz.server_id;
    const before = same ? last : null;
    if (!same) slowSeen = varz.slow_consumers;
    general(varz, before && before.varz);
    const loads = shardTable(shardz, before && before.shardz);
    topTable(connz, before && before.connz);
    warnings(varz, shardz.shards, loads);
    health(true, "all shards answer");
    last = { varz, connz, shardz };
  } catch (error) {
    health(false, `no answer: ${error.message}`);
  }
}

async function run() {
  clearTimeout(timer);
  if (!paused && !document.hidden) await look();
  clearTimeout(timer);
  timer = setTimeout(run, PERIOD);
}

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
});
byId("test").addEventListener("submit", (event) => {
  event.preventDefault();
  subscriptions(byId("subject").value.trim());
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) run(); });
subscriptions("");
run();
