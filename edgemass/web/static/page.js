"use strict";
// The device page: asks for /api/status and /api/events every two seconds while somebody looks. Texts that come from
// the device are only ever set as text.

const POLL_MS = 2000;
const MAX_LIVE = 4; // a browser opens six connections to a host; the page itself needs some
const STILL_MS = 4000; // views that are not live show a picture so often
const MAX_EVENTS = 100;
const FEW_EVENTS = 12;

const $ = (id) => document.getElementById(id);
const cards = new Map(); // camera -> what its card is made of
const rows = new Map(); // id of an event -> {revision, event, picture}
let run = "";
let revision = 0;
let before = new Map(); // camera -> {seq, at}: for frames a second where health does not tell them
let timer = 0;
let all = false; // events are shown, rather than the newest few

// Live views

const inSight = new Set();
const sight = new IntersectionObserver((changes) => {
  for (const change of changes) {
    const camera = change.target.dataset.camera;
    if (change.isIntersecting) inSight.add(camera); else inSight.delete(camera);
  }
  showViews();
}, { rootMargin: "80px" });

function showViews() {
  let live = 0;
  for (const [camera, card] of cards) {
    const seen = card.can && inSight.has(camera) && !document.hidden && card.state !== "disabled";
    card.want(!seen ? "none" : live < MAX_LIVE ? "live" : "still");
    if (seen) live += 1;
  }
}

function wanting(camera, card) {
  const path = `/camera/${encodeURIComponent(camera)}`;
  let now = "none";
  let again = 0;
  const load = () => { card.image.src = `${path}/${now === "live" ? "live.mjpeg" : "frame.jpg"}?${Date.now()}`; };
  card.image.onload = () => {
    const shape = card.image.naturalWidth / card.image.naturalHeight;
    if (shape) card.view.style.setProperty("--shape", String(Math.min(Math.max(shape, 4 / 3), 2.4)));
    card.image.hidden = false;
    clearTimeout(again);
    if (now === "still") again = setTimeout(load, STILL_MS);
  };
  card.image.onerror = () => {
    if (now === "none") return;
    card.image.hidden = true;
    clearTimeout(again);
    again = setTimeout(load, STILL_MS);
  };
  return (wanted) => {
    if (wanted === now) return;
    now = wanted;
    clearTimeout(again);
    if (now === "none") { card.image.src = ""; card.image.removeAttribute("src"); card.image.hidden = true; } else load();
  };
}

// Cameras

function makeCard(camera) {
  const card = {
    image: element("img", { alt: `Live view of ${camera}`, hidden: true }),
    note: element("p", { textContent: "Waiting for a picture" }),
    pill: element("span", { className: "pill" }),
    cause: element("summary", {}),
    evidence: element("p", { className: "quiet" }),
    numbers: element("dl", { className: "numbers" }),
    chips: element("ul", { className: "chips" }),
    buttons: element("div", { className: "row", hidden: true }),
    told: element("span", { className: "quiet", role: "status" }),
    can: false,
    state: "",
  };
  card.reason = element("details", { className: "reason", hidden: true }, card.cause, card.evidence);
  card.toggle = element("button", { type: "button", textContent: "Disable" });
  card.shoot = element("button", { type: "button", textContent: "Take snapshot" });
  card.toggle.onclick = () => command(card, { name: "enabled", camera, value: card.state === "disabled" ? "ON" : "OFF" });
  card.shoot.onclick = () => command(card, { name: "snapshot", camera, value: "" });
  card.open = element("a", { href: `/camera/${encodeURIComponent(camera)}/frame.jpg`, target: "_blank", textContent: "Picture", hidden: true });
  card.buttons.append(card.toggle, card.shoot, card.told);
  card.view = element("div", { className: "view", dataset: { camera } }, card.note, card.image);
  card.root = element("article", { className: "card", ariaLabel: `Camera ${camera}` },
    card.view,
    element("div", { className: "body" },
      element("div", { className: "row" }, element("h3", { className: "grow", textContent: camera }), card.open, card.pill),
      card.reason, card.numbers, card.chips, card.buttons));
  card.want = wanting(camera, card);
  sight.observe(card.view);
  return card;
}

