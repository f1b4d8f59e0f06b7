import { beforeAll, expect, test } from 'vitest'
import { silentLog } from '../../src/base/index.ts'
import { type EmbeddedConnection, openRecords, sqlState } from '../../src/storage/index.ts'
import { recordsContract } from '../contracts/records.contract.ts'
import { testRecords } from '../helpers/postgres.ts'

let connection: EmbeddedConnection
beforeAll(async () => {
  ;({ connection } = await testRecords())
})

recordsContract('embedded', () => openRecords({ connection, max: 8, log: silentLog }))

test('a connection string works as well as its parts', async () => {
  const records = await openRecords({
    connection: `postgresql://${connection.user}@/${connection.database}?host=${encodeURIComponent(connection.host)}&port=${connection.port}`,
    log: silentLog,
  })
  expect(await records.query('select current_database() as name')).toEqual([{ name: connection.database }])
  await records.close()
})

test('a server that is not there is unavailable, with a hint', async () => {
  await expect(openRecords({ connection: 'postgresql://u@127.0.0.1:1/x', log: silentLog })).rejects.toMatchObject({
    kind: 'unavailable',
    code: 'storage.database_away',
    hint: expect.any(String),
  })
})

test('a database that is not there is missing', async () => {
  await expect(openRecords({ connection: { ...connection, database: 'nowhere' }, log: silentLog })).rejects.toMatchObject({
    kind: 'missing',
    code: 'storage.no_database',
  })
})

test('the name of a socket error is not taken for an SQLSTATE', () => {
  expect(sqlState(Object.assign(new Error('broken pipe'), { code: 'EPIPE' }))).toBeUndefined()
  expect(sqlState(Object.assign(new Error('deadlock'), { code: '40P01' }))).toBe('40P01')
})
