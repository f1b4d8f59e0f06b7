/** What every adapter of the Queue port must do. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Queue, QueueMessage } from '../../src/alerts/index.ts'

export interface QueueContractOptions {
  /** A new connection to the engine. */
  readonly open: () => Promise<Queue>
  /** Names that no other run uses start with this. */
  readonly prefix?: string
}

export function queueContract(adapter: string, options: QueueContractOptions): void {
  describe(`the queue port on ${adapter}`, () => {
    let queue: Queue
    let name = ''
    let made = 0

    beforeAll(async () => {
      queue = await options.open()
    })
    afterAll(() => queue.close())
    beforeEach(async () => {
      name = `${options.prefix ?? 'contract'}_${++made}`
      await queue.declare(name, { durable: true })
    })

    const message = (n: number): QueueMessage => ({ id: `id-${n}`, body: `body ${n}` })
    const messages = (from: number, to: number): QueueMessage[] => Array.from({ length: to - from }, (_, i) => message(from + i))
    const bodies = (found: readonly QueueMessage[]): string[] => found.map(({ body }) => body)
    async function takeAll(from: Queue): Promise<QueueMessage[]> {
      const taken: QueueMessage[] = []
      for (let next = await from.take(name); next !== null; next = await from.take(name)) taken.push(next)
      return taken
    }

    it('answers messages in the order of one publisher, over several calls', async () => {
      await queue.publish(name, messages(0, 50))
      await queue.publish(name, messages(50, 60))
      expect(bodies(await takeAll(queue))).toEqual(bodies(messages(0, 60)))
    })

    it('keeps id, body and headers as they were given', async () => {
      const given: QueueMessage = { id: 'a/b "c"', body: '{"text":"é😀 \\u0000 \\"q\\" \\\\"}\n', headers: { severity: 'critical', 'x-ü': '1' } }
      await queue.publish(name, [given])
      expect(await queue.take(name)).toEqual(given)
    })

    it('removes what is taken, and answers null when there is nothing', async () => {
      expect(await queue.take(name)).toBeNull()
      await queue.publish(name, [message(1)])
      expect(await queue.take(name)).toEqual(message(1))
      expect(await queue.take(name)).toBeNull()
    })

    it('shows the oldest messages without taking them', async () => {
      await queue.publish(name, messages(0, 5))
      expect(bodies(await queue.peek(name, 3))).toEqual(bodies(messages(0, 3)))
      expect(await queue.count(name)).toBe(5)
      expect(bodies(await takeAll(queue)).sort()).toEqual(bodies(messages(0, 5)))
    })

    it('counts what waits now, and what ever came', async () => {
      await queue.publish(name, messages(0, 3))
      await queue.take(name)
      expect(await queue.count(name)).toBe(2)
      expect(await queue.total(name)).toBe(3)
    })

    it('gives no message to two takers', async () => {
      const other = await options.open()
      try {
        await queue.publish(name, messages(0, 100))
        const taken = (await Promise.all([takeAll(queue), takeAll(other), takeAll(queue)])).flat()
        expect(bodies(taken).sort()).toEqual(bodies(messages(0, 100)).sort())
      } finally {
        await other.close()
      }
    })

    it('shows messages to every connection', async () => {
      const other = await options.open()
      await other.publish(name, [message(1)])
      await other.close()
      expect(await queue.take(name)).toEqual(message(1))
    })

    it('does nothing for a queue that is declared again', async () => {
      await queue.publish(name, [message(1)])
      await queue.declare(name, { durable: true })
      expect(await queue.count(name)).toBe(1)
    })

    it('changes durability or refuses to, as it says', async () => {
      const attempt = queue.declare(name, { durable: false })
      await (queue.capabilities.changesDurability ? expect(attempt).resolves.toBeUndefined() : expect(attempt).rejects.toMatchObject({ kind: 'conflict' }))
    })

    it('refuses to publish to a queue that is not there, and finds nothing in it', async () => {
      const nowhere = `${name}_nowhere`
      await expect(queue.publish(nowhere, [message(1)])).rejects.toMatchObject({ code: 'alerts.queue_missing', kind: 'missing' })
      expect([await queue.take(nowhere), await queue.peek(nowhere, 5), await queue.count(nowhere), await queue.total(nowhere)]).toEqual([null, [], 0, 0])
    })

    it('publishes nothing without trouble', async () => {
      await queue.publish(name, [])
      expect(await queue.count(name)).toBe(0)
    })

    it('keeps repetitions of an id out, where it remembers ids', async (context) => {
      if (queue.capabilities.remembersIds === 0) context.skip(`${queue.capabilities.name} does not remember ids: consumers tell repetitions by the id`)
      await queue.publish(name, [message(1), message(2), message(1)])
      await queue.take(name)
      await queue.publish(name, messages(1, 4))
      expect(bodies(await takeAll(queue))).toEqual(['body 2', 'body 3'])
      expect(await queue.total(name)).toBe(3)
    })

    it('answers a ping', async () => {
      await expect(queue.ping()).resolves.toBeUndefined()
    })

    it('refuses every call after it was closed, twice if need be', async () => {
      const other = await options.open()
      await other.close()
      await other.close()
      const closed = { code: 'alerts.queue_closed' }
      await expect(other.take(name)).rejects.toMatchObject(closed)
      await expect(other.publish(name, [message(1)])).rejects.toMatchObject(closed)
      await expect(other.ping()).rejects.toMatchObject(closed)
    })
  })
}
