/** Exactly once, whatever happens: the same file again, files that changed, two at a time, kill -9 at any moment. */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { t } from '../../../src/base/index.ts'
import { files, table } from '../../../src/lake/index.ts'
import { tempFolder } from '../../helpers/folder.ts'
import { openInbox, type Inbox } from './place.ts'

const ROOT = join(import.meta.dirname, '../../..')

describe('a file', () => {
  test('is added once, also when it was renamed, copied or touched', async () => {
    const inbox = await openInbox()
    expect(await inbox.take('id\n1\n', { name: 'a.csv' })).toMatchObject({ outcome: 'added', version: 1 })
    expect(await inbox.take('id\n1\n', { name: 'a.csv' })).toMatchObject({ outcome: 'known' })
    expect(await inbox.take('id\n1\n', { name: 'copy/b.csv' })).toMatchObject({ outcome: 'known' })
    expect((await inbox.lake.open('bronze.x').snapshot())?.version).toBe(1)
  })
  test('carries its name and the time of its ingestion', async () => {
    const inbox = await openInbox()
    const before = Date.now()
    await inbox.take('id\n1\n', { name: 'in/a.csv' })
    const [row] = await inbox.select('select _file, epoch_ms(_ingested_at) from {bronze.x}')
    expect(row?.[0]).toBe('in/a.csv')
    expect(Number(row?.[1])).toBeGreaterThanOrEqual(before)
  })
  test('that changed is refused, added or put in the place of its old rows, as was said', async () => {
    const inbox = await openInbox()
    const ids = (): Promise<unknown[][]> => inbox.select('select id from {bronze.x} order by id')
    await inbox.take('id\n1\n', { name: 'a.csv' })
    await inbox.take('id\n100\n', { name: 'other.csv' })
    const refused = await inbox.take('id\n1\n2\n', { name: 'a.csv' })
    expect(refused).toMatchObject({ outcome: 'refused', error: { code: 'lake.file_changed' } })
    expect(refused.error?.hint).toContain('--changed replace')
    expect(await ids()).toEqual([['1'], ['100']])
    expect(await inbox.take('id\n1\n2\n', { name: 'a.csv', changed: 'replace' })).toMatchObject({ outcome: 'replaced', rows: 2 })
    expect(await ids()).toEqual([['1'], ['2'], ['100']])
    expect(await inbox.take('id\n3\n', { name: 'a.csv', changed: 'add' })).toMatchObject({ outcome: 'added' })
    expect(await ids()).toEqual([['1'], ['2'], ['3'], ['100']])
  })
  test('that changes back is put back', async () => {
    const inbox = await openInbox()
    for (const id of [1, 2, 1]) await inbox.take(`id\n${id}\n`, { name: 'a.csv', changed: 'replace' })
    expect(await inbox.select('select id from {bronze.x}')).toEqual([['1']])
    expect(await inbox.take('id\n1\n', { name: 'a.csv', changed: 'replace' })).toMatchObject({ outcome: 'known' })
  })
  test('of a dry run leaves nothing behind', async () => {
    const inbox = await openInbox()
    expect(await inbox.take('id,n\n1,x\n', { dryRun: true })).toMatchObject({
      outcome: 'ready',
      rows: 1,
      columns: [
        { name: 'id', type: 'BIGINT' },
        { name: 'n', type: 'VARCHAR' },
      ],
    })
    expect(await inbox.lake.open('bronze.x').snapshot()).toBeNull()
    expect(readdirSync(join(inbox.folder, 'work'))).toEqual([])
  })
  test('stops when it is told to, and leaves nothing behind', async () => {
    const inbox = await openInbox()
    const path = inbox.write('big.csv', `id,t\n${Array.from({ length: 300_000 }, (_, i) => `${i},${'x'.repeat(40)}`).join('\n')}\n`)
    const stop = new AbortController()
    const running = inbox.ingest(path, { signal: stop.signal })
    void expect
      .poll(() => readdirSync(inbox.folder).includes('work') && readdirSync(join(inbox.folder, 'work')).length, { interval: 5, timeout: 20_000 })
      .toBe(1)
      .then(() => stop.abort(new Error('enough')))
    await expect(running).rejects.toThrow('enough')
    expect(readdirSync(join(inbox.folder, 'work'))).toEqual([])
    expect(await inbox.ingest(path)).toMatchObject([{ outcome: 'added', rows: 300_000 }])
  })
})

