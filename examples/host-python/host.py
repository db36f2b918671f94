"""A host on NATS: processes every event exactly once, also across its own crashes, and answers with commands.

Each event's effect and its id are written in one transaction, then the event is acknowledged. If the process dies in between,
the event is redelivered, its id is found, and its effect is not repeated. The reply to an order has a key derived from the
event's id, so it remains one message however often it is sent.
"""

import asyncio
import json
import os
import signal
import sqlite3
import sys

import nats
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4322")
HOST = os.environ.get("HOST_NAME", "shop")
PREFIX = os.environ.get("NATS_SUBJECT_PREFIX", "chat")
PASSWORD = os.environ.get("SHOP_PASSWORD") or sys.exit("SHOP_PASSWORD is not set")
DATABASE = os.environ.get("DATABASE", "host.db")


class Refused(Exception):
    """A command that was refused; repeating it would change nothing."""


class Host:
    def __init__(self, connection, database):
        self.connection = connection
        self.database = database

    async def command(self, name, payload, acting_user=None):
        """Sends a command until its outcome is known. Returns the response that REST would return."""
        headers = {"X-Acting-User": acting_user} if acting_user else None
        subject = f"{PREFIX}.api.{HOST}.{name}"
        while True:
            try:
                answer = await self.connection.request(subject, json.dumps(payload).encode(), timeout=5, headers=headers)
            except NatsError as error:
                # No reply in time: the outcome is unknown. With a clientMessageId the command can be repeated safely.
                print(f"{name}: {error!r}; trying again", flush=True)
                await asyncio.sleep(1)
                continue
            status = int(answer.headers["Chat-Status"])
            if status in (429, 503):
                await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))
                continue
            body = json.loads(answer.data) if answer.data else None
            if status >= 400:
                raise Refused(body["code"], body["message"])
            return body

    async def handle(self, event):
        """Performs the effect of one event. Effects on other systems must be repeatable; effects on this database are one transaction."""
        data = event["data"]
        if event["type"] == "message.created" and data["content"].startswith("order "):
            try:
                await self.command(
                    "messages.send",
                    {
                        "conversationId": event["conversationId"],
                        "content": f"Thank you for your {data['content']}",
                        "clientMessageId": f"thanks-{event['id']}",
                    },
                )
            except Refused as refusal:
                print(f"no thanks for {event['id']}: {refusal}", flush=True)
        with self.database:
            self.database.execute("INSERT OR IGNORE INTO events VALUES (?, ?)", (event["id"], event["type"]))

    def is_known(self, event):
        found = self.database.execute("SELECT 1 FROM events WHERE id = ?", (event["id"],))
        return found.fetchone() is not None

    async def run(self, stop):
        while not stop.is_set():
            try:
                durable = await self.connection.jetstream(domain="chat", timeout=5).pull_subscribe_bind(
                    durable=HOST, stream=f"{PREFIX.upper()}_EVENTS"
                )
                while not stop.is_set():
                    try:
                        messages = await durable.fetch(50, timeout=2)
                    except NatsTimeout:
                        continue
                    for message in messages:
                        event = json.loads(message.data)
                        if self.is_known(event):
                            # Already processed: the process died, or the broker lost the acknowledgement, afterwards.
                            print(event["type"], event["id"], "again", flush=True)
                        else:
                            await self.handle(event)
                            print(event["type"], event["id"], flush=True)
                        await message.ack()
            except NatsError as error:
                # The broker is unavailable, or the durable is being recreated: try again.
                print(f"{error!r}; trying again", flush=True)
                await asyncio.sleep(1)


async def main():
    database = sqlite3.connect(DATABASE)
    database.execute("CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, type TEXT)")

    async def report(error):
        print(f"NATS: {error}", flush=True)

    connection = await nats.connect(
        URL, user=HOST, password=PASSWORD, name="host-python", max_reconnect_attempts=-1, error_cb=report
    )
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    host = Host(connection, database)
    await host.command("users.sync", {"externalUserId": "alice", "name": "Alice"})
    print("ready", flush=True)
    await host.run(stop)
    await connection.flush()
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
