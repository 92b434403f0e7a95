"""Sends one document as the service desk, and says what became of it.   python send.py TITLE FILE"""

import asyncio
import sys

from comms_local import Local, Refused

OUTCOME_WAIT_MS = 30_000


async def main(title, path):
    desk = await Local.connect("desk")
    try:
        file = desk.put(path, "documents.AddDocument")
        accepted = await desk.door(
            "command.documents.AddDocument",
            {
                "metadata": {"owner": "ada"},
                "content": {"command": "documents.AddDocument", "body": {"title": title, "file": file}},
            },
        )
        print(f"sent     {accepted['id']}  {path} is {file}")
        outcome = await desk.door(
            "outcome.documents.AddDocument",
            {"command": accepted["id"], "wait_ms": OUTCOME_WAIT_MS},
            wait_s=OUTCOME_WAIT_MS / 1000 + 5,
        )
        for event in outcome["events"]:
            print(f"caused   {event['id']}  {event['type']}  {event['entity']}  position {event['position']}")
        print(f"{outcome['state']:<8} {outcome.get('reason') or ''}".rstrip())
    except Refused as refused:
        raise SystemExit(f"error: {refused}") from None
    finally:
        await desk.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2]))
