/** Kafka with TLS, credentials and permissions, as clusters that many share have it. */
import { readFileSync } from 'node:fs'
import { createServer as createPlainServer, type Server } from 'node:net'
import { createServer } from 'node:tls'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createLog, silentLog, type Log } from '../../src/base/index.ts'
import { encodeJson, openKafkaLog, type EventLog, type KafkaLogOptions } from '../../src/streams/index.ts'
import { makeCertificates, noOpenssl } from '../helpers/certificates.ts'
import { noKafka, startKafka } from '../helpers/kafka.ts'
import { KEEP, listen, readValues } from './kafka-reading.ts'

const missing = noKafka ?? noOpenssl
const USERS = ['granted', 'reader', 'producer', 'nobody']
// Each tool of Kafka is a Java process of its own.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 400_000 })

const server = missing === null ? await startKafka({ tls: true, sasl: true, acls: true, users: USERS }) : null

const logs: EventLog[] = []
const open = async (options: Partial<KafkaLogOptions> = {}): Promise<EventLog> => {
  const log = await openKafkaLog({ brokers: [server?.broker ?? ''], log: silentLog, tls: { ca: server?.ca }, ...options })
  logs.push(log)
  return log
}
type Mechanism = NonNullable<KafkaLogOptions['sasl']>['mechanism']
const as = (username: string, mechanism: Mechanism = 'scram-sha-512', password: string = server?.password ?? ''): Partial<KafkaLogOptions> => ({
  sasl: { mechanism, username, password },
})
const grant = async (user: string, ...args: readonly string[]): Promise<void> =>
  void (await server?.tool('org.apache.kafka.tools.AclCommand', [
    '--bootstrap-server',
    server.internal,
    '--add',
    '--allow-principal',
    `User:${user}`,
    ...args.flatMap((arg) => arg.split(' ')),
  ]))

afterAll(async () => {
  await Promise.all(logs.map((log) => log.close()))
})

