// What applications do with nats.js, against the server named by the environment.
//
// NATS_URL is a server without credentials, NATS_AUTH_URL one that wants ann/secret, RESTART a
// shell command that restarts the first. The last line is "N passed, N failed".

import assert from "node:assert/strict";
import { exec } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { connect as dial, errors, headers as newHeaders } from "@nats-io/transport-node";

const patience = 5000;
const connect = (options = {}) => dial({ servers: process.env.NATS_URL, ...options });

// A subscription whose messages are collected.
function collect(connection, subject, options = {}) {
  const taken = [];
  const subscription = connection.subscribe(subject, {
    ...options,
    callback: (error, message) => taken.push(error ?? message),
  });
  return { taken, subscription, texts: () => taken.map((message) => message.string()) };
}

async function until(condition, what) {
  const end = Date.now() + patience;
  while (!condition()) {
    assert.ok(Date.now() < end, what);
    await sleep(5);
  }
}

const numbers = (count) => Array.from({ length: count }, (_, i) => String(i));

async function publishAndSubscribe() {
  const [publisher, listener] = [await connect(), await connect()];
  const exact = collect(listener, "news.sport");
  const pattern = collect(listener, "news.>");
  const other = collect(listener, "news.*.more");
  await listener.flush();
  for (const text of numbers(1000)) publisher.publish("news.sport", text);
  await until(() => exact.taken.length + pattern.taken.length >= 2000, "messages are missing");
  await sleep(100);
  assert.deepEqual(exact.texts(), numbers(1000));
  assert.deepEqual(pattern.texts(), numbers(1000));
  assert.deepEqual(other.taken, []);
  await publisher.close();
  await listener.close();
}

async function requestAndReply() {
  const [asker, answerer] = [await connect(), await connect()];
  answerer.subscribe("double", {
    callback: (_error, message) => message.respond(message.string().repeat(2)),
  });
  await answerer.flush();
  for (const text of numbers(200)) {
    const reply = await asker.request("double", text, { timeout: patience });
    assert.equal(reply.string(), text + text);
  }
  await asker.close();
  await answerer.close();
}

async function queueGroups() {
  const [memberCount, messages] = [6, 1200];
  const members = [];
  const connections = [];
  for (let i = 0; i < memberCount; i++) {
    const connection = await connect();
    connections.push(connection);
    members.push(collect(connection, "work", { queue: "workers" }));
    await connection.flush();
  }
  const publisher = await connect();
  for (const text of numbers(messages)) publisher.publish("work", text);
  await publisher.flush();
  const all = () => members.flatMap((member) => member.texts());
  await until(() => all().length >= messages, "messages are missing");
  await sleep(100);
  assert.deepEqual(all().sort(), numbers(messages).sort());
  for (const member of members) {
    assert.ok(member.taken.length > messages / memberCount / 2, `got ${member.taken.length}`);
  }
  for (const connection of [publisher, ...connections]) await connection.close();
}

async function headers() {
  const [publisher, listener] = [await connect(), await connect()];
  const got = collect(listener, "with.headers");
  await listener.flush();
  const sent = newHeaders();
  sent.set("Colour", "red");
  sent.append("Tag", "one");
  sent.append("Tag", "two words");
  publisher.publish("with.headers", "body", { headers: sent });
  await until(() => got.taken.length > 0, "no message");
  assert.equal(got.taken[0].string(), "body");
  assert.equal(got.taken[0].headers.get("Colour"), "red");
  assert.deepEqual(got.taken[0].headers.values("Tag"), ["one", "two words"]);
  await publisher.close();
  await listener.close();
}

async function noResponders() {
  const connection = await connect();
  await assert.rejects(
    connection.request("nobody.home", "hi", { timeout: patience }),
    (error) => error instanceof errors.RequestError && error.isNoResponders(),
  );
  await connection.close();
}

async function drain() {
  const [publisher, listener] = [await connect(), await connect()];
  const got = collect(listener, "drained");
  await listener.flush();
  for (let i = 0; i < 300; i++) publisher.publish("drained", "x");
  await publisher.drain();
  await sleep(50);
  await listener.drain();
  assert.equal(got.taken.length, 300);
  assert.ok(publisher.isClosed() && listener.isClosed());
}

async function unsubscribeAfter() {
  const [publisher, listener] = [await connect(), await connect()];
  const five = collect(listener, "count");
  const all = collect(listener, "count");
  five.subscription.unsubscribe(5);
  await listener.flush();
  for (const text of numbers(10)) publisher.publish("count", text);
  await until(() => all.taken.length >= 10, "messages are missing");
  await sleep(100);
  assert.deepEqual(all.texts(), numbers(10));
  assert.deepEqual(five.texts(), numbers(5));
  await publisher.close();
  await listener.close();
}

async function largestPayload() {
  const [publisher, listener] = [await connect(), await connect()];
  assert.equal(publisher.info.max_payload, 1 << 20);
  const got = collect(listener, "large");
  await listener.flush();
  const payload = "0123456789abcdef".repeat(1 << 16);
  publisher.publish("large", payload);
  await until(() => got.taken.length > 0, "no message");
  assert.ok(got.taken[0].string() === payload, "the payload was changed");
  // This client leaves it to the server to refuse what is too large, which ends the connection.
  const closed = publisher.closed();
  try {
    publisher.publish("large", payload + "x");
    const error = await Promise.race([closed, sleep(patience)]);
    assert.match(String(error), /max|payload/i);
  } catch (error) {
    assert.match(String(error), /max|payload/i);
  }
  await publisher.close();
  await listener.close();
}

async function flushOrder() {
  const publisher = await connect();
  for (let i = 0; i < 100; i++) {
    const listener = await connect();
    const got = collect(listener, `fresh.${i}`);
    await listener.flush();
    publisher.publish(`fresh.${i}`, "hi");
    await until(() => got.taken.length > 0, "no message");
    await listener.close();
  }
  await publisher.close();
}

async function restart() {
  const connection = await connect({
    reconnectTimeWait: 20,
    reconnectJitter: 0,
    maxReconnectAttempts: -1,
  });
  let reconnected = false;
  (async () => {
    for await (const status of connection.status()) {
      reconnected ||= status.type === "reconnect";
    }
  })();
  const got = collect(connection, "again");
  await connection.flush();
  await promisify(exec)(process.env.RESTART);
  await until(() => reconnected, "not connected again");
  await connection.flush();
  connection.publish("again", "hi");
  await until(() => got.taken.length > 0, "no message");
  await connection.close();
}

async function credentials() {
  const servers = process.env.NATS_AUTH_URL;
  const connection = await dial({ servers, user: "ann", pass: "secret" });
  await connection.flush();
  await connection.close();
  const refused = (error) => error instanceof errors.AuthorizationError;
  await assert.rejects(dial({ servers, user: "ann", pass: "wrong", reconnect: false }), refused);
  await assert.rejects(dial({ servers, reconnect: false }), refused);
}

const tests = {
  "publish and subscribe": publishAndSubscribe,
  "request and reply": requestAndReply,
  "queue groups": queueGroups,
  headers,
  "no responders": noResponders,
  drain,
  "unsubscribe after": unsubscribeAfter,
  "largest payload": largestPayload,
  "flush order": flushOrder,
  restart,
  credentials,
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}: ${error.stack}`);
  }
}
console.log(`${Object.keys(tests).length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