function showCameras(status) {
  const health = status.health?.cameras ?? {};
  for (const [camera, card] of cards) {
    if (camera in status.cameras) continue;
    card.want("none");
    sight.unobserve(card.view);
    inSight.delete(camera);
    card.root.remove();
    cards.delete(camera);
  }
  for (const [camera, now] of Object.entries(status.cameras)) {
    if (!cards.has(camera)) {
      cards.set(camera, makeCard(camera));
      $("cameras").append(cards.get(camera).root);
    }
    showCamera(cards.get(camera), camera, now, health[camera], status.commands);
  }
  $("no-cameras").hidden = cards.size > 0;
  showViews();
}

function showCamera(card, camera, now, health, commands) {
  const state = now.state?.state ?? health?.state ?? "starting";
  card.state = state;
  card.can = now.view;
  card.view.classList.toggle("none", !now.view);
  setText(card.pill, state);
  card.pill.className = `pill ${{ online: "good", blind: "bad", offline: "bad", disabled: "warn" }[state] ?? ""}`;
  const reason = now.state?.reason || health?.reason || "";
  const [cause, ...evidence] = reason.split(": ");
  card.reason.hidden = !reason || state === "online";
  setText(card.cause, state === "blind" ? cause : reason);
  setText(card.evidence, state === "blind" ? evidence.join(": ") : "");
  setText(card.note, now.view ? (state === "online" ? "Waiting for a picture" : `No picture: ${state}`) : `No view: ${now.why || "the camera has not started"}`);
  card.buttons.hidden = !commands;
  card.shoot.hidden = card.open.hidden = !now.view;
  setText(card.toggle, state === "disabled" ? "Enable" : "Disable");
  showNumbers(card.numbers, camera, now, health);
  card.chips.replaceChildren(...chips(now.counts, now.latest?.labels));
}

function showNumbers(list, camera, now, health) {
  const facts = [
    ["Frames/s", number(health?.fps_processed ?? rate(camera, now.latest?.seq), 1)],
    ["Latency", health?.total_ms ? `${number(health.total_ms.p50)} ms` : now.latest ? `${number(now.latest.total_ms)} ms` : "–"],
  ];
  if (health?.total_ms) facts.push(["Latency p95", `${number(health.total_ms.p95)} ms`]);
  if (health?.lag_ms) facts.push(["Lag p95", `${number(health.lag_ms.p95)} ms`]);
  if (health?.reconnects) facts.push(["Reconnects", String(health.reconnects)]);
  if (health?.quality) facts.push(["Link", health.quality]);
  list.replaceChildren(...facts.map(([name, value]) =>
    element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value }))));
}

function rate(camera, seq) {
  if (seq === undefined) return null;
  const at = performance.now();
  const last = before.get(camera);
  if (!last || at - last.at > 4 * POLL_MS || seq < last.seq) { before.set(camera, { seq, at, fps: null }); return null; }
  const fps = at - last.at < POLL_MS / 2 ? last.fps : (seq - last.seq) * 1000 / (at - last.at);
  if (at - last.at >= POLL_MS / 2) before.set(camera, { seq, at, fps });
  return fps;
}

// seen: boxes of each label in the newest picture; who is counted beside them is lost or hidden for a moment.
function chips(counts, seen) {
  if (!counts) return [];
  const made = [];
  const chip = (before, value, after) =>
    made.push(element("li", {}, before, element("b", { textContent: value === null ? "?" : String(value) }), after));
  for (const [label, count] of Object.entries(counts.labels)) {
    const unseen = seen ? Math.max(0, count - (seen[label] ?? 0)) : 0;
    chip("", count, ` ${label}${unseen ? `, ${unseen} out of sight` : ""}`);
  }
  for (const [zone, labels] of Object.entries(counts.zones)) {
    const all = Object.values(labels);
    chip(`${zone}: `, all.includes(null) ? null : all.reduce((sum, count) => sum + count, 0), " inside");
  }
  for (const [line, ways] of Object.entries(counts.lines)) {
    const sum = (way) => Object.values(ways[way]).reduce((total, count) => total + count, 0);
    chip(`${line}: `, `${sum("in")} in, ${sum("out")} out`, "");
  }
  return made;
}

async function command(card, asked) {
  const buttons = card.buttons.querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  setText(card.told, "…");
  try {
    const answer = await fetch("/api/command", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked),
    });
    const json = answer.headers.get("content-type") === "application/json";
    const said = json ? await answer.json() : { ok: false, error: await answer.text() };
    setText(card.told, said.ok ? (asked.name === "snapshot" ? "Sent" : "Done") : `Not done: ${said.error}`);
  } catch {
    setText(card.told, "The device does not answer");
  }
  for (const button of buttons) button.disabled = false;
  look();
}