describe.skipIf(!server)(`the event log on a kafka that many share${missing === null ? '' : ` (skipped: ${missing})`}`, () => {
  beforeAll(async () => {
    const operations = ['Read', 'Write', 'Describe', 'Create', 'Alter', 'DescribeConfigs', 'AlterConfigs'].flatMap((name) => ['--operation', name])
    await grant('granted', '--topic shared --resource-pattern-type prefixed', ...operations)
    await grant('granted', '--topic lagoa.producers', ...operations)
    await grant('granted', '--transactional-id lagoa. --resource-pattern-type prefixed --operation Write --operation Describe')
    await grant('granted', '--cluster --operation Describe')
    await grant('reader', '--topic shared.1 --operation Read --operation Describe')
    await grant('producer', '--topic shared.1 --operation Write --operation Read --operation Describe')
    const log = await open(as('granted'))
    await log.ensureTopic('shared.1', KEEP)
    await log.append('shared.1', 0, encodeJson(null, ['0']))
  })

  it.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)('is open to who gives the password by %s', async (mechanism) => {
    const log = await open(as('granted', mechanism))
    expect(await readValues(log, 'shared.1')).toEqual(['0'])
  })

  it.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)(
    'is closed to a wrong password by %s, at once, and tells nobody what it was',
    async (mechanism) => {
      const lines: string[] = []
      const spoken: Log = createLog({ level: 'debug', write: (line) => lines.push(line) })
      const secret = 'not-this-one-4711'
      for (const user of ['granted', 'stranger']) {
        const log = await open({ ...as(user, mechanism, secret), log: spoken })
        const began = Date.now()
        const refused = { kind: 'denied', code: 'streams.kafka_credentials', hint: expect.stringContaining('kafka.password') as string }
        const errors: unknown[] = []
        for (const call of [
          () => log.ends('shared.1'),
          () => log.append('shared.1', 0, encodeJson(null, ['1'])),
          () => log.append('shared.1', 0, encodeJson(null, ['1']), { producer: { id: 'p', sequence: 1 } }),
          () => log.ensureTopic('shared.1', KEEP),
        ]) {
          const error: unknown = await call().then(
            () => null,
            (failure: unknown) => failure,
          )
          expect(error).toMatchObject(refused)
          errors.push(error)
        }
        expect(Date.now() - began).toBeLessThan(5000)
        const told = [...lines, ...errors.map((error) => inspect(error, { depth: 20, showHidden: true }))].join('\n')
        expect(told).not.toContain(secret)
        expect(told).not.toContain(Buffer.from(secret).toString('base64'))
      }
      expect(lines.length).toBeGreaterThan(0)
    },
  )

  it('refuses authorities, names and times of certificates that are not right', async () => {
    const refused = { kind: 'denied', code: 'streams.kafka_tls', hint: expect.stringContaining('LAGOA_KAFKA__CA_FILE') as string }
    const stranger = readFileSync(makeCertificates().ca, 'utf8')
    await expect((await open({ ...as('granted'), tls: { ca: stranger } })).ends('shared.1')).rejects.toMatchObject(refused)
    await expect((await open({ ...as('granted'), tls: {} })).ends('shared.1')).rejects.toMatchObject(refused)

    const wrong = {
      'another address': makeCertificates('IP:127.0.0.2'),
      'another name': makeCertificates('DNS:kafka.example'),
      expired: makeCertificates('IP:127.0.0.1', -1),
    }
    for (const { ca, cert, key } of Object.values(wrong)) {
      const broker = createServer({ cert: readFileSync(cert), key: readFileSync(key) })
      const port = await listen(broker)
      const log = await open({ brokers: [`127.0.0.1:${port}`], tls: { ca: readFileSync(ca, 'utf8') } })
      await expect(log.ends('shared.1')).rejects.toMatchObject(refused)
      broker.close()
    }
  })

  it('says what may be wrong when the broker hangs up on who has no credentials, or knows no encryption', async () => {
    const away = { kind: 'unavailable', code: 'streams.kafka_away', hint: expect.stringContaining('kafka.tls and kafka.username') as string }
    await expect((await open()).ends('shared.1')).rejects.toMatchObject(away)
    for (const options of [as('granted'), {}])
      await expect((await open({ ...options, tls: undefined })).ends('shared.1')).rejects.toMatchObject({
        hint: expect.stringContaining('kafka.tls') as string,
      })
    await expect((await open({ ...as('granted'), brokers: [server?.internal ?? ''] })).ends('shared.1')).rejects.toMatchObject(away)
  })

  it('takes a broker that hangs up in the middle of a handshake for one that is away', async () => {
    const { ca, cert, key } = makeCertificates()
    const away = { kind: 'unavailable', code: 'streams.kafka_away' }
    const brokers: Server[] = [createPlainServer((socket) => socket.once('data', () => socket.resetAndDestroy()))]
    brokers.push(createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (socket) => socket.once('data', () => socket.destroy())))
    for (const broker of brokers) {
      const port = await listen(broker)
      const log = await open({ ...as('granted'), brokers: [`127.0.0.1:${port}`], tls: { ca: readFileSync(ca, 'utf8') } })
      await expect(log.ends('shared.1')).rejects.toMatchObject(away)
      broker.close()
    }
  })

  it('works with exactly the permissions that its documentation names', async () => {
    const log = await open(as('granted'))
    await log.ensureTopic('shared.2', { ...KEEP, partitions: 2 })
    await log.ensureTopic('shared.2', { partitions: 3, retainMs: 1_000_000, retainBytes: 1e8 })
    await log.append('shared.2', 2, encodeJson(null, ['0', '1']))
    expect(await log.append('shared.2', 2, encodeJson(null, ['2']), { producer: { id: 'p', sequence: 5 } })).toMatchObject({ duplicate: false })
    expect(await log.append('shared.2', 2, encodeJson(null, ['2']), { producer: { id: 'p', sequence: 5 } })).toMatchObject({ duplicate: true })
    expect(await log.producerState('shared.2', 'p')).toEqual({ id: 'p', sequence: 5 })
    await log.wait('shared.2', 2, 2, { signal: AbortSignal.timeout(5000) })
    expect(await readValues(log, 'shared.2', 2)).toEqual(['0', '1', '2'])
    const [, , last] = await log.offsets('shared.2')
    expect(last).toMatchObject({ earliest: 0, next: 4 })
    expect(last?.bytes).toBeGreaterThan(0)
    expect(await log.topics()).toEqual(['shared.1', 'shared.2'])
  })

  it('denies an append to who may not write there by naming the topic, and a topic to who may not make it', async () => {
    const log = await open(as('reader'))
    expect(await readValues(log, 'shared.1')).toEqual(['0'])
    expect(await log.offsets('shared.1')).toMatchObject([{ earliest: 0, next: 1, bytes: 0 }])
    const forbidden = (name: string) => ({ kind: 'denied', code: 'streams.kafka_forbidden', message: expect.stringContaining(name) as string })
    await expect(log.append('shared.1', 0, encodeJson(null, ['1']))).rejects.toMatchObject(forbidden('shared.1'))
    await expect(log.append('shared.1', 0, encodeJson(null, ['1']), { producer: { id: 'p', sequence: 1 } })).rejects.toMatchObject(forbidden('shared.1'))
    await expect(log.ensureTopic('shared.3', KEEP)).rejects.toMatchObject(forbidden('shared.3'))
    const nobody = await open(as('nobody'))
    await expect(nobody.read('shared.1', 0, 0)).rejects.toMatchObject(forbidden('shared.1'))
    await expect(nobody.ends('shared.1')).rejects.toMatchObject(forbidden('shared.1'))
    expect(await nobody.topics()).toEqual([])
    expect(await readValues(await open(as('granted')), 'shared.1')).toEqual(['0'])
  })

  it('serves who may only read and write a topic that is there, without its settings', async () => {
    const lines: string[] = []
    const log = await open({ ...as('producer'), log: createLog({ write: (line) => lines.push(line) }) })
    await log.ensureTopic('shared.1', { ...KEEP, retainMs: 5_000_000 })
    expect(lines.filter((line) => line.includes('kafka.retention_not_applied'))).toHaveLength(1)
    await log.append('shared.1', 0, encodeJson(null, [JSON.stringify('x'.repeat(3_000_000))]))
    expect(await log.ends('shared.1')).toEqual([2])
    expect(await readValues(log, 'shared.1')).toHaveLength(2)

    const tooLarge = encodeJson(null, ['1', '2', JSON.stringify('x'.repeat(20_000_000)), '3'])
    await expect(log.append('shared.1', 0, tooLarge)).rejects.toMatchObject({ kind: 'limit', code: 'streams.partly_stored' })
    expect(await log.ends('shared.1')).toEqual([4])
    await expect(log.append('shared.1', 0, encodeJson(null, [JSON.stringify('x'.repeat(20_000_000))]))).rejects.toMatchObject({
      code: 'streams.record_too_large',
    })
  })
})
