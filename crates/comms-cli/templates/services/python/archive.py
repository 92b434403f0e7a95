"""The archive, in Python: handles documents.AddDocument and answers with the event documents.DocumentAdded.

It is the same service as the one in ../rust. Run either, or both: they share the work.
"""

import asyncio
import hashlib
import signal

import comms_msg
from comms_local import Local, Refused

RETRY_AFTER_MS = 1000
UNKNOWN_AFTER_MS = 30_000
TRIES_MAX = 5


def add_document(add, command):
    """What the command causes. The entity follows from the command's id: a redelivery names the same document."""
    entity = "document-" + hashlib.sha256(command["id"].encode()).hexdigest()[:12]
    return [("documents.DocumentAdded", entity, {"title": add["title"], "file": add["file"]})]


def nothing(_body, _command):
    return []


HANDLERS = {"documents.AddDocument": add_document}


def read(message, domain):
    """The command in a delivered message, or None for whatever else reached the subject.

    The server lets anybody steer messages at a subject by way of a reply. What counts is that the stored message
    came under the subject of its own type and sender, and that it asks to be acknowledged.
    """
    if (message.headers or {}).get("Status") or not message.reply.startswith("$JS.ACK."):
        return None
    try:
        command = comms_msg.read(message.data)
    except ValueError:
        return None
    subject = f"{domain}.command.{command['content']['command']}.{command['metadata']['sender']}"
    return command if message.subject == subject else None


def failed(message, command, reason):
    """Says what went wrong here: the node says it too, and whoever looks for the cause looks at both."""
    type_name, tries = command["content"]["command"], message.metadata.num_delivered
    print(f"failed   {command['id']}  {type_name}  try {tries} of {TRIES_MAX}: {reason}", flush=True)


def again(message, reason):
    """Another try, or the dead letters when there were enough."""
    if message.metadata.num_delivered < TRIES_MAX:
        return {"retry": {"after_ms": RETRY_AFTER_MS, "reason": reason}}
    return {"dead": {"reason": reason}}


async def handle(local, message):
    command = read(message, local.domain)
    if command is None:
        return
    type_name, metadata = command["content"]["command"], command["metadata"]
    commit = {"command": command["id"], "delivery": message.reply, "completion": "done", "events": []}
    try:
        if type_name not in HANDLERS:  # newer than this program: another instance may know it
            reason = f"no handler for {type_name} here"
            failed(message, command, reason)
            commit["completion"] = {"retry": {"after_ms": UNKNOWN_AFTER_MS, "reason": reason}}
        for event, entity, body in HANDLERS.get(type_name, nothing)(command["content"]["body"], command):
            carried = {"owner": metadata["owner"], "correlation": metadata["correlation"], "causation": command["id"]}
            commit["events"].append(
                {"metadata": carried, "content": {"event": event, "entity": entity, "body": body}}
            )
    except Exception as problem:  # whatever the handler did not foresee is tried again, a few times
        failed(message, command, repr(problem))
        commit |= {"completion": again(message, repr(problem)), "events": []}
    try:
        done = await local.door(f"commit.{type_name}", commit)
    except Refused as refused:
        print(f"refused  {command['id']}  {type_name}  {refused}", flush=True)
        return
    for event in done["events"]:
        print(f"emitted  {event['id']}  {event['type']}  {event['entity']}  position {event['position']}", flush=True)


async def main():
    local = await Local.connect("archive")
    commands = (await local.door("listen", {}))["commands"]

    async def on_message(message):
        await handle(local, message)

    await local.nats.subscribe(commands["subject"], queue=commands["queue"], cb=on_message)
    await local.nats.flush()
    print(f"listening as archive in {local.domain}. Ctrl-C stops it.", flush=True)

    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await stop.wait()
    await local.close()


if __name__ == "__main__":
    asyncio.run(main())