// Events

function title(event) {
  if (event.kind === "camera") return `Camera ${event.state || "trouble"}`;
  if (event.kind === "line") return `${event.label} crossed ${event.line} ${event.direction}`;
  if (event.kind === "zone") return `${event.label} in ${event.zone}`;
  return event.label;
}

function makeEvent(row) {
  const { event } = row;
  const shown = row.picture ? row : rows.get(event.object); // a visit or a crossing has the picture of its object
  let thumb = element("div", { className: "thumb" }, event.kind);
  if (shown?.picture) {
    const href = `/api/events/${encodeURIComponent(shown.event.id)}/picture.jpg?${shown.revision}`;
    const image = element("img", { src: href, alt: `Picture of ${title(event)}`, loading: "lazy" });
    thumb = element("a", { className: "thumb", href, target: "_blank" }, image);
  }
  const facts = [event.camera];
  if (event.top_score !== undefined) facts.push(`score ${event.top_score.toFixed(2)}`);
  if (event.kind === "object" && event.entered?.length) facts.push(`zones: ${event.entered.join(", ")}`);
  if (event.kind !== "line") facts.push(duration(event.duration_s));
  if (event.reason && event.kind === "camera") facts.push(event.reason);
  const when = element("span", { className: "quiet" }, clock(event.started));
  if (event.type !== "end") when.append(" · ", element("span", { className: "now", textContent: "going on" }));
  return element("li", { className: "card", dataset: { id: event.id, revision: row.revision } },
    thumb,
    element("div", { className: "text" }, element("strong", { textContent: title(event) }), element("span", { className: "quiet", textContent: facts.join(" · ") }), when));
}

function takeEvents(recent) {
  if (recent.run_id !== run) { run = recent.run_id; rows.clear(); }
  if (recent.revision !== revision || recent.events.length) {
    for (const row of recent.events) rows.set(row.event.id, row);
    showEvents();
  }
  revision = recent.revision;
}

function showEvents() {
  const newest = [...rows.values()].sort((a, b) => b.event.started.localeCompare(a.event.started) || b.revision - a.revision);
  for (const row of newest.splice(MAX_EVENTS)) rows.delete(row.event.id);
  const have = new Map([...$("events").children].map((item) => [item.dataset.id, item]));
  $("events").replaceChildren(...newest.slice(0, all ? MAX_EVENTS : FEW_EVENTS).map((row) => {
    const item = have.get(row.event.id);
    return item && item.dataset.revision === String(row.revision) ? item : makeEvent(row);
  }));
  $("more").hidden = all || newest.length <= FEW_EVENTS;
  setText($("more"), `Show all ${newest.length}`);
  $("no-events").hidden = newest.length > 0;
}

// Health

function fill(list, facts) {
  list.replaceChildren(...facts.flatMap(([name, value, bad]) => [
    element("dt", { textContent: name }),
    element("dd", { textContent: value, className: bad ? "trouble" : "" }),
  ]));
}

function healthFacts(health) {
  const { temperature, throttling, cpu, memory, disk, clock: time, power, failed } = health.system;
  const facts = [["Board", health.board.model || health.board.profile]];
  const add = (name, value, bad = false) => facts.push([name, value, bad]);
  if (temperature) add("Temperature", `${number(temperature.hottest_c, 1)} °C`, temperature.hottest_c >= (temperature.limit_c ?? 80));
  if (throttling) {
    const now = [throttling.throttled && "slowed down", throttling.undervoltage && "too little voltage"].filter(Boolean);
    const past = [throttling.throttled_before && "slowed down", throttling.undervoltage_before && "too little voltage"].filter(Boolean);
    add("Throttling", now.length ? now.join(", ") : past.length ? `none now; before: ${past.join(", ")}` : "none", now.length > 0);
  }
  if (cpu) add("CPU", `${percent(cpu.used_ratio)} of ${cpu.cores} cores, edgemass ${percent(cpu.process_ratio)}`);
  if (memory) add("Memory", `${bytes(memory.available_bytes)} of ${bytes(memory.total_bytes)} free, edgemass ${bytes(memory.rss_bytes)}`);
  if (disk) add("Disk", disk.read_only ? "read-only" : `${bytes(disk.free_bytes)} of ${bytes(disk.total_bytes)} free`, disk.read_only);
  if (time) add("Clock", time.synced ? "synchronised" : "not synchronised", !time.synced);
  if (power?.watts) add("Power", `${number(power.watts, 1)} W`);
  if (health.governor?.level) add("Held back", `${percent(health.governor.fps_ratio)} of the frames: ${health.governor.reason}`, true);
  for (const [name, error] of Object.entries(failed ?? {})) add(name, `cannot be read: ${error}`, true);
  add("Up", duration(health.uptime_s));
  return facts;
}

