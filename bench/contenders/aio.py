"""Webhooks by hand in one event loop: aio-pika with aiohttp, the practical limit for Python.

    python aio.py AMQP_URL QUEUE URL

A message is acknowledged when its endpoint has taken it, and goes back to the queue otherwise.
"""

import asyncio
import sys

import aio_pika
import aiohttp

PREFETCH = 100
PAUSE_S = 1.0


async def main(amqp_url, queue_name, url):
    connection = await aio_pika.connect_robust(amqp_url)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=PREFETCH)
    exchange = await channel.declare_exchange("bench", aio_pika.ExchangeType.TOPIC, durable=True)
    queue = await channel.declare_queue(queue_name, durable=True)
    await queue.bind(exchange, "#")
    timeout = aiohttp.ClientTimeout(total=10)
    headers = {"Content-Type": "application/json"}

    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:

        async def on_message(message):
            try:
                async with session.post(url, data=message.body) as answer:
                    answer.raise_for_status()
                    await answer.read()
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(PAUSE_S)
                await message.nack(requeue=True)
            else:
                await message.ack()

        await queue.consume(on_message)
        await asyncio.Future()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
