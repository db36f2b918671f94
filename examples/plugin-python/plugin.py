"""A plugin in Python, on NATS: a word filter that changes, holds and refuses messages, and a bot that answers.

The filter is a hook: the service sends a request on `chat.hook.<plugin>` and waits for the verdict. All instances subscribe in
one queue group and share the requests. The bot reads the plugin's durable and answers with commands.

A hook must answer quickly and must not block the event loop: while one handler blocks, the instance answers no other request.
Pass slow work to a thread with `asyncio.to_thread`, as `decide` is here.
"""

import asyncio
import json
import os
import re
import signal
import sys

import nats
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4322")
PLUGIN = os.environ.get("PLUGIN_NAME", "words")
PREFIX = os.environ.get("NATS_SUBJECT_PREFIX", "chat")
PASSWORD = os.environ.get("PLUGIN_PASSWORD") or sys.exit("PLUGIN_PASSWORD is not set")
BOT = os.environ.get("BOT_USER", "words-bot")

MASKED = re.compile(r"\b(darn|heck)\b", re.IGNORECASE)
REFUSED = re.compile(r"\bfree money\b", re.IGNORECASE)
HELD = re.compile(r"https?://", re.IGNORECASE)

PASS = {"action": "pass"}


def decide(request):
    """Returns the verdict about one request. Only the text is read, so all other fields of a message keep their values."""
    content = request.get("data", {}).get("content", "")
    if REFUSED.search(content):
        return {"action": "refuse", "code": "BAD_WORD", "reason": "This looks like an advertisement."}
    if request["point"] == "message.before_send" and HELD.search(content):
        return {"action": "hold", "reason": "The message has a link."}
    masked = MASKED.sub(lambda word: "*" * len(word.group()), content)
    if masked != content:
        return {"action": "change", "data": {"content": masked}}
    return PASS


class Plugin:
    def __init__(self, connection):
        self.connection = connection

    async def answer(self, message):
        """Answers one request of the service. Without an answer, the declared policy applies after the time limit."""
        try:
            request = json.loads(message.data)
            verdict = PASS if request.get("probe") else await asyncio.to_thread(decide, request)
            await message.respond(json.dumps(verdict).encode())
        except Exception as error:  # A fault must end neither the subscription nor the process.
            print(f"hook: {error!r}", flush=True)

    async def command(self, name, payload, acting_user=None):
        """Sends a command until its outcome is known. Returns the status and the body that REST would return."""
        headers = {"X-Acting-User": acting_user} if acting_user else None
        while True:
            try:
                answer = await self.connection.request(
                    f"{PREFIX}.api.{PLUGIN}.{name}", json.dumps(payload).encode(), timeout=5, headers=headers
                )
            except NatsError as error:
                print(f"{name}: {error!r}; trying again", flush=True)
                await asyncio.sleep(1)
                continue
            status = int(answer.headers["Chat-Status"])
            if status in (429, 503):
                await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))
                continue
            return status, json.loads(answer.data) if answer.data else None

    async def handle(self, event):
        """Answers `!ping` with the bot. The bot is listed in the registration, so its messages do not trigger the hook."""
        data = event["data"]
        if event["type"] == "message.created" and data["content"] == "!ping" and data["senderId"] != BOT:
            answer = {
                "conversationId": event["conversationId"],
                "content": f"pong, {data['senderId']}",
                "clientMessageId": f"pong-{event['id']}",
            }
            status, _ = await self.command("messages.send", answer, acting_user=BOT)
            print("pong", event["id"], status, flush=True)

    async def follow(self, stop):
        while not stop.is_set():
            try:
                durable = await self.connection.jetstream(domain="chat", timeout=5).pull_subscribe_bind(
                    durable=PLUGIN, stream=f"{PREFIX.upper()}_EVENTS"
                )
                while not stop.is_set():
                    try:
                        messages = await durable.fetch(50, timeout=2)
                    except NatsTimeout:
                        continue
                    for message in messages:
                        await self.handle(json.loads(message.data))
                        await message.ack()
            except NatsError as error:
                # The broker is unavailable, or the durable is being recreated: try again.
                print(f"{error!r}; trying again", flush=True)
                await asyncio.sleep(1)


async def main():
    async def report(error):
        print(f"NATS: {error}", flush=True)

    connection = await nats.connect(
        URL, user=PLUGIN, password=PASSWORD, name="plugin-python", max_reconnect_attempts=-1, error_cb=report
    )
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    plugin = Plugin(connection)

    answers = set()

    async def take(message):
        # A task for each request: a slow one does not hold up the others. The set keeps the tasks alive.
        task = asyncio.create_task(plugin.answer(message))
        answers.add(task)
        task.add_done_callback(answers.discard)

    await connection.subscribe(f"{PREFIX}.hook.{PLUGIN}", queue="instances", cb=take)
    await connection.flush()
    await plugin.command("users.sync", {"externalUserId": BOT, "name": "Word filter"})
    print("ready", flush=True)
    await plugin.follow(stop)
    await connection.flush()
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
