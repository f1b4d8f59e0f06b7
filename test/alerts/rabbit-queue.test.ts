import { connect, type ChannelModel } from 'amqplib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { alertMigrations, openRabbitQueue, startRelay, type Queue, type QueueMessage, type RabbitQueueOptions } from '../../src/alerts/index.ts'
import { createLog, silentLog } from '../../src/base/index.ts'
import { migrate } from '../../src/storage/index.ts'
import { queueContract } from '../contracts/queue.contract.ts'
import { makeCertificates, noOpenssl } from '../helpers/certificates.ts'
import { testRecords } from '../helpers/postgres.ts'
import { noRabbit, startRabbit } from '../helpers/rabbitmq.ts'
import { freePort } from '../helpers/servers.ts'

const away = { kind: 'unavailable', code: 'alerts.rabbitmq_away', hint: expect.stringContaining('rabbitmq.url') }

describe.skipIf(noRabbit !== null)(`queues in RabbitMQ${noRabbit === null ? '' : ` (skipped: ${noRabbit})`}`, async () => {
  if (noRabbit !== null) return
  const tls = noOpenssl === null ? makeCertificates() : null
  const server = await startRabbit(tls === null ? {} : { tls })
  queueContract('rabbitmq', { open: () => openRabbitQueue({ url: server.url, settleMs: 0, log: silentLog }) })

  const opened: Queue[] = []
  async function open(options: Partial<RabbitQueueOptions> = {}): Promise<Queue> {
    const queue = await openRabbitQueue({ url: server.url, settleMs: 0, log: silentLog, ...options })
    opened.push(queue)
    return queue
  }
  afterAll(async () => {
    for (const queue of opened) await queue.close()
  })

  const outcome = (attempt: Promise<unknown>): Promise<string> =>
    attempt.then(
      () => 'done',
      () => 'failed',
    )
  const message = (n: number): QueueMessage => ({ id: `id-${n}`, body: `{"n":${n}}` })
  const messages = (count: number): QueueMessage[] => Array.from({ length: count }, (_, n) => message(n))

  describe('beside other programs', () => {
    let other: ChannelModel
    let queue: Queue
    let name = ''
    let made = 0
    beforeAll(async () => {
      other = await connect(server.url)
      queue = await open()
    })
    afterAll(() => other.close())
    beforeEach(() => {
      name = `shared_${++made}`
    })

    it('any consumer gets the JSON as it is, with its id, and finds it persistent', async () => {
      await queue.declare(name, { durable: true })
      await queue.publish(name, [{ id: 'a1', body: '{"sensor":"São José"}', headers: { severity: 'critical' } }])
      const channel = await other.createChannel()
      const got = await channel.get(name, { noAck: true })
      expect(got).not.toBe(false)
      if (got === false) return
      expect(got.content.toString()).toBe('{"sensor":"São José"}')
      expect(got.properties).toMatchObject({ messageId: 'a1', contentType: 'application/json', deliveryMode: 2, headers: { severity: 'critical' } })
      await channel.close()
    })

    it('what others publish has an id of its own, the same whenever it is looked at', async () => {
      const channel = await other.createChannel()
      await channel.assertQueue(name)
      channel.sendToQueue(name, Buffer.from('plain text'), { headers: { n: 1, deep: { a: [true] }, t: 'x' } })
      channel.sendToQueue(name, Buffer.from(''))
      await channel.close()
      await expect.poll(() => queue.count(name)).toBe(2)
      const [seen] = await queue.peek(name, 1)
      expect(seen).toEqual({ id: expect.stringMatching(/^[0-9a-f-]{36}$/), body: 'plain text', headers: { n: '1', deep: '{"a":[true]}', t: 'x' } })
      expect(await queue.take(name)).toEqual(seen)
      expect(await queue.take(name)).toMatchObject({ body: '' })
      expect(await queue.total(name)).toBe(0)
    })

    it('a queue that is there keeps its properties, and only another durability is a conflict', async () => {
      const channel = await other.createChannel()
      await channel.assertQueue(name, { durable: true, arguments: { 'x-max-length': 1_000, 'x-message-ttl': 3_600_000 } })
      await channel.assertQueue(`${name}_t`, { durable: false })
      await queue.declare(name, { durable: true })
      await queue.declare(`${name}_t`, { durable: false })
      const differs = { kind: 'conflict', code: 'alerts.queue_differs', hint: expect.stringContaining('durable') }
      await expect(queue.declare(name, { durable: false })).rejects.toMatchObject(differs)
      await expect(queue.declare(`${name}_t`, { durable: true })).rejects.toMatchObject(differs)
      await channel.assertQueue(name, { durable: true, arguments: { 'x-max-length': 1_000, 'x-message-ttl': 3_600_000 } })
      await channel.close()
    })

    it('a queue of one connection alone is told as such', async () => {
      const channel = await other.createChannel()
      await channel.assertQueue(name, { exclusive: true })
      await expect(queue.declare(name, { durable: true })).rejects.toMatchObject({ kind: 'conflict', code: 'alerts.queue_taken' })
      await channel.close()
    })

    it('a queue that is full refuses, and takes messages again when there is room', async () => {
      const channel = await other.createChannel()
      await channel.assertQueue(name, { arguments: { 'x-max-length': 2, 'x-overflow': 'reject-publish' } })
      await expect(queue.publish(name, messages(5))).rejects.toMatchObject({ kind: 'unavailable', code: 'alerts.queue_full' })
      await channel.purgeQueue(name)
      await channel.close()
      await queue.publish(name, messages(2))
      expect(await queue.count(name)).toBe(2)
    })

    it('looking puts the messages back in their order', async () => {
      await queue.declare(name, { durable: true })
      await queue.publish(name, messages(20))
      expect(await queue.peek(name, 5)).toEqual(messages(5))
      expect(await queue.peek(name, 100)).toEqual(messages(20))
      expect(await queue.take(name)).toEqual(message(0))
    })

    it('batches of any size are published in order, by several callers at once', async () => {
      await queue.declare(name, { durable: false })
      const large = 'x'.repeat(300_000)
      await Promise.all([
        queue.publish(name, messages(5_000)),
        queue.publish(name, [{ id: 'large', body: large }]),
        queue.publish(`${name}_none`, []),
        queue.ping(),
      ])
      expect([await queue.count(name), await queue.total(name)]).toEqual([5_001, 5_001])
      expect(await queue.peek(name, 3_000)).toEqual(messages(3_000))
    })

    it('what does not fit into AMQP is refused as invalid, and the next call works', async () => {
      await queue.declare(name, { durable: true })
      const long = 'x'.repeat(256)
      const wrong: (() => Promise<unknown>)[] = [
        () => queue.publish(name, [{ id: long, body: '' }]),
        () => queue.publish(long, [message(1)]),
        () => queue.declare(long, { durable: true }),
        () => queue.publish(name, [{ id: 'h', body: '', headers: { huge: 'x'.repeat(70_000) } }]),
      ]
      for (const attempt of wrong) await expect(attempt()).rejects.toMatchObject({ kind: expect.stringMatching(/^(invalid|limit)$/) })
      await queue.publish(name, [message(1)])
      expect(await queue.take(name)).toEqual(message(1))
    })

    it('a user who may not make queues uses those that are there', async () => {
      await queue.declare(name, { durable: true })
      server.control('add_user', 'limited', 'pass')
      server.control('set_permissions', 'limited', '^$', '.*', '.*')
      const limited = await open({ url: `amqp://limited:pass@127.0.0.1:${server.port}` })
      await limited.declare(name, { durable: true })
      await limited.publish(name, [message(1)])
      expect(await limited.take(name)).toEqual(message(1))
      await expect(limited.declare(`${name}_new`, { durable: true })).rejects.toMatchObject({ kind: 'denied', code: 'alerts.rabbitmq_denied' })
    })

    it('a broker that is short of memory takes no messages until it has some', async () => {
      await queue.declare(name, { durable: true })
      server.control('set_vm_memory_high_watermark', 'absolute', '1')
      const short = await open()
      await expect(short.publish(name, [message(1)])).rejects.toMatchObject({ kind: 'unavailable', code: 'alerts.rabbitmq_blocked' })
      server.control('set_vm_memory_high_watermark', '0.6')
      await expect.poll(() => outcome(short.publish(name, [message(2)])), { timeout: 10_000 }).toBe('done')
    })
  })

  describe('connecting', () => {
    it('a wrong password and a wrong virtual host are told, without the password', async () => {
      const lines: string[] = []
      const log = createLog({ level: 'debug', write: (line) => lines.push(line) })
      const wrong = await open({ url: `amqp://${server.user}:my%2Fsecret@127.0.0.1:${server.port}`, log })
      const refused = await wrong.ping().catch((error: unknown) => error)
      expect(refused).toMatchObject({ kind: 'denied', code: 'alerts.rabbitmq_login', hint: expect.stringContaining('LAGOA_RABBITMQ__URL') })
      const nowhere = await open({ url: `${server.url}/no%2Fwhere`, log })
      await expect(nowhere.ping()).rejects.toMatchObject({ kind: 'denied', code: 'alerts.rabbitmq_vhost', message: expect.stringContaining('no/where') })
      expect(String(refused) + lines.join('\n')).not.toMatch(/my\/secret|my%2Fsecret/)
      expect(lines.join('\n')).not.toContain(server.password)
    })

    it('addresses that mean no broker are refused at once, without their password', async () => {
      for (const url of [
        'http://127.0.0.1',
        'amqp://',
        '127.0.0.1:5672',
        'amqp://u:hidden@h/a/b',
        'amqp://u:hidden@h?heartbeat=1',
        'amqp://u:hid den@h:port',
      ]) {
        const refused = await openRabbitQueue({ url, log: silentLog }).catch((error: unknown) => error)
        expect(refused).toMatchObject({ kind: 'invalid', code: 'alerts.rabbitmq_url', hint: expect.stringContaining('amqp://user:password@host:5672/vhost') })
        expect(String(refused)).not.toContain('hid')
      }
    })

    it.skipIf(tls === null)(`TLS needs the authority that signed the certificate${noOpenssl === null ? '' : ` (skipped: ${noOpenssl})`}`, async () => {
      if (tls === null) return
      const secure = await open({ url: server.tlsUrl, ca: tls.ca })
      await secure.declare('secure', { durable: true })
      await secure.publish('secure', [message(1)])
      expect(await secure.take('secure')).toEqual(message(1))
      const untrusted = { kind: 'denied', code: 'alerts.rabbitmq_tls', hint: expect.stringContaining('rabbitmq.ca') }
      await expect((await open({ url: server.tlsUrl })).ping()).rejects.toMatchObject(untrusted)
      await expect((await open({ url: server.tlsUrl, ca: makeCertificates().ca })).ping()).rejects.toMatchObject(untrusted)
      await expect((await open({ url: server.tlsUrl.replace('127.0.0.1', 'localhost'), ca: tls.ca })).ping()).rejects.toMatchObject(untrusted)
      const mistaken = expect.stringMatching(/amqps?:\/\//)
      await expect((await open({ url: server.url.replace('amqp:', 'amqps:') })).ping()).rejects.toMatchObject({ code: 'alerts.rabbitmq_tls', hint: mistaken })
      await expect((await open({ url: server.tlsUrl.replace('amqps:', 'amqp:') })).ping()).rejects.toMatchObject({ hint: mistaken })
      await expect(openRabbitQueue({ url: server.url, ca: tls.ca, log: silentLog })).rejects.toMatchObject({ code: 'alerts.rabbitmq_url' })
      await expect(openRabbitQueue({ url: server.tlsUrl, ca: '/none.pem', log: silentLog })).rejects.toMatchObject({ code: 'storage.ca_file' })
    })

    it('closing while the broker is away is quick', async () => {
      const queue = await openRabbitQueue({ url: `amqp://127.0.0.1:${await freePort()}`, log: silentLog })
      await expect(queue.ping()).rejects.toMatchObject(away)
      const began = Date.now()
      await queue.close()
      expect(Date.now() - began).toBeLessThan(3_000)
    })
  })

  describe('when the broker is killed', () => {
    it('in the middle of publishing, the relay says everything again, and nothing is lost', { timeout: 180_000 }, async () => {
      const { records } = await testRecords()
      await migrate(records, alertMigrations)
      const total = 20_000
      await records.query("insert into alert_rules (name, stream, signature) values ('r', 's', '')")
      await records.query(
        "insert into alert_outbox (alert, rule, queue, durable, body) select 'id-' || n, 'r', 'killed', true, '{\"n\":' || n || '}' from generate_series(0, $1::int - 1) n order by n",
        [total],
      )
      // The broker is killed right after it confirmed the first messages of a queue that it did not know before.
      const queue = await open({ settleMs: 3_000 })
      const relay = startRelay(records, queue, { log: silentLog })
      await expect.poll(() => queue.count('killed').catch(() => 0), { timeout: 10_000, interval: 2 }).toBeGreaterThan(1_000)
      await server.kill()
      await expect(queue.publish('killed', messages(1))).rejects.toMatchObject({ kind: 'unavailable' })
      // One that comes while the broker is away finds it later.
      const early = await open()
      await expect(early.ping()).rejects.toMatchObject(away)
      expect((await records.query('select 1 from alert_outbox')).length).toBeGreaterThan(0)
      await server.start()
      await expect.poll(async () => (await records.query('select 1 from alert_outbox limit 1')).length, { timeout: 60_000 }).toBe(0)
      await expect.poll(() => outcome(early.ping()), { timeout: 20_000 }).toBe('done')
      await relay.close()
      const consumer = await connect(server.url)
      const channel = await consumer.createChannel()
      const ids = new Set<string>()
      await channel.consume('killed', (got) => got && ids.add(String(got.properties.messageId)), { noAck: true })
      await expect.poll(() => ids.size, { timeout: 30_000 }).toBe(total)
      await consumer.close()
    })
  })
})