describe('files with other columns', () => {
  test('add columns, leave out others, and widen types when no value changes by it', async () => {
    const inbox = await openInbox()
    await inbox.take('id,v\n1,1\n2,2\n')
    await inbox.take('id,w\n3,x\n')
    await inbox.take('ID,v\n4,2.5\n')
    await inbox.take('v,id\n7,5\n')
    expect(await inbox.columns()).toEqual({ id: 'long', v: 'double', w: 'string' })
    expect(await inbox.select('select id, v, w from {bronze.x} order by id')).toEqual([
      ['1', 1, null],
      ['2', 2, null],
      ['3', null, 'x'],
      ['4', 2.5, null],
      ['5', 7, null],
    ])
    expect(await inbox.take('id,v\n1,1\n2,2\n')).toMatchObject({ outcome: 'known' })
  })
  test('are not widened when a whole number would change', async () => {
    const inbox = await openInbox()
    await inbox.take('id\n9007199254740993\n')
    const refused = await inbox.take('id\n1.5\n')
    expect(refused).toMatchObject({ outcome: 'refused' })
    expect(refused.error?.message).toContain('cannot hold exactly')
  })
  test('whose values do not fit are kept aside line by line, never rounded', async () => {
    const inbox = await openInbox()
    await inbox.take('id,v\n1,1\n2,2\n')
    expect(await inbox.take('id,v\n3,3.5\n4,4\n5,5\n', { schema: 'freeze' })).toMatchObject({ outcome: 'added', rows: 2, bad: 1 })
    expect(await inbox.select('select v from {bronze.x} order by id')).toEqual([['1'], ['2'], ['4'], ['5']])
    expect(await inbox.select('select _column, _raw from {bronze.x_quarantine}')).toEqual([['v', expect.stringContaining('3.5')]])
  })
  test('that have nothing of the table, or new columns for a frozen one, are refused', async () => {
    const inbox = await openInbox()
    await inbox.take('id,v\n1,1\n')
    expect((await inbox.take('name;city\nAna;Rio\n')).error?.message).toContain('none of its columns')
    expect((await inbox.take('id,v,w\n1,2,3\n', { schema: 'freeze' })).error?.message).toContain('a column w')
  })
})

describe('a declared table', () => {
  const companies = table('bronze.companies', {
    from: files('inbox/*.csv', { delimiter: ';', decimal: ',' }),
    columns: { cnpj: t.string(), capital: t.double().nullable() },
    partitionBy: ['cnpj'],
  })
  test('has the columns that it promises, and refuses others', async () => {
    const inbox = await openInbox([companies])
    expect(await inbox.take('cnpj;capital\n1;2,5\n2;\n;3\n', { into: 'bronze.companies' })).toMatchObject({ outcome: 'added', rows: 2, bad: 1 })
    expect(await inbox.columns('bronze.companies')).toEqual({ cnpj: 'string', capital: 'double' })
    expect(await inbox.select('select cnpj, capital from {bronze.companies} order by 1')).toEqual([
      ['1', 2.5],
      ['2', null],
    ])
    expect(await inbox.take('cnpj;capital;extra\n1;2,5;x\n', { into: 'bronze.companies' })).toMatchObject({ outcome: 'refused' })
  })
  test('that is made by SQL takes no files', async () => {
    const inbox = await openInbox([companies, table('silver.c', { sql: 'select 1 as one' })])
    await expect(inbox.take('a\n1\n', { into: 'silver.c' })).rejects.toMatchObject({ code: 'lake.ingest_target' })
  })
})

