/** Watched folders, and tables that nobody declared. */
import { appendFileSync, renameSync, rmSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { t } from '../../../src/base/index.ts'
import { files, table, type FileOutcome } from '../../../src/lake/index.ts'
import { openInbox } from './place.ts'

const companies = table('bronze.companies', { from: files('inbox/*.csv'), columns: { id: t.long(), name: t.string().nullable() }, every: '50ms' })

describe('a watched folder', () => {
  test('is taken as files come, each once, and tells each', async () => {
    const inbox = await openInbox([companies])
    inbox.write('inbox/a.csv', 'id,name\n1,Ana\n')
    const told: FileOutcome[] = []
    const watcher = inbox.watch(companies, (outcome) => told.push(outcome))
    expect(watcher.status('bronze.companies')).toMatchObject({ state: 'waiting' })
    expect(watcher.status('silver.other')).toBeNull()
    void watcher.run()
    try {
      await expect.poll(() => told.length, { timeout: 5000 }).toBe(1)
      renameSync(inbox.write('inbox/.part', 'id,name\n2,Bia\n'), join(inbox.folder, 'inbox/b.csv'))
      await expect.poll(() => told.length, { timeout: 5000 }).toBe(2)
      await sleep(200)
      expect(told.map(({ file, rows }) => [file, rows])).toEqual([
        ['inbox/a.csv', 1],
        ['inbox/b.csv', 1],
      ])
      await expect.poll(() => watcher.status('bronze.companies')).toMatchObject({ state: 'idle', taken: 2, error: undefined })
    } finally {
      await watcher.stop()
    }
    expect(await inbox.select('select id from {bronze.companies} order by 1')).toEqual([['1'], ['2']])
  })
  test('waits for a file that still grows', async () => {
    const inbox = await openInbox([companies])
    const path = inbox.write('inbox/a.csv', 'id,name\n')
    const told: FileOutcome[] = []
    const watcher = inbox.watch(companies, (outcome) => told.push(outcome))
    void watcher.run()
    try {
      for (let i = 0; i < 8; i++) {
        await sleep(200)
        appendFileSync(path, `${i},x\n`)
      }
      expect(told).toEqual([])
      await expect.poll(() => told.length, { timeout: 5000 }).toBe(1)
      expect(told[0]).toMatchObject({ rows: 8, bad: 0 })
    } finally {
      await watcher.stop()
    }
  })
  test('keeps a refused file in its status until the file is mended or gone', async () => {
    const inbox = await openInbox([companies])
    inbox.write('inbox/a.csv', 'id,name\nx,Ana\n')
    inbox.write('inbox/b.csv', 'id,name\n2,Bia\n')
    const watcher = inbox.watch(companies)
    await expect(watcher.drain()).rejects.toMatchObject({ code: 'lake.file_refused' })
    expect(watcher.status('bronze.companies')).toMatchObject({ state: 'failed', taken: 1, error: { code: 'lake.file_refused' } })
    expect([...(watcher.status('bronze.companies')?.failed.keys() ?? [])]).toEqual(['inbox/a.csv'])
    expect(await inbox.select('select _file from {bronze.companies_quarantine} where _line is null')).toEqual([['inbox/a.csv']])
    inbox.write('inbox/a.csv', 'id,name\n1,Ana\n')
    await watcher.drain()
    expect(watcher.status('bronze.companies')).toMatchObject({ state: 'idle', taken: 2, error: undefined })
    expect(await inbox.select('select count(*) from {bronze.companies_quarantine}')).toEqual([['0']])
    rmSync(join(inbox.folder, 'inbox/a.csv'))
    await watcher.drain()
    expect(watcher.status('bronze.companies')).toMatchObject({ taken: 1 })
    await watcher.stop()
  })
  test('adds nothing again after a new start, also when files were touched', async () => {
    const inbox = await openInbox([companies])
    const path = inbox.write('inbox/a.csv', 'id,name\n1,Ana\n')
    for (let start = 0; start < 2; start++) {
      const watcher = inbox.watch(companies)
      await watcher.drain()
      utimesSync(path, new Date(2020, 0, 1), new Date(2020, 0, 1))
      await watcher.drain()
      await watcher.stop()
    }
    expect(await inbox.select('select count(*) from {bronze.companies}')).toEqual([['1']])
  })
  test('may be a prefix of the object store', async () => {
    const landed = table('bronze.landed', { from: files('objects://landing/events', { format: 'ndjson' }) })
    const inbox = await openInbox([landed])
    await inbox.objects.put('landing/events/1', Buffer.from('{"id":1}\n'))
    const watcher = inbox.watch(landed)
    await watcher.drain()
    await inbox.objects.put('landing/events/2', Buffer.from('{"id":2}\n'))
    await watcher.drain()
    await watcher.stop()
    expect(await inbox.select('select id, _file from {bronze.landed} order by 1')).toEqual([
      ['1', 'objects://landing/events/1'],
      ['2', 'objects://landing/events/2'],
    ])
  })
})

describe('tables that nobody declared', () => {
  test('are found by their logs, however much lies beside them', async () => {
    const inbox = await openInbox([companies])
    for (let i = 0; i < 300; i++) await inbox.objects.put(`artifacts/${i}.json`, Buffer.from('{}'))
    await inbox.objects.put('landing/day=1/x.csv', Buffer.from('id\n1\n'))
    for (const into of ['bronze.x', 'silver.by_spark', 'zz-team.last']) await inbox.take('id\n1\n', { into })
    expect(await inbox.lake.names()).toEqual(['bronze.companies', 'bronze.x', 'silver.by_spark', 'zz-team.last'])
    expect((await inbox.lake.table('silver.by_spark').snapshot())?.rowCount).toBe(1)
    expect(await inbox.lake.table('silver.by_spark').history()).toHaveLength(2)
  })
  test('are told from those that are not there', async () => {
    const inbox = await openInbox([companies])
    await inbox.take('id\n1\n', { into: 'bronze.readings' })
    await expect(inbox.lake.table('bronze.reading').snapshot()).rejects.toMatchObject({ code: 'lake.no_table', hint: 'Did you mean bronze.readings?' })
    await expect(inbox.lake.table('bronze.reading').history()).rejects.toMatchObject({ code: 'lake.no_table' })
    await expect(inbox.lake.refresh('bronze.reading')).rejects.toMatchObject({ code: 'lake.no_table' })
    expect(() => inbox.lake.table('../escape')).toThrow('There is no table ../escape')
    expect(await inbox.lake.table('bronze.companies').snapshot()).toBeNull()
  })
})
