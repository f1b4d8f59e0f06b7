import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { alertMigrations, openPostgresQueue, type Queue } from '../../src/alerts/index.ts'
import { createLog, silentLog } from '../../src/base/index.ts'
import { keysMigrations, migrate, openPostgresKeys, openRecords, type Records } from '../../src/storage/index.ts'
import { eventLogMigrations, openPostgresLog } from '../../src/streams/index.ts'
import { eventLogContract } from '../contracts/event-log.contract.ts'
import { keysContract } from '../contracts/keys.contract.ts'
import { queueContract } from '../contracts/queue.contract.ts'
import { recordsContract } from '../contracts/records.contract.ts'
import { makeCertificates, noOpenssl } from '../helpers/certificates.ts'
import { noPostgresServer, startPostgresServer } from '../helpers/postgres-server.ts'

const away = { kind: 'unavailable', code: 'storage.database_away' }

describe.skipIf(noPostgresServer !== null)(`a PostgreSQL server${noPostgresServer === null ? '' : ` (skipped: ${noPostgresServer})`}`, async () => {
  if (noPostgresServer !== null) return
  const server = await startPostgresServer()
  const open = async (connection: string, max: number = 8): Promise<Records> => {
    const records = await openRecords({ connection, max, log: silentLog })
    opened.push(records)
    return records
  }
  const opened: Records[] = []
  afterAll(async () => {
    for (const records of opened) await records.close()
  })

  const empty = await server.database()
  recordsContract('a server', () => openRecords({ connection: empty, max: 8, log: silentLog }))

  const elsewhere = fileURLToPath(new URL('../streams/append-elsewhere.ts', import.meta.url))
  const usedUrl = await server.database()
  const used = await open(usedUrl, 20)
  await migrate(used, [...eventLogMigrations, ...keysMigrations, ...alertMigrations])
  eventLogContract('postgres, a server', {
    open: () => openPostgresLog(used),
    async appendElsewhere(topic, values) {
      await promisify(execFile)(process.execPath, [elsewhere, JSON.stringify(usedUrl), topic, JSON.stringify(values)])
    },
  })
  keysContract('postgres, a server', async () => openPostgresKeys(used))
  queueContract('postgres, a server', { open: async () => openPostgresQueue(used) })

  describe('when it stops at once and starts again', () => {
    let records: Records
    beforeAll(async () => {
      records = await open(await server.database())
      await records.script('create table item (id int primary key)')
    })

    test('calls reject as unavailable, work again, and nothing acknowledged is lost', async () => {
      const acknowledged: number[] = []
      const failures: unknown[] = []
      let next = 0
      let going = true
      const writer = async (): Promise<void> => {
        while (going) {
          const id = next++
          await records.query('insert into item values ($1)', [id], { name: 'restart_insert' }).then(
            () => acknowledged.push(id),
            async (error: unknown) => {
              failures.push(error)
              await sleep(10)
            },
          )
        }
      }
      const writers = [writer(), writer(), writer(), writer()]
      for (let round = 0; round < 3; round++) {
        await sleep(100)
        const before = acknowledged.length
        await server.restart()
        await expect.poll(() => acknowledged.length, { timeout: 10_000 }).toBeGreaterThan(before + 10)
      }
      going = false
      await Promise.all(writers)
      expect(failures.length).toBeGreaterThan(0)
      for (const failure of failures) expect(failure).toMatchObject({ kind: 'unavailable' })
      const found = new Set((await records.query<{ id: number }>('select id from item')).map(({ id }) => id))
      expect(acknowledged.filter((id) => !found.has(id))).toEqual([])
    })

    test('a transaction that was under way is undone, and sessions tell that they are lost', async () => {
      const session = await records.session()
      let lost = 0
      session.onLost(() => lost++)
      const transaction = records.transaction(async (tx) => {
        await tx.query('insert into item values (-1)')
        await server.restart()
        await tx.query('insert into item values (-2)')
      })
      await expect(transaction).rejects.toMatchObject(away)
      await expect.poll(() => lost).toBe(1)
      await session.close()
      expect(await records.query('select id from item where id < 0')).toEqual([])
    })

    test('who listens hears again, and is called once for what may have been missed', async () => {
      const heard: string[] = []
      const stop = await records.listen('news', (payload) => heard.push(payload))
      await records.query("select pg_notify('news', 'before')")
      await expect.poll(() => heard).toEqual(['before'])
      await server.restart()
      await expect.poll(() => heard, { timeout: 10_000 }).toEqual(['before', ''])
      await records.query("select pg_notify('news', 'after')")
      await expect.poll(() => heard).toEqual(['before', '', 'after'])
      await stop()
    })

    test('an event log, keys and queues of before go on', async () => {
      const log = await openPostgresLog(used)
      const keys = openPostgresKeys(used)
      const queue: Queue = openPostgresQueue(used)
      await queue.declare('goes-on', { durable: true })
      await server.kill()
      await expect(keys.put([{ key: 'k', fields: { v: '1' } }])).rejects.toMatchObject(away)
      await expect(queue.publish('goes-on', [{ id: '1', body: '' }])).rejects.toMatchObject(away)
      await server.start()
      await keys.put([{ key: 'k', fields: { v: '2' } }])
      await queue.publish('goes-on', [{ id: '1', body: '' }])
      expect([(await keys.get('k'))?.fields, await queue.count('goes-on')]).toEqual([{ v: '2' }, 1])
      await log.close()
    })
  })

  describe('connecting', () => {
    const tryOpen = async (connection: string): Promise<unknown> =>
      openRecords({ connection, max: 1, log: silentLog }).then(
        (records) => records.close(),
        (error: unknown) => error,
      )

    test('a wrong password, none, a user and a database that are not there are told, without the password', async () => {
      const right = encodeURIComponent(server.password)
      const wrong = await tryOpen(server.url().replace(right, 'sec%2Fret'))
      expect(wrong).toMatchObject({ kind: 'denied', code: 'storage.login_refused', hint: expect.stringContaining('LAGOA_DATABASE__URL') })
      expect(String(wrong)).not.toContain('sec')
      expect(await tryOpen(server.url().replace(`:${right}@`, '@'))).toMatchObject({ kind: 'denied', code: 'storage.login_refused' })
      expect(await tryOpen(server.url().replace('owner:', 'nobody:'))).toMatchObject({ kind: 'denied', code: 'storage.login_refused' })
      expect(await tryOpen(server.url('nowhere'))).toMatchObject({ kind: 'missing', code: 'storage.no_database' })
    })

    test('an address that cannot be read is invalid, and not repeated', async () => {
      for (const address of ['postgresql://u:hidden@h:port/db', 'postgresql://u:hidden@127.0.0.1/db?sslmode=sometimes']) {
        const refused = await tryOpen(address)
        expect(refused).toMatchObject({ kind: 'invalid', code: 'storage.database_url', hint: expect.any(String) })
        expect(String(refused)).not.toContain('hid')
      }
    })

    test('settings of the address hold beside our own', async () => {
      const records = await open(`${server.url()}?application_name=other&options=-c%20statement_timeout%3D77s%20-c%20timezone%3DAsia%2FTokyo`)
      expect(
        await records.query(
          "select current_setting('statement_timeout') as timeout, current_setting('timezone') as zone, current_setting('application_name') as name",
        ),
      ).toEqual([{ timeout: '77s', zone: 'UTC', name: 'lagoa' }])
    })

    test('a server that is too old is refused with its version', async () => {
      const url = await server.database()
      const admin = await open(url)
      // A stand-in for an old server: this database says of itself that it is one.
      await admin.script(`
        create schema old;
        create function old.current_setting(name text) returns text language sql as $$ select case when name = 'server_version_num' then '140011' else pg_catalog.current_setting(name) end $$;
        alter database ${new URL(url).pathname.slice(1)} set search_path = old, pg_catalog`)
      expect(await tryOpen(url)).toMatchObject({ kind: 'unsupported', code: 'storage.old_server', message: expect.stringContaining('PostgreSQL 14') })
    })

    test('a server without TLS is refused when TLS was asked for', async () => {
      for (const mode of ['require', 'verify-ca', 'verify-full'])
        expect(await tryOpen(`${server.url()}?sslmode=${mode}`)).toMatchObject({
          kind: 'denied',
          code: 'storage.database_tls',
          hint: expect.stringContaining('sslmode=disable'),
        })
      expect(await tryOpen(`${server.url()}?sslmode=disable`)).toBeUndefined()
      expect(await tryOpen(`${server.url()}?sslmode=prefer`)).toMatchObject({ kind: 'invalid', hint: expect.stringContaining('verify-full') })
    })
  })

  describe.skipIf(noOpenssl !== null)(`with TLS${noOpenssl === null ? '' : ` (skipped: ${noOpenssl})`}`, async () => {
    if (noOpenssl !== null) return
    const [own, others] = [makeCertificates('IP:127.0.0.1'), makeCertificates()]
    const secure = await startPostgresServer({ tls: own, access: ['hostssl all all 127.0.0.1/32 scram-sha-256'] })
    const tryOpen = async (parameters: string, host: string = '127.0.0.1'): Promise<unknown> =>
      openRecords({ connection: secure.url().replace('127.0.0.1', host) + parameters, max: 1, log: silentLog }).then(
        async (records) => {
          const [row] = await records.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()')
          await records.close()
          return row
        },
        (error: unknown) => error,
      )
    const encrypted = { ssl: true }
    const untrusted = { kind: 'denied', code: 'storage.database_tls', hint: expect.stringContaining('sslrootcert') }

    test('sslmode=require encrypts without asking who signed, unless an authority is named', async () => {
      expect(await tryOpen('?sslmode=require')).toEqual(encrypted)
      expect(await tryOpen(`?sslmode=require&sslrootcert=${own.ca}`)).toEqual(encrypted)
      expect(await tryOpen(`?sslmode=require&sslrootcert=${others.ca}`)).toMatchObject(untrusted)
    })

    test('sslmode=verify-ca asks who signed, but not for the name', async () => {
      expect(await tryOpen(`?sslmode=verify-ca&sslrootcert=${own.ca}`)).toEqual(encrypted)
      expect(await tryOpen(`?sslmode=verify-ca&sslrootcert=${own.ca}`, 'localhost')).toEqual(encrypted)
      expect(await tryOpen(`?sslmode=verify-ca&sslrootcert=${others.ca}`)).toMatchObject(untrusted)
      expect(await tryOpen('?sslmode=verify-ca')).toMatchObject(untrusted)
    })

    test('sslmode=verify-full asks for both', async () => {
      expect(await tryOpen(`?sslmode=verify-full&sslrootcert=${own.ca}`)).toEqual(encrypted)
      expect(await tryOpen(`?sslmode=verify-full&sslrootcert=${own.ca}`, 'localhost')).toMatchObject(untrusted)
      expect(await tryOpen(`?sslmode=verify-full&sslrootcert=${others.ca}`)).toMatchObject(untrusted)
      expect(await tryOpen('?sslrootcert=system')).toMatchObject(untrusted)
      expect(await tryOpen('?sslmode=require&sslrootcert=system')).toMatchObject({ kind: 'invalid' })
    })

    test('a server that wants TLS says so to who does without', async () => {
      expect(await tryOpen('')).toMatchObject({ kind: 'denied', code: 'storage.database_tls', hint: expect.stringContaining('sslmode=') })
    })

    test('a server that asks for a certificate gets the one that is named', async () => {
      const strict = await startPostgresServer({ tls: own, access: ['hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca'] })
      const url = `${strict.url()}?sslmode=verify-full&sslrootcert=${own.ca}`
      await expect(openRecords({ connection: url, log: silentLog })).rejects.toMatchObject({ kind: 'denied' })
      const records = await open(`${url}&sslcert=${own.cert}&sslkey=${own.key}`)
      expect(await records.query('select client_dn is not null as known from pg_stat_ssl where pid = pg_backend_pid()')).toEqual([{ known: true }])
      await strict.stop()
    })

    test('a file that is not there is told by name', async () => {
      expect(await tryOpen('?sslmode=verify-ca&sslrootcert=/none.pem')).toMatchObject({
        code: 'storage.ca_file',
        message: expect.stringContaining('/none.pem'),
      })
      expect(await tryOpen(`?sslmode=verify-ca&sslrootcert=${own.key}`)).toMatchObject({ code: 'storage.ca_file' })
    })

    test('notices and sessions go through TLS as well', async () => {
      const lines: string[] = []
      const records = await openRecords({
        connection: `${secure.url()}?sslmode=verify-full&sslrootcert=${own.ca}`,
        log: createLog({ write: (line) => lines.push(line) }),
      })
      const heard: string[] = []
      await records.listen('news', (payload) => heard.push(payload))
      await records.query("select pg_notify('news', 'x')")
      await expect.poll(() => heard).toEqual(['x'])
      await records.close()
      expect(lines.join('\n')).not.toContain(secure.password)
    })
  })
})
