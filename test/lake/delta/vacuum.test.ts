/** Cleaning up: what nobody can need any more goes, and never a file that somebody does. */
import { spawn } from 'node:child_process'
import { link, mkdir, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { openTable, type DeltaTable, type VacuumOptions } from '../../../src/lake/delta/index.ts'
import { commitFile, field, lines, openLake, text } from '../../helpers/delta.ts'
import { watchedObjects } from '../../helpers/watched-objects.ts'

const lake = await openLake()
const FIELDS = [field('id', 'long')]
const NOW: VacuumOptions = { retainMs: 0, force: true }
const DAY = 86_400_000
let made = 0
const fresh = (): string => `silver/v${++made}`
const ids = async (root: string): Promise<number[]> => (await lake.content(lake.table(root), 'id')).map(([id]) => Number(id))
const dataFiles = async (root: string): Promise<string[]> => (await lake.paths(`${root}/`)).filter((path) => !/\/_/.test(path))

/** Two files, of which an overwrite left one. */
async function overwritten(root: string, configuration: Readonly<Record<string, string>> = {}): Promise<DeltaTable> {
  const table = lake.table(root)
  await table.create({ fields: FIELDS, configuration })
  await table.append(lake.select('select 1 as id'))
  await table.overwrite(lake.select('select 2 as id'))
  return table
}

/** Makes objects look as old as that. */
async function age(prefix: string, ms: number): Promise<void> {
  const at = new Date(Date.now() - ms)
  for (const path of await lake.paths(prefix)) await utimes(join(lake.folder, path), at, at)
}

describe('vacuum', () => {
  test('deletes what no version within retention names, and says so in two commits as Spark does', async () => {
    const root = fresh()
    const table = await overwritten(root)
    await lake.objects.put(`${root}/orphan.parquet`, text('left by a killed writer'))
    const told: string[] = []
    expect(await table.vacuum({ ...NOW, onFile: (path) => told.push(path) })).toMatchObject({ version: 4, dryRun: false, listed: 3, files: 2 })
    expect(told).toHaveLength(2)
    expect(await dataFiles(root)).toHaveLength(1)
    expect(await ids(root)).toEqual([2])
    const [end, start] = await table.history(2)
    expect(start).toMatchObject({
      operation: 'VACUUM START',
      parameters: { retentionCheckEnabled: 'false', specifiedRetentionMillis: '0' },
      metrics: { numFilesToDelete: 2 },
    })
    expect(end).toMatchObject({ operation: 'VACUUM END', parameters: { status: 'COMPLETED' }, metrics: { numDeletedFiles: 2 } })
    // Nothing to do is no version.
    expect(await table.vacuum(NOW)).toMatchObject({ version: 4, files: 0 })
  })
  test('a dry run tells the same files and deletes none', async () => {
    const root = fresh()
    const table = await overwritten(root)
    const before = await lake.paths(`${root}/`)
    const told: string[] = []
    const dry = await table.vacuum({ ...NOW, dryRun: true, onFile: (path) => told.push(path) })
    expect(dry).toMatchObject({ version: 2, dryRun: true, files: 1, sample: told })
    expect(await lake.paths(`${root}/`)).toEqual(before)
    expect((await table.vacuum(NOW)).sample).toEqual(dry.sample)
  })
  test('keeps seven days by itself, or what the table says, counted from the removal and from the file', async () => {
    const root = fresh()
    const table = await overwritten(root)
    await lake.objects.put(`${root}/orphan.parquet`, text('a writer at work'))
    expect(await table.vacuum()).toMatchObject({ files: 0, retainMs: 7 * DAY })
    await age(`${root}/`, 8 * DAY)
    // The file that was removed a moment ago is old as a file and young as a removal.
    expect(await table.vacuum()).toMatchObject({ files: 1 })
    expect(await dataFiles(root)).toHaveLength(2)
    const short = fresh()
    const other = await overwritten(short, { 'delta.deletedFileRetentionDuration': 'interval 2 hours' })
    await age(`${short}/`, 3 * 3_600_000)
    expect(await other.vacuum({ retainMs: 2 * 3_600_000 })).toMatchObject({ files: 0 })
  })
  test('a removal that a checkpoint has forgotten still counts when more is to be kept than the table says', async () => {
    const root = fresh()
    const table = await overwritten(root, { 'delta.deletedFileRetentionDuration': 'interval 0 seconds', 'delta.checkpointInterval': '1' })
    await table.append(lake.select('select 3 as id'))
    await age(`${root}/part`, DAY)
    expect(await lake.table(root).vacuum({ retainMs: 2 * 3_600_000 })).toMatchObject({ files: 0 })
  })
  test('less than the retention, or than an hour, has to be forced', async () => {
    const root = fresh()
    const table = await overwritten(root)
    for (const retainMs of [0, 3_600_000, 6 * DAY]) await expect(table.vacuum({ retainMs })).rejects.toMatchObject({ code: 'lake.vacuum_retention' })
    await expect(table.vacuum({ retainMs: Number.NaN, force: true })).rejects.toMatchObject({ code: 'lake.bad_option' })
    const none = await overwritten(fresh(), { 'delta.deletedFileRetentionDuration': 'interval 0 seconds' })
    await expect(none.vacuum()).rejects.toMatchObject({ code: 'lake.vacuum_retention', message: expect.stringContaining('1 h') as string })
    expect(await dataFiles(root)).toHaveLength(2)
  })
  test('leaves what begins with _ or a dot, but not change data and not the folder of a partition column', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: [...FIELDS, field('_p', 'string')], partitionBy: ['_p'] })
    await table.append(lake.select("select 1 as id, 'x' as _p"))
    await table.overwrite(lake.select("select 2 as id, 'x' as _p"))
    const kept = ['_delta_index/a', '_hidden.parquet', '_other/b.parquet', '.hidden.crc', 'sub/_c.parquet', '_q=1/d.parquet']
    for (const path of [...kept, '_change_data/cdc-1.parquet', 'plain.parquet']) await lake.objects.put(`${root}/${path}`, text('x'))
    expect((await table.vacuum(NOW)).files).toBe(3)
    const left = await lake.paths(`${root}/`)
    expect(kept.map((path) => `${root}/${path}`).filter((path) => !left.includes(path))).toEqual([])
    expect(left.filter((path) => path.includes('_p=x'))).toHaveLength(1)
    expect(await ids(root)).toEqual([2])
  })
  test('leaves a table that lies below this one', async () => {
    const root = fresh()
    await overwritten(root)
    await overwritten(`${root}/Below`)
    expect(await lake.table(root).vacuum(NOW)).toMatchObject({ files: 1 })
    expect(await dataFiles(`${root}/Below`)).toHaveLength(2)
  })
  test('a table that cannot be written here is not cleaned either', async () => {
    const root = fresh()
    await overwritten(root)
    const protocol = {
      minReaderVersion: 3,
      minWriterVersion: 7,
      readerFeatures: ['vacuumProtocolCheck'],
      writerFeatures: ['vacuumProtocolCheck', 'somethingNew'],
    }
    await lake.objects.putIfAbsent(commitFile(root, 3), lines({ commitInfo: {} }, { protocol }))
    await expect(lake.table(root).vacuum(NOW)).rejects.toMatchObject({ kind: 'unsupported', message: expect.stringContaining('somethingNew') as string })
    expect(await dataFiles(root)).toHaveLength(2)
  })
  test('stops when it is told to, and says so', async () => {
    const root = fresh()
    const table = await overwritten(root)
    for (let i = 0; i < 40; i++) await lake.objects.put(`${root}/orphan${i}.parquet`, text('x'))
    const stop = new AbortController()
    const vacuum = table.vacuum({ ...NOW, signal: stop.signal, progress: ({ deleted }) => deleted > 0 && stop.abort(new Error('enough')) })
    await expect(vacuum).rejects.toThrow('enough')
    expect((await dataFiles(root)).length).toBeGreaterThan(1)
    expect((await table.history(1))[0]).toMatchObject({ operation: 'VACUUM END', parameters: { status: 'FAILED' } })
    expect(await ids(root)).toEqual([2])
  })
})

