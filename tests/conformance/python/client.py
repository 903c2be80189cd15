"""What applications do with nats-py, against the server named by the environment.

NATS_URL is a server without credentials, NATS_AUTH_URL one that wants ann/secret, RESTART a shell
command that restarts the first. The last line is "N passed, N failed".
"""

import asyncio
import os
import sys
import traceback

import nats
from nats.errors import MaxPayloadError, NoRespondersError, TimeoutError

URL = os.environ["NATS_URL"]
PATIENCE = 5


async def connect(**options):
    return await nats.connect(URL, **options)


async def settle(connection):
    """Everything said until now has been done. The PING of flush() may overtake a SUB that still
    waits in this client's own buffer, so this makes a round trip with a request."""
    try:
        await connection.request("nobody.listens.here", b"", timeout=PATIENCE)
    except NoRespondersError:
        return
    raise AssertionError("somebody responded")


async def next_text(subscription):
    return (await subscription.next_msg(timeout=PATIENCE)).data.decode()


async def nothing_more(subscription):
    try:
        message = await subscription.next_msg(timeout=0.1)
    except TimeoutError:
        return
    raise AssertionError(f"unexpected {message}")


async def publish_and_subscribe():
    publisher, listener = await connect(), await connect()
    exact = await listener.subscribe("news.sport")
    pattern = await listener.subscribe("news.>")
    other = await listener.subscribe("news.*.more")
    await settle(listener)
    for i in range(1000):
        await publisher.publish("news.sport", str(i).encode())
    for i in range(1000):
        assert await next_text(exact) == str(i)
        assert await next_text(pattern) == str(i)
    await nothing_more(exact)
    await nothing_more(other)
    await publisher.close()
    await listener.close()


async def request_and_reply():
    asker, answerer = await connect(), await connect()

    async def double(message):
        await message.respond(message.data * 2)

    await answerer.subscribe("double", cb=double)
    await settle(answerer)
    for i in range(200):
        reply = await asker.request("double", str(i).encode(), timeout=PATIENCE)
        assert reply.data.decode() == str(i) * 2
    await asker.close()
    await answerer.close()


async def queue_groups():
    members, messages = 6, 1200
    seen = [[] for _ in range(members)]
    connections = []
    for i in range(members):
        connection = await connect()
        connections.append(connection)

        async def take(message, own=seen[i]):
            own.append(int(message.data))

        await connection.subscribe("work", queue="workers", cb=take)
        await settle(connection)
    publisher = await connect()
    for i in range(messages):
        await publisher.publish("work", str(i).encode())
    await settle(publisher)
    for _ in range(500):
        if sum(map(len, seen)) >= messages:
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert sorted(sum(seen, [])) == list(range(messages)), "lost or delivered twice"
    assert all(len(own) > messages / members / 2 for own in seen), [len(own) for own in seen]
    for connection in [publisher, *connections]:
        await connection.close()


async def headers():
    publisher, listener = await connect(), await connect()
    subscription = await listener.subscribe("with.headers")
    await settle(listener)
    sent = {"Colour": "red", "Tag": "two words"}
    await publisher.publish("with.headers", b"body", headers=sent)
    message = await subscription.next_msg(timeout=PATIENCE)
    assert message.data == b"body"
    assert message.headers == sent, message.headers
    await publisher.close()
    await listener.close()


async def no_responders():
    connection = await connect()
    inbox = await connection.subscribe("inbox")
    await connection.publish("nobody.home", b"hi", reply="inbox")
    message = await inbox.next_msg(timeout=PATIENCE)
    assert message.headers["Status"] == "503", message
    await settle(connection)
    await connection.close()


async def drain():
    publisher, listener = await connect(), await connect()
    taken = []

    async def take(message):
        await asyncio.sleep(0.001)
        taken.append(message)

    await listener.subscribe("drained", cb=take)
    await settle(listener)
    for _ in range(300):
        await publisher.publish("drained", b"x")
    await publisher.drain()
    await asyncio.sleep(0.05)
    await listener.drain()
    assert len(taken) == 300, len(taken)
    assert listener.is_closed and publisher.is_closed


async def unsubscribe_after():
    publisher, listener = await connect(), await connect()
    five, every = [], []

    async def take_five(message):
        five.append(message.data)

    async def take_every(message):
        every.append(message.data)

    limited = await listener.subscribe("count", cb=take_five)
    await listener.subscribe("count", cb=take_every)
    await limited.unsubscribe(limit=5)
    await settle(listener)
    sent = [str(i).encode() for i in range(10)]
    for payload in sent:
        await publisher.publish("count", payload)
    await settle(publisher)
    for _ in range(500):
        if len(every) >= 10:
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert every == sent and five == sent[:5], (every, five)
    await publisher.close()
    await listener.close()


async def largest_payload():
    publisher, listener = await connect(), await connect()
    assert publisher.max_payload == 1 << 20
    subscription = await listener.subscribe("large")
    await settle(listener)
    payload = b"0123456789abcdef" * (1 << 16)
    await publisher.publish("large", payload)
    assert (await subscription.next_msg(timeout=PATIENCE)).data == payload
    try:
        await publisher.publish("large", payload + b"x")
    except MaxPayloadError:
        await publisher.close()
        await listener.close()
        return
    raise AssertionError("too large and not refused")


async def flush_order():
    publisher = await connect()
    for i in range(100):
        listener = await connect()
        subscription = await listener.subscribe(f"fresh.{i}")
        await settle(listener)
        await publisher.publish(f"fresh.{i}", b"hi")
        assert await next_text(subscription) == "hi"
        await listener.close()
    await publisher.close()


async def restart():
    reconnected = asyncio.Event()

    async def on_reconnect():
        reconnected.set()

    async def on_error(_error):
        pass

    connection = await connect(
        reconnect_time_wait=0.02,
        max_reconnect_attempts=-1,
        reconnected_cb=on_reconnect,
        error_cb=on_error,
    )
    subscription = await connection.subscribe("again")
    await settle(connection)
    process = await asyncio.create_subprocess_shell(
        os.environ["RESTART"], stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0, "the server does not restart"
    await asyncio.wait_for(reconnected.wait(), PATIENCE)
    await settle(connection)
    await connection.publish("again", b"hi")
    assert await next_text(subscription) == "hi"
    await connection.close()


async def credentials():
    server = os.environ["NATS_AUTH_URL"]
    connection = await nats.connect(server, user="ann", password="secret")
    await settle(connection)
    await connection.close()

    async def on_error(_error):
        pass

    for options in ({"user": "ann", "password": "wrong"}, {}):
        try:
            await nats.connect(server, allow_reconnect=False, error_cb=on_error, **options)
        except nats.errors.Error as error:
            assert "authorization violation" in str(error).lower(), error
        else:
            raise AssertionError("wrong credentials were accepted")


async def main():
    tests = [
        publish_and_subscribe,
        request_and_reply,
        queue_groups,
        headers,
        no_responders,
        drain,
        unsubscribe_after,
        largest_payload,
        flush_order,
        restart,
        credentials,
    ]
    failed = 0
    for test in tests:
        name = test.__name__.replace("_", " ")
        try:
            await asyncio.wait_for(test(), 30)
            print(f"ok {name}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED {name}: {traceback.format_exc()}", flush=True)
    print(f"{len(tests) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


asyncio.run(main())
