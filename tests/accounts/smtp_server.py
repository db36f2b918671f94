"""SMTP server for the tests: prints "ready", then one line of JSON per e-mail. It accepts the login chat / secret only."""

import asyncio
import email
import email.policy
import json
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


class Printer:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        print(
            json.dumps({
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "subject": message["subject"],
                "text": message.get_content(),
            }),
            flush=True,
        )
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    is_right = isinstance(data, LoginPassword) and data.login == b"chat" and data.password == b"secret"
    return AuthResult(success=is_right)


async def main():
    loop = asyncio.get_running_loop()
    controller = Controller(
        Printer(),
        hostname="127.0.0.1",
        port=int(sys.argv[1]),
        authenticator=authenticate,
        auth_required=True,
        auth_require_tls=False,
    )
    controller.start()
    print("ready", flush=True)
    await loop.create_future()


asyncio.run(main())
