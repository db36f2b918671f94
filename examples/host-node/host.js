// A host on NATS: processes every event exactly once, also across its own crashes, and answers with commands.
//
// Each event is one line of a journal, which is on disk before the event is acknowledged. If the process dies in between, the event
// is redelivered, its id is found in the journal, and its effect is not repeated. The reply to an order has a key derived from the event's id, so it
// remains one message however often it is sent.

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, truncateSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { jetstream } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";

const url = process.env.NATS_URL ?? "nats://127.0.0.1:4322";
const host = process.env.HOST_NAME ?? "shop";
const prefix = process.env.NATS_SUBJECT_PREFIX ?? "chat";
const password = process.env.SHOP_PASSWORD;
const journalFile = process.env.JOURNAL ?? "host.journal";
if (!password) fail("SHOP_PASSWORD is not set");

function fail(why) {
  console.error(why);
  process.exit(1);
}

/** A command that was refused; repeating it would change nothing. */
class Refused extends Error {}

/** Journal of the processed events. */
class Journal {
  constructor(file) {
    const text = existsSync(file) ? readFileSync(file, "utf8") : "";
    // The process died while it wrote an incomplete last line.
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    if (whole.length < text.length) truncateSync(file, Buffer.byteLength(whole));
    this.ids = new Set(whole.split("\n").filter(Boolean).map((line) => JSON.parse(line).id));
    this.file = openSync(file, "a");
  }

  has(event) {
    return this.ids.has(event.id);
  }

  add(event) {
    writeSync(this.file, JSON.stringify({ id: event.id, type: event.type }) + "\n");
    fsyncSync(this.file);
    this.ids.add(event.id);
  }

  close() {
    closeSync(this.file);
  }
}

const connection = await connect({
  servers: url, user: host, pass: password, name: "host-node", maxReconnectAttempts: -1,
}).catch((error) => fail(`NATS: ${error.message}`));
const journal = new Journal(journalFile);
let isStopping = false;
for (const name of ["SIGINT", "SIGTERM"]) process.on(name, () => (isStopping = true));

/** Sends a command until its outcome is known. Returns the response that REST would return. */
async function command(name, payload, actingUser) {
  const head = headers();
  if (actingUser) head.set("X-Acting-User", actingUser);
  for (;;) {
    let answer;
    try {
      answer = await connection.request(`${prefix}.api.${host}.${name}`, JSON.stringify(payload), {
        timeout: 5000, headers: head,
      });
    } catch (error) {
      // No reply in time: the outcome is unknown. With a clientMessageId the command can be repeated safely.
      console.log(`${name}: ${error.message}; trying again`);
      await sleep(1000);
      continue;
    }
    const status = Number(answer.headers.get("Chat-Status"));
    if (status === 429 || status === 503) {
      await sleep(1000 * Number(answer.headers.get("Retry-After") || 1));
      continue;
    }
    const body = answer.data.length > 0 ? answer.json() : undefined;
    if (status >= 400) throw new Refused(`${body.code}: ${body.message}`);
    return body;
  }
}

/** Performs the effect of one event. It must be repeatable: the process may die before the event is recorded. */
async function handle(event) {
  if (event.type !== "message.created" || !event.data.content.startsWith("order ")) return;
  try {
    await command("messages.send", {
      conversationId: event.conversationId,
      content: `Thank you for your ${event.data.content}`,
      clientMessageId: `thanks-${event.id}`,
    });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    console.log(`no thanks for ${event.id}: ${error.message}`);
  }
}

await command("users.sync", { externalUserId: "alice", name: "Alice" });
console.log("ready");
while (!isStopping) {
  try {
    const durable = await jetstream(connection, { domain: "chat" }).consumers.get(`${prefix.toUpperCase()}_EVENTS`, host);
    while (!isStopping) {
      for await (const message of await durable.fetch({ max_messages: 50, expires: 2000 })) {
        const event = message.json();
        if (journal.has(event)) {
          // Already processed: the process died, or the broker lost the acknowledgement, afterwards.
          console.log(event.type, event.id, "again");
        } else {
          await handle(event);
          journal.add(event);
          console.log(event.type, event.id);
        }
        message.ack();
      }
    }
  } catch (error) {
    // The broker is unavailable, or the durable is being recreated: try again.
    console.log(`${error.message}; trying again`);
    await sleep(1000);
  }
}
await connection.drain();
journal.close();
