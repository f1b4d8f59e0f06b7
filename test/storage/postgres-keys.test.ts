import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, expect, test } from 'vitest'
import { keysMigrations, migrate, openPostgresKeys, type Records } from '../../src/storage/index.ts'
import { keysContract } from '../contracts/keys.contract.ts'
import { testRecords } from '../helpers/postgres.ts'

let records: Records
beforeAll(async () => {
  ;({ records } = await testRecords())
  await migrate(records, keysMigrations)
})

keysContract('postgres', async () => openPostgresKeys(records))

test('sweep removes expired entries in bounded steps and goes round', async () => {
  const keys = openPostgresKeys(records)
  await records.query('truncate lagoa_key')
  await keys.put(Array.from({ length: 100 }, (_, i) => ({ key: `s${String(i).padStart(3, '0')}`, fields: { v: '1' }, ...(i % 2 ? { ttlMs: 1 } : {}) })))
  await sleep(10)
  expect(await keys.sweep(30)).toBe(15)
  expect(await keys.sweep(30)).toBe(15)
  expect(await keys.sweep(30)).toBe(15)
  expect(await keys.sweep(30)).toBe(5)
  await keys.put([{ key: 's000', fields: { v: '2' }, ttlMs: 1 }])
  await sleep(10)
  expect(await keys.sweep(30)).toBe(1)
  const [left] = await records.query<{ n: number }>('select count(*) as n from lagoa_key')
  expect(left?.n).toBe(49)
})
