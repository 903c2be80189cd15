"""TLS, certificates, credentials and keys with nats-py, against servers with the configurations that
secure.sh made.

SECURE is the folder of secure.sh; NATS_PLAIN_URL and so on are the servers. The last line is "N
passed, N failed".
"""

import asyncio
import os
import ssl
import sys
import traceback

import nats

SECURE = os.environ["SECURE"]
PATIENCE = 5


def made(name):
    return os.path.join(SECURE, name)


def trusting(own=None):
    context = ssl.create_default_context(cafile=made("ca.pem"))
    if own:
        context.load_cert_chain(made(f"{own}.pem"), made(f"{own}.key"))
    return context


async def dial(server, own=None, **options):
    async def on_error(_error):
        pass

    url = os.environ[server].replace("nats://", "tls://")
    return await nats.connect(
        url, tls=trusting(own), allow_reconnect=False, error_cb=on_error, **options
    )


async def enters(server, **options):
    """Two clients talk to each other in messages of all sizes."""
    asks, answers = await dial(server, **options), await dial(server, **options)

    async def echo(message):
        await message.respond(message.data)

    await answers.subscribe("echo", cb=echo)
    await answers.flush()
    for size in (0, 1, 16 << 10, (16 << 10) + 1, 500_000):
        sent = b"x" * size
        assert (await asks.request("echo", sent, timeout=PATIENCE)).data == sent, size
    await asks.close()
    await answers.close()


async def refused(server, **options):
    try:
        connection = await asyncio.wait_for(dial(server, **options), PATIENCE)
    except Exception:
        return
    # In TLS 1.3 a client hears only afterwards that its certificate was refused.
    try:
        await connection.flush(timeout=1)
    except Exception:
        return
    raise AssertionError(f"{server} lets in who may not")


async def tls():
    await enters("NATS_PLAIN_URL", user="ann", password="secret")
    await refused("NATS_PLAIN_URL", user="ann", password="wrong")


async def key():
    await enters("NATS_PLAIN_URL", nkeys_seed=made("user.seed"))


async def handshake_first():
    await enters("NATS_FIRST_URL", tls_handshake_first=True)


async def certificate():
    await enters("NATS_MUTUAL_URL", own="client")
    await refused("NATS_MUTUAL_URL")
    await refused("NATS_MUTUAL_URL", own="stranger")


async def user_of_a_certificate():
    await enters("NATS_MAPPED_URL", own="client")


async def credentials():
    await enters("NATS_OPERATOR_URL", user_credentials=made("user.creds"))
    await refused("NATS_OPERATOR_URL")


async def main():
    tests = [tls, key, handshake_first, certificate, user_of_a_certificate, credentials]
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