function outputFacts(health) {
  const facts = Object.entries(health.outputs).map(([name, output]) => {
    const state = output.connected === null ? "open" : output.connected ? "connected" : "not connected";
    return [name, output.trouble ? `${state}: ${output.trouble}` : state, output.connected === false || Boolean(output.trouble)];
  });
  for (const [name, queue] of Object.entries(health.queues ?? {})) {
    const age = queue.oldest_s ? `, oldest ${duration(queue.oldest_s)}` : "";
    facts.push([`Queue ${name}`, `${queue.messages} waiting, ${bytes(queue.size_bytes)} of ${bytes(queue.limit_bytes)}${age}`, queue.in_memory]);
  }
  return facts;
}

function modelCard(slot, model) {
  const facts = element("dl", { className: "facts card" });
  const digest = model.digest.replace(/^sha256:/, "").slice(0, 12);
  fill(facts, [
    ["Slot", slot], ["Model", `${model.name} ${model.version}`.trim()], ["Digest", digest || "–"], ["Variant", model.variant || "–"],
    ["Runs on", model.backend], ...(model.degraded ? [["Not as asked", model.degraded, true]] : []),
    ...(model.infer_ms ? [["Inference", `p50 ${number(model.infer_ms.p50, 1)} ms, p95 ${number(model.infer_ms.p95, 1)} ms`]] : []),
  ]);
  return facts;
}

function showHealth(health) {
  for (const id of ["models-section", "health-section", "outputs-section"]) $(id).hidden = !health;
  if (!health) return;
  fill($("health"), healthFacts(health));
  const outputs = outputFacts(health);
  fill($("outputs"), outputs);
  $("outputs-section").hidden = !outputs.length;
  $("models").replaceChildren(...Object.entries(health.models).map(([slot, model]) => modelCard(slot, model)));
}

function showTop(status) {
  const { health } = status;
  setText($("device"), status.device);
  document.title = `${status.device} · edgemass`;
  const problems = health?.problems ?? [];
  $("problems").hidden = !problems.length;
  const shown = [...$("problems").children].map((item) => item.textContent);
  if (shown.join("\n") !== problems.join("\n")) {
    $("problems").replaceChildren(...problems.map((textContent) => element("p", { className: "problem", textContent })));
  }
  const states = Object.values(status.cameras).map((camera) => camera.state?.state);
  const ready = health ? health.ready : states.length > 0 && states.every((state) => state === "online");
  const [text, kind] = problems.length ? [`${problems.length} problem${problems.length > 1 ? "s" : ""}`, "bad"]
    : ready ? ["all well", "good"] : ["not ready", "warn"];
  overall(text, kind);
  setText($("about"), `edgemass ${status.version}${health ? ` · up ${duration(health.uptime_s)}` : ""}`);
  $("logout").hidden = !status.token;
}

function overall(text, kind) {
  setText($("overall"), text);
  $("overall").className = `pill ${kind}`;
}

// Asking

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(10000) });
  if (answer.status === 401) { location.replace("/login"); throw new Error("the token is asked for"); }
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function look() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    const status = await ask("/api/status");
    if (run && status.run_id !== run) revision = 0;
    showTop(status);
    showCameras(status);
    showHealth(status.health);
    takeEvents(await ask(`/api/events?since=${revision}`));
  } catch (error) {
    overall("no answer from the device", "bad");
    console.info(String(error));
  }
  clearTimeout(timer);
  timer = setTimeout(look, POLL_MS);
}

$("more").onclick = () => { all = true; showEvents(); };
document.addEventListener("visibilitychange", () => { showViews(); look(); });
// Behind the page's load, since a live view never ends loading.
window.addEventListener("load", look);