describe('pins', () => {
  test('keep every file of a version, also after the pinning process is gone, until they are removed or over', async () => {
    const root = fresh()
    const table = await overwritten(root)
    await table.pin({ id: 'report', reason: 'reader', version: 1 })
    await lake.table(root).vacuum(NOW)
    const again = lake.table(root)
    expect(await lake.content(again, 'id', (await again.snapshot({ version: 1 }))!)).toEqual([['1']])
    expect(await lake.table(root).pins()).toMatchObject([{ id: 'report', reason: 'reader', version: 1 }])
    await table.unpin('report')
    await table.unpin('report')
    await table.pin({ id: 'short', reason: 'backup', version: 1, until: Date.now() + 60 })
    await new Promise((resolve) => setTimeout(resolve, 80))
    expect(await table.pins()).toEqual([])
    expect(await lake.table(root).vacuum(NOW)).toMatchObject({ files: 1 })
    expect(await lake.paths(`${root}/_lagoa`)).toEqual([])
  })
  test('of no version, in the past or with a name that is a path are refused', async () => {
    const table = await overwritten(fresh())
    await expect(table.pin({ id: 'a', reason: 'reader', version: 9 })).rejects.toMatchObject({ code: 'lake.version_missing' })
    for (const id of ['', '../x', 'a/b', '.a', 'a'.repeat(101)])
      await expect(table.pin({ id, reason: 'reader', version: 1 })).rejects.toMatchObject({ code: 'lake.bad_pin' })
    await expect(table.pin({ id: 'a', reason: 'reader', version: 1, until: 5 })).rejects.toMatchObject({ code: 'lake.bad_pin' })
  })
  test('one that cannot be read, or whose version cannot be, stops the vacuum', async () => {
    const root = fresh()
    const table = await overwritten(root, { 'delta.checkpointInterval': '2' })
    await table.pin({ id: 'old', reason: 'backup', version: 1 })
    await lake.objects.delete(commitFile(root, 0))
    await expect(lake.table(root).vacuum(NOW)).rejects.toMatchObject({ code: 'lake.pin_unreadable', hint: expect.stringContaining('old') as string })
    await lake.objects.put(`${root}/_lagoa_pins/old.json`, text('{"id":'))
    await expect(lake.table(root).vacuum(NOW)).rejects.toMatchObject({ code: 'lake.pin_damaged' })
    expect(await dataFiles(root)).toHaveLength(2)
  })
  test('of a clone that is no more go a day later', async () => {
    const root = fresh()
    const table = await overwritten(root)
    const target = fresh()
    await table.shallowClone(target)
    for (const path of await lake.paths(`${target}/`)) await lake.objects.delete(path)
    await table.vacuum(NOW)
    const [pin] = await table.pins()
    expect(pin).toMatchObject({ holder: target })
    await lake.objects.put(`${root}/_lagoa_pins/${pin?.id}.json`, text(JSON.stringify({ ...pin, since: Date.now() - 2 * DAY })))
    await table.vacuum(NOW)
    expect(await table.pins()).toEqual([])
  })
  test('set while a vacuum runs hold from its next batch on, and the caller waits for that', async () => {
    const root = fresh()
    const table = await overwritten(root)
    const { objects, duck } = lake.place
    const pinning: Promise<unknown>[] = []
    const order: string[] = []
    const slow = watchedObjects(objects, async ({ kind, path }) => {
      if (kind === 'delete' && path.endsWith('.parquet')) {
        if (pinning.length === 0)
          pinning.push(
            lake
              .table(root)
              .pin({ id: 'late', reason: 'reader', version: 1 })
              .then(() => order.push('pinned')),
          )
        await new Promise((resolve) => setTimeout(resolve, 150))
        order.push('deleted')
      }
    })
    await openTable({ objects: slow, duck }, root).vacuum(NOW)
    await Promise.all(pinning)
    expect(order.indexOf('pinned')).toBeGreaterThan(order.indexOf('deleted'))
    // The version was not safe yet when the pin was asked for: a clone or a restore of it finds that out.
    await expect(table.restore({ version: 1 })).rejects.toMatchObject({ code: 'lake.version_vacuumed' })
  })
  test('readers of this process keep their snapshot without one', async () => {
    const root = fresh()
    const table = await overwritten(root)
    const before = (await table.snapshot({ version: 1 }))!
    const release = table.keep(before)
    await lake.table(root).vacuum(NOW)
    expect(await lake.content(table, 'id', before)).toEqual([['1']])
    release()
    release()
    expect(await lake.table(root).vacuum(NOW)).toMatchObject({ files: 1 })
  })
})