describe('many small files', () => {
  const small = (id: number): string => `id,name,v\n${id},n${id},${id}.5\n`
  const fillFolder = (inbox: Inbox, from: number, to: number): void => {
    for (let id = from; id < to; id++) inbox.write(`in/${String(id).padStart(4, '0')}.csv`, small(id))
  }
  const whole = 'select count(*), count(distinct id), count(distinct _file), sum(v) from {bronze.x}'

  test('go into one commit, and each is known by its own content', async () => {
    const inbox = await openInbox()
    fillFolder(inbox, 0, 300)
    const outcomes = await inbox.ingest('in')
    expect(outcomes).toHaveLength(300)
    expect(outcomes[7]).toMatchObject({ file: 'in/0007.csv', outcome: 'added', rows: 1, version: 1, columns: [{ name: 'id', type: 'BIGINT' }, {}, {}] })
    expect((await inbox.lake.open('bronze.x').snapshot())?.version).toBe(1)
    expect(await inbox.select(whole)).toEqual([['300', '300', '300', (300 * 299) / 2 + 150]])
    expect(await inbox.select("select id from {bronze.x} where _file = 'in/0123.csv'")).toEqual([['123']])
    expect(await inbox.take(small(250), { name: 'elsewhere/a.csv' })).toMatchObject({ outcome: 'known' })
    fillFolder(inbox, 290, 310)
    expect((await inbox.ingest('in')).filter(({ outcome }) => outcome !== 'known').map(({ file, version }) => [file, version])).toEqual(
      Array.from({ length: 10 }, (_, i) => [`in/0${300 + i}.csv`, 2]),
    )
  })
  test('may be empty, blank, copies of each other, and named like patterns', async () => {
    const inbox = await openInbox()
    inbox.write('in/a.csv', 'id,v\n')
    inbox.write('in/b[1]*.csv', 'id,v\n1,1.5\n,\n2,\n')
    inbox.write('in/c.csv', 'id,v\n1,1.5\n,\n2,\n')
    inbox.write("in/d'.csv", 'id,v\n3,3\n')
    inbox.write('in/e.csv', '')
    inbox.write('in/f.csv', 'id,v\n,\n')
    const outcomes = await inbox.ingest('in')
    expect(outcomes.map(({ file, outcome, rows, blank, version }) => [file, outcome, rows, blank, version])).toEqual([
      ['in/a.csv', 'empty', 0, 0, null],
      ['in/b[1]*.csv', 'added', 2, 1, 1],
      ['in/c.csv', 'known', 0, 0, null],
      ["in/d'.csv", 'added', 1, 0, 1],
      ['in/e.csv', 'empty', 0, 0, null],
      ['in/f.csv', 'empty', 0, 1, null],
    ])
    expect(await inbox.select('select id, v, _file from {bronze.x} order by id')).toEqual([
      ['1', 1.5, 'in/b[1]*.csv'],
      ['2', null, 'in/b[1]*.csv'],
      ['3', 3, "in/d'.csv"],
    ])
  })
  test('among which one is bad, other or of more exact numbers are read as each is', async () => {
    const inbox = await openInbox()
    for (let id = 0; id < 40; id++) inbox.write(`in/${100 + id}.csv`, `id,n\n${id},${id}\n`)
    inbox.write('in/105.csv', 'id,n\n5,5\n1000\n1001,7\n')
    inbox.write('in/111.csv', 'n,id\n11,11\n')
    inbox.write('in/117.csv', 'id,n\n17,17.5\n')
    inbox.write('in/123.csv', 'id;n\n23;23\n')
    inbox.write('in/129.csv', Buffer.from('id,n,ort\n29,29,Köln\n', 'latin1'))
    const outcomes = await inbox.ingest('in')
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(outcomes.map(() => 'added'))
    expect(outcomes.reduce((sum, { bad }) => sum + bad, 0)).toBe(1)
    expect(await inbox.columns()).toEqual({ id: 'long', n: 'double', ort: 'string' })
    expect(await inbox.select('select count(*), sum(id)::bigint, sum(n), string_agg(ort) from {bronze.x}')).toEqual([
      ['41', String((40 * 39) / 2 + 1001), (40 * 39) / 2 + 7.5, 'Köln'],
    ])
    expect(await inbox.select('select _file, _line, _raw from {bronze.x_quarantine}')).toEqual([['in/105.csv', '3', '1000']])
    // One commit for all would be one version; one for each would be 41.
    expect((await inbox.lake.open('bronze.x').snapshot())?.version).toBeLessThan(35)
  })
  test('of which one changed are told apart from it, and one that changes back is put back', async () => {
    const inbox = await openInbox()
    fillFolder(inbox, 0, 4)
    await inbox.ingest('in')
    inbox.write('in/0002.csv', small(2000))
    const refused = await inbox.ingest('in')
    expect(refused.map(({ outcome }) => outcome)).toEqual(['known', 'known', 'refused', 'known'])
    const replaced = await inbox.ingest('in', { changed: 'replace' })
    expect(replaced.map(({ outcome }) => outcome)).toEqual(['known', 'known', 'replaced', 'known'])
    inbox.write('in/0002.csv', small(2))
    await inbox.ingest('in', { changed: 'replace' })
    expect(await inbox.select('select id from {bronze.x} order by id')).toEqual([['0'], ['1'], ['2'], ['3']])
  })
  test('of a refusal before are told no more of it when they are taken together', async () => {
    const inbox = await openInbox()
    const text = 'id,n\n1,a\n2,b\n3,4\n'
    await inbox.take(text, { name: 'in/a.csv', types: { n: t.long() } })
    inbox.write('in/b.csv', 'id,n\n4,c\n')
    expect(await inbox.ingest('in')).toMatchObject([{ outcome: 'added' }, { outcome: 'added' }])
    expect(await inbox.select('select count(*) from {bronze.x_quarantine}')).toEqual([['0']])
  })
  test('are each there once after kill -9 at any moment and a new start', { timeout: 120_000 }, async () => {
    const folder = tempFolder()
    const inbox = await openInbox([], folder)
    for (let start = 0; start < 6; start++) {
      fillFolder(inbox, start * 100, start * 100 + 100)
      const running = child(folder)
      await sleep(500 + Math.random() * 900)
      running.kill()
      await running.done
    }
    expect(await child(folder).done).toMatchObject({ code: 0 })
    expect(await inbox.select(whole)).toEqual([['600', '600', '600', (600 * 599) / 2 + 300]])
  })
  test('are each there once when three take them at once', { timeout: 120_000 }, async () => {
    const folder = tempFolder()
    const inbox = await openInbox([], folder)
    fillFolder(inbox, 0, 400)
    const ended = await Promise.all([child(folder), child(folder), child(folder)].map(({ done }) => done))
    expect(ended.map(({ code, out }) => (code === 0 && !out.includes('refused') ? 'well' : out))).toEqual(['well', 'well', 'well'])
    expect(await inbox.select(whole)).toEqual([['400', '400', '400', (400 * 399) / 2 + 200]])
  })
  test('are each there once when two take parts that overlap', { timeout: 60_000 }, async () => {
    const inbox = await openInbox()
    fillFolder(inbox, 0, 60)
    const parts = [Array.from({ length: 40 }, (_, i) => i), Array.from({ length: 40 }, (_, i) => i + 20)]
    const ended = await Promise.all(parts.map((ids) => inbox.ingest(ids.map((id) => `in/${String(id).padStart(4, '0')}.csv`))))
    expect(ended.flat().filter(({ outcome }) => outcome === 'added')).toHaveLength(60)
    expect(ended.flat().filter(({ outcome }) => outcome === 'known')).toHaveLength(20)
    expect(await inbox.select(whole)).toEqual([['60', '60', '60', (60 * 59) / 2 + 30]])
  })
})

