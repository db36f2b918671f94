"""Makes a mongod on loopback a replica set of one: replica_set.py PORT

Exits with 0 if it is the primary, with 1 if it is not yet: call it again until it is. Few machines have MongoDB's shell,
and four commands need no driver, so this implements just enough of OP_MSG. Errors of mongod are in mongod's log.
"""

import socket
import struct
import sys
import time


def bson(document):
    body = b""
    for key, value in document.items():
        name = key.encode() + b"\0"
        if isinstance(value, bool):
            body += b"\x08" + name + bytes([value])
        elif isinstance(value, int):
            body += b"\x10" + name + struct.pack("<i", value)
        elif isinstance(value, str):
            text = value.encode() + b"\0"
            body += b"\x02" + name + struct.pack("<i", len(text)) + text
        elif isinstance(value, list):
            body += b"\x04" + name + bson({str(i): item for i, item in enumerate(value)})
        else:
            body += b"\x03" + name + bson(value)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def receive(connection, size):
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise OSError("mongod closed the connection")
        data += chunk
    return data


def run(connection, command):
    """Sends a command to the admin database. Returns the reply as bytes, which callers search for a few words."""
    message = struct.pack("<iiii", 0, 1, 0, 2013)[4:] + b"\0\0\0\0" + b"\0" + bson({**command, "$db": "admin"})
    connection.sendall(struct.pack("<i", len(message) + 4) + message)
    (size,) = struct.unpack("<i", receive(connection, 4))
    return receive(connection, size - 4)


def main():
    port = int(sys.argv[1])
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=5)
        if b"\x08isWritablePrimary\0\x01" in run(connection, {"hello": 1}):
            return 0
        status = run(connection, {"replSetGetStatus": 1})
        config = {
            "_id": "rs0",
            "version": 1,
            "members": [{"_id": 0, "host": f"127.0.0.1:{port}"}],
            "settings": {"electionTimeoutMillis": 1000},
        }
        if b"NotYetInitialized" in status:
            run(connection, {"replSetInitiate": config})
        elif b"InvalidReplicaSetConfig" in status:
            # The data was created on another port. A forced reconfiguration needs a higher version than the last one.
            run(connection, {"replSetReconfig": {**config, "version": int(time.time())}, "force": True})
        return 1
    except OSError:
        return 1


sys.exit(main())
