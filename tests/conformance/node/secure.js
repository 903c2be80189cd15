// TLS, certificates, credentials and keys with nats.js, against servers with the configurations
// that secure.sh made.
//
// SECURE is the folder of secure.sh; NATS_PLAIN_URL and so on are the servers. The last line is "N
// passed, N failed".

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connect, credsAuthenticator, nkeyAuthenticator } from "@nats-io/transport-node";

const made = (name) => join(process.env.SECURE, name);
const trusts = { caFile: made("ca.pem") };
const shows = (name) => ({
  ...trusts,
  certFile: made(`${name}.pem`),
  keyFile: made(`${name}.key`),
});
const dial = (server, options) =>
  connect({ servers: process.env[server], reconnect: false, tls: trusts, ...options });

// Two clients talk to each other in messages of all sizes.
async function enters(server, options = {}) {
  const [asks, answers] = [await dial(server, options), await dial(server, options)];
  answers.subscribe("echo", { callback: (_, message) => message.respond(message.data) });
  await answers.flush();
  for (const size of [0, 1, 16 << 10, (16 << 10) + 1, 500_000]) {
    const sent = new Uint8Array(size).fill(120);
    const answer = await asks.request("echo", sent, { timeout: 5000 });
    assert.equal(Buffer.compare(answer.data, sent), 0, `${size} bytes`);
  }
  await asks.close();
  await answers.close();
}

// In TLS 1.3 a client hears only afterwards that its certificate was refused.
const refused = (server, options = {}) =>
  assert.rejects(dial(server, options).then(async (connection) => {
    const gone = connection.closed().then((error) => {
      throw error ?? new Error("closed");
    });
    await Promise.race([connection.flush(), gone]);
  }));

const tests = {
  tls: async () => {
    await enters("NATS_PLAIN_URL", { user: "ann", pass: "secret" });
    await refused("NATS_PLAIN_URL", { user: "ann", pass: "wrong" });
    await refused("NATS_PLAIN_URL", { user: "ann", pass: "secret", tls: {} });
  },
  key: () => {
    const seed = readFileSync(made("user.seed"), "utf8").trim();
    const authenticator = nkeyAuthenticator(new TextEncoder().encode(seed));
    return enters("NATS_PLAIN_URL", { authenticator });
  },
  "handshake first": () => enters("NATS_FIRST_URL", { tls: { ...trusts, handshakeFirst: true } }),
  certificate: async () => {
    await enters("NATS_MUTUAL_URL", { tls: shows("client") });
    await refused("NATS_MUTUAL_URL");
    await refused("NATS_MUTUAL_URL", { tls: shows("stranger") });
  },
  "user of a certificate": () => enters("NATS_MAPPED_URL", { tls: shows("client") }),
  credentials: async () => {
    const authenticator = credsAuthenticator(readFileSync(made("user.creds")));
    await enters("NATS_OPERATOR_URL", { authenticator });
    await refused("NATS_OPERATOR_URL");
  },
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