const CHILD = (folder: string): string => `
  import { openDuck } from ${JSON.stringify(join(ROOT, 'src/lake/duck.ts'))}
  import { findFiles, openIngestion, openLake, targetOf } from ${JSON.stringify(join(ROOT, 'src/lake/index.ts'))}
  import { openFolderObjects } from ${JSON.stringify(join(ROOT, 'src/storage/index.ts'))}
  import { silentLog } from ${JSON.stringify(join(ROOT, 'src/base/index.ts'))}
  const folder = ${JSON.stringify(folder)}
  const objects = await openFolderObjects(folder + '/objects')
  const duck = await openDuck({ tempDirectory: folder + '/spill' + process.pid, threads: 1 })
  const lake = await openLake({ objects, duck, tables: [], logger: silentLog })
  const ingestion = openIngestion({ duck, temporary: folder + '/work', open: (name) => lake.open(name), hold: () => () => undefined }, { target: targetOf('bronze.x', undefined, {}) })
  const left = []
  for (const file of await findFiles(['in'], { objects, base: folder, project: folder, anyName: false })) {
    left.push(file)
  }
  while (left.length > 0) {
    const taken = await ingestion.takeNext(left)
    for (const { outcome, error, file } of taken) console.log(outcome, file, error ?? '')
    left.splice(0, taken.length)
  }
`