describe('what a vacuum meets on its way', () => {
  test('files that come and go while it runs are safe', { timeout: 60_000 }, async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: FIELDS })
    const writer = await lake.place.duck.connect()
    let over = false
    const writing = (async () => {
      const own = lake.table(root)
      for (let id = 1; id <= 40; id++) {
        await own.append({ connection: writer, sql: `select ${id} as id` })
        if (id % 7 === 0) await own.optimize()
      }
      over = true
    })()
    // A writer's file that no commit names yet has to be young: that much retention the running writer needs.
    while (!over) await lake.table(root).vacuum({ retainMs: 2000, force: true })
    await writing
    writer.closeSync()
    expect(await ids(root)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
  })
  test('a restore that brings old files back while it runs wins them, or is refused', async () => {
    for (let round = 0; round < 6; round++) {
      const root = fresh()
      const table = await overwritten(root)
      for (let i = 0; i < 30; i++) await lake.objects.put(`${root}/a-orphan${i}.parquet`, text('x'))
      const [vacuum, restore] = await Promise.allSettled([
        lake.table(root).vacuum(NOW),
        new Promise((resolve) => setTimeout(resolve, 5 * round)).then(() => lake.table(root).restore({ version: 1 })),
      ])
      if (vacuum.status === 'rejected') throw vacuum.reason
      if (restore.status === 'rejected')
        expect(restore.reason).toMatchObject({ code: expect.stringMatching(/^lake.(version_vacuumed|commit_conflict)$/) as string })
      expect(await ids(root)).toEqual([restore.status === 'fulfilled' ? 1 : 2])
      expect((await table.snapshot())?.rowCount).toBe(1)
    }
  })
  test('names of every kind and in every spelling of a log keep their files', { timeout: 120_000 }, async () => {
    const part = fc.oneof(
      fc.string({
        unit: fc.constantFrom(
          'a',
          'Z',
          '0',
          ' ',
          '%',
          '%4',
          '%41',
          '%2F',
          '+',
          '#',
          '?',
          '&',
          '=',
          'ã',
          'a\u0303',
          '漢',
          '😀',
          "'",
          '"',
          '\\',
          ':',
          '~',
          '[',
          '*',
          ';',
          ',',
          '\t',
          '\u00a0',
        ),
        minLength: 1,
        maxLength: 12,
      }),
      fc.constantFrom('%', '%%', 'a%41', 'a%2541', 'São', 'S%C3%A3o', '-', 'x=%2E', 'p=__HIVE_DEFAULT_PARTITION__'),
    )
    const usable = (name: string): boolean => name !== '.' && name !== '..' && !/^[_.]/.test(name) && !name.includes('\0') && Buffer.byteLength(name) < 200
    const relative = fc.array(part.filter(usable), { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
    const encodings: readonly ((path: string) => string)[] = [
      (path) => path.split('/').map(encodeURIComponent).join('/'),
      (path) => encodeURI(path).replaceAll('#', '%23').replaceAll('?', '%3F'),
      // As java.net.URI: other letters stay.
      (path) => path.replace(/[%#? "\\[\]<>^`{|}\t]/g, encodeURIComponent),
      // Not at all, as some writers do.
      (path) => path,
    ]
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(relative, { minLength: 1, maxLength: 6 }),
        fc.infiniteStream(fc.nat(3)),
        fc.boolean(),
        async (names, spelling, absolute) => {
          const root = fresh()
          const table = lake.table(root)
          await table.create({ fields: FIELDS })
          await table.append(lake.select('select 7 as id'))
          const [source = ''] = await dataFiles(root)
          const live: { path: string; logged: string }[] = []
          for (const name of names) {
            const path = join(lake.folder, root, name)
            try {
              await mkdir(dirname(path), { recursive: true })
              await link(join(lake.folder, source), path)
            } catch {
              continue
            }
            const encode = encodings[spelling.next().value ?? 0] ?? encodings[0]!
            live.push({ path: `${root}/${name}`, logged: absolute ? lake.objects.uri(`${root}/${name}`) : encode(name) })
          }
          const { size = 0 } = (await lake.objects.head(source)) ?? {}
          const adds = live.map(({ logged }) => ({
            add: { path: logged, partitionValues: {}, size, modificationTime: 0, dataChange: true, stats: '{"numRecords":1}' },
          }))
          await lake.objects.putIfAbsent(commitFile(root, 2), lines({ commitInfo: {} }, ...adds))
          await writeFile(join(lake.folder, root, 'orphan of nobody'), 'x')
          await age(`${root}/`, 60_000)
          const { sample } = await lake.table(root).vacuum(NOW)
          expect(sample).toContain(`${root}/orphan of nobody`)
          const left = new Set(await lake.paths(`${root}/`))
          expect([...live.map(({ path }) => path), source].filter((path) => !left.has(path))).toEqual([])
        },
      ),
      { numRuns: 60 },
    )
  })
  test('a process killed while it deletes leaves a table of which nothing is missing, and the next one ends its work', { timeout: 60_000 }, async () => {
    const script = fileURLToPath(new URL('./vacuumer.ts', import.meta.url))
    for (let round = 0; round < 4; round++) {
      const root = fresh()
      const table = lake.table(root)
      await table.create({ fields: FIELDS })
      for (let id = 1; id <= 4; id++) await table.append(lake.select(`select ${id} as id`))
      await table.optimize()
      for (let i = 0; i < 60; i++) await lake.objects.put(`${root}/orphan${i}.parquet`, text('x'))
      const child = spawn(process.execPath, [script, lake.folder, join(lake.folder, '..', `vacuum${round}`), root], { stdio: ['ignore', 'pipe', 'inherit'] })
      await new Promise((resolve) => child.stdout.once('data', resolve))
      await new Promise((resolve) => setTimeout(resolve, 3 * round))
      child.kill('SIGKILL')
      await new Promise((resolve) => child.once('close', resolve))
      expect(await ids(root)).toEqual([1, 2, 3, 4])
      await lake.table(root).vacuum(NOW)
      expect(await dataFiles(root)).toHaveLength(1)
      expect(await ids(root)).toEqual([1, 2, 3, 4])
    }
  })
})