interface Child {
  kill(): void
  /** It has added a file, or is over. */
  readonly added: Promise<void>
  readonly done: Promise<{ readonly code: number | null; readonly out: string }>
}

function child(folder: string): Child {
  const started = spawn(process.execPath, ['--input-type=module', '-e', CHILD(folder)], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  for (const stream of [started.stdout, started.stderr]) stream.on('data', (chunk: Buffer) => (out += chunk.toString()))
  const done = new Promise<{ code: number | null; out: string }>((end) => started.once('close', (code) => end({ code, out })))
  const added = new Promise<void>((seen) => {
    started.stdout.on('data', () => out.includes('added') && seen())
    void done.then(() => seen())
  })
  return { kill: () => void started.kill('SIGKILL'), added, done }
}

/** Twelve files of 2,000 rows, each with two bad lines, some with columns of their own. */
function fill(inbox: Awaited<ReturnType<typeof openInbox>>): void {
  for (let file = 0; file < 12; file++) {
    const extra = file % 4 === 3
    const rows = Array.from({ length: 2000 }, (_, i) => `${file * 2000 + i},${i}${extra ? ',x' : ''}`)
    rows.splice(1500, 0, 'too,many,of,them')
    rows.splice(500, 0, 'short')
    inbox.write(`in/f${String(file).padStart(2, '0')}.csv`, `id,v${extra ? ',w' : ''}\n${rows.join('\n')}\n`)
  }
}

const WHOLE = 'select count(*), count(distinct id), count(distinct _file), sum(id)::bigint, count(w) from {bronze.x}'
const EXPECTED = [['24000', '24000', '12', String((24_000 * 23_999) / 2), '6000']]
const HELD = 'select count(*), count(distinct (_file, _line)) from {bronze.x_quarantine}'

test('kill -9 at any moment and a new start add every row once', { timeout: 120_000 }, async () => {
  const folder = tempFolder()
  const inbox = await openInbox([], folder)
  fill(inbox)
  for (let kill = 0; kill < 8; kill++) {
    const running = child(folder)
    // After a file, in the midst of the next one or of the one after it.
    await running.added
    await sleep(Math.random() * 60)
    running.kill()
    await running.done
  }
  const last = await child(folder).done
  expect(last).toMatchObject({ code: 0 })
  expect(await inbox.select(WHOLE)).toEqual(EXPECTED)
  expect(await inbox.select(HELD)).toEqual([['24', '24']])
})

test('three at once add every row once', { timeout: 60_000 }, async () => {
  const folder = tempFolder()
  const inbox = await openInbox([], folder)
  fill(inbox)
  const ended = await Promise.all([child(folder), child(folder), child(folder)].map(({ done }) => done))
  expect(ended.map(({ code, out }) => (code === 0 && !out.includes('refused') ? 'well' : out))).toEqual(['well', 'well', 'well'])
  expect(await inbox.select(WHOLE)).toEqual(EXPECTED)
  expect(await inbox.select(HELD)).toEqual([['24', '24']])
})
