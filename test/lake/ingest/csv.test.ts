/** CSV as the world writes it. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { t } from '../../../src/base/index.ts'
import { openInbox } from './place.ts'

const UCI = join(import.meta.dirname, '../../../../shared/data/AirQualityUCI.csv')
const aside = 'select _line, _byte, _column, _error, _raw from {bronze.x_quarantine} order by _line'

describe('a CSV file', () => {
  test('is read with the types that its values show', async () => {
    const inbox = await openInbox()
    const outcome = await inbox.take(
      'id,name,co,on,at,flag,cep\n1,Ana,2.5,2026-01-31,2026-01-31 10:00:00,true,01310\n2,,3,2026-02-01,2026-02-01 11:30:00,false,90000\n',
    )
    expect(outcome).toMatchObject({ outcome: 'added', rows: 2, bad: 0, blank: 0, version: 1 })
    expect(await inbox.columns()).toEqual({ id: 'long', name: 'string', co: 'double', on: 'date', at: 'timestamp', flag: 'boolean', cep: 'string' })
    expect(await inbox.select('select * exclude (_ingested_at) replace ("at"::varchar as "at", "on"::varchar as "on") from {bronze.x} order by id')).toEqual([
      ['1', 'Ana', 2.5, '2026-01-31', '2026-01-31 10:00:00+00', true, '01310', outcome.file],
      ['2', null, 3, '2026-02-01', '2026-02-01 11:30:00+00', false, '90000', outcome.file],
    ])
  })
  test('may have semicolons, decimal commas, CRLF, a byte order mark and blank rows', async () => {
    const inbox = await openInbox()
    const outcome = await inbox.take('\ufeffid;co;dia\r\n1;2,5;31/01/2026\r\n;;\r\n2;-200,25;01/02/2026\r\n;;\r\n')
    expect(outcome).toMatchObject({ rows: 2, bad: 0, blank: 2 })
    expect(await inbox.select('select id, co, dia::varchar from {bronze.x} order by id')).toEqual([
      ['1', 2.5, '2026-01-31'],
      ['2', -200.25, '2026-02-01'],
    ])
  })
  test('shows its decimal comma also when one value is none', async () => {
    const inbox = await openInbox()
    expect(await inbox.take('id;co\n1;2,5\n2;3,25\n3;x\n', { types: { co: t.double() } })).toMatchObject({ rows: 2, bad: 1 })
    expect(await inbox.select('select co from {bronze.x} order by id')).toEqual([[2.5], [3.25]])
  })
  test('may have texts that mean no value', async () => {
    const inbox = await openInbox()
    await inbox.take('id,co\n1,-200\n2,NA\n3,7\n', { null: ['-200', 'NA'] })
    expect(await inbox.columns()).toEqual({ id: 'long', co: 'long' })
    expect(await inbox.select('select co from {bronze.x} order by id')).toEqual([[null], [null], ['7']])
  })
  test('keeps newlines, delimiters and quotes inside of quotes', async () => {
    const inbox = await openInbox()
    expect(await inbox.take('id,text\n1,"a\nb"\n2,"c, ""d"""\n3,e\n')).toMatchObject({ rows: 3, bad: 0 })
    expect(await inbox.select('select text from {bronze.x} order by id')).toEqual([['a\nb'], ['c, "d"'], ['e']])
  })
  test('in latin-1 or UTF-16 is read in what it is, and told so', async () => {
    const inbox = await openInbox()
    const text = 'nome;cidade\nJosé;São Paulo\nIngrid;Köln\n'
    expect((await inbox.take(Buffer.from(text, 'latin1'))).notes).toContain('read as windows-1252')
    expect((await inbox.take(Buffer.from(`\ufeff${text}`, 'utf16le'))).notes).toContain('read as utf-16le')
    expect(await inbox.select('select nome, cidade, count(*) from {bronze.x} group by all order by 1')).toEqual([
      ['Ingrid', 'Köln', '2'],
      ['José', 'São Paulo', '2'],
    ])
  })
  test('that is UTF-8 but for one line has one bad line', async () => {
    const inbox = await openInbox()
    const good = Array.from({ length: 40 }, (_, i) => `${i},é${i}\n`).join('')
    const outcome = await inbox.take(Buffer.concat([Buffer.from(`id,t\n${good}99,`), Buffer.from([0xe9]), Buffer.from('\n')]))
    expect(outcome).toMatchObject({ rows: 40, bad: 1 })
    expect(await inbox.select('select _line, _column from {bronze.x_quarantine}')).toEqual([['42', 't']])
  })
  test('of two kinds of line ends is read', async () => {
    const inbox = await openInbox()
    expect(await inbox.take('a,b\r\n1,2\n3,4\r\n5,6\n')).toMatchObject({ rows: 3, bad: 0 })
  })
  test('without a header has numbered columns', async () => {
    const inbox = await openInbox()
    await inbox.take('1,x\n2,y\n')
    expect(await inbox.columns()).toEqual({ column0: 'long', column1: 'string' })
  })
  test('with odd names gets names that a table can have, and tells the change', async () => {
    const inbox = await openInbox()
    const outcome = await inbox.take('CO(GT),PT08.S1 (CO),a b,A B,a b,_file,Ano=1\n1,2,3,4,5,x,7\n')
    expect(Object.keys(await inbox.columns())).toEqual(['CO_GT', 'PT08_S1_CO', 'a_b', 'A_B_1', 'a_b_2', '_file_1', 'Ano_1'])
    expect(outcome.renamed).toContainEqual({ from: 'CO(GT)', to: 'CO_GT' })
    expect(outcome.renamed).toContainEqual({ from: '_file', to: '_file_1' })
  })
  test('with 200 columns and a trailing delimiter has 200 columns', async () => {
    const inbox = await openInbox()
    const names = Array.from({ length: 200 }, (_, i) => `c${i}`).join(';')
    const line = (start: number): string => Array.from({ length: 200 }, (_, i) => String(start + i)).join(';')
    expect(await inbox.take(`${names};\n${line(1)};\n${line(2)};\n`)).toMatchObject({ rows: 2, bad: 0 })
    expect(Object.keys(await inbox.columns())).toHaveLength(200)
  })
  test('of no bytes, or of a header alone, adds nothing and makes no table', async () => {
    const inbox = await openInbox()
    expect(await inbox.take('')).toMatchObject({ outcome: 'empty' })
    expect(await inbox.take('a,b,c\n')).toMatchObject({ outcome: 'empty', rows: 0 })
    expect(await inbox.lake.open('bronze.x').snapshot()).toBeNull()
  })
  test('keeps whole numbers too long for a number as text', async () => {
    const inbox = await openInbox()
    await inbox.take('card,n\n12345678901234567890,1\n1,2\n')
    expect(await inbox.select('select card from {bronze.x} order by n')).toEqual([['12345678901234567890'], ['1']])
  })
  test('takes the types that are asked for', async () => {
    const inbox = await openInbox()
    await inbox.take('id,n\n7,1\n', { types: { id: t.string() } })
    expect(await inbox.columns()).toEqual({ id: 'string', n: 'long' })
  })
  test('of readings with two empty columns at its end has its 9,357 rows', async (context) => {
    if (!existsSync(UCI)) return context.skip('the file is not on this machine')
    const inbox = await openInbox()
    const [outcome] = await inbox.ingest(UCI)
    expect(outcome).toMatchObject({ rows: 9357, bad: 0, blank: 114 })
    expect(await inbox.columns()).toEqual({
      Date: 'date',
      Time: 'string',
      CO_GT: 'double',
      PT08_S1_CO: 'long',
      NMHC_GT: 'long',
      C6H6_GT: 'double',
      PT08_S2_NMHC: 'long',
      NOx_GT: 'long',
      PT08_S3_NOx: 'long',
      NO2_GT: 'long',
      PT08_S4_NO2: 'long',
      PT08_S5_O3: 'long',
      T: 'double',
      RH: 'double',
      AH: 'double',
    })
    expect(
      await inbox.select(
        'select count(*) filter (where CO_GT > 10), count(*) filter (where NO2_GT > 200), count(*) filter (where CO_GT = -200), min(Date)::varchar, max(Date)::varchar from {bronze.x}',
      ),
    ).toEqual([['5', '386', '1683', '2004-03-10', '2005-04-04']])
  })
})

describe('bad lines', () => {
  test('are kept aside with line, byte, column, reason and text, and the good ones are added', async () => {
    const inbox = await openInbox()
    const text = 'id,t,n\r\n1,"a\r\nb",2\r\n2,x,zz\r\n3,y\r\n4,z,6,7\r\n5,é,8\r\n6,é,nine\r\n7,w,1\r\n8,w,1\r\n'
    const outcome = await inbox.take(text, { types: { n: t.long() } })
    expect(outcome).toMatchObject({ outcome: 'added', rows: 4, bad: 4 })
    const at = (part: string): string => String(Buffer.byteLength(text.slice(0, text.indexOf(part))))
    const rows = await inbox.select(aside)
    expect(rows.map(([line, byte, column, , raw]) => [line, byte, column, raw])).toEqual([
      ['4', at('2,x'), 'n', '2,x,zz'],
      ['5', at('3,y'), 'n', '3,y'],
      ['6', at('4,z'), null, '4,z,6,7'],
      ['8', at('6,é'), 'n', '6,é,nine'],
    ])
    expect(String(rows[0]?.[3])).toContain('zz')
    expect(await inbox.select('select id from {bronze.x} order by id')).toEqual([['1'], ['5'], ['7'], ['8']])
  })
  test('have their exact place in a large file', async () => {
    const inbox = await openInbox()
    const lines = ['id,text,n']
    const bad: number[] = []
    for (let i = 0; i < 120_000; i++) {
      const isBad = i % 7919 === 7000
      if (isBad) bad.push(i)
      lines.push(`${i},"${'x'.repeat(180)}${i % 3 === 0 ? '\n' : ''}",${isBad ? 'oops' : i}`)
    }
    const text = lines.join('\n')
    const outcome = await inbox.take(text, { types: { n: t.long() } })
    expect(outcome).toMatchObject({ rows: 120_000 - bad.length, bad: bad.length })
    const bytes = Buffer.from(text)
    for (const [line, byte, , , raw] of await inbox.select(aside)) {
      const start = Number(byte)
      expect(bytes.subarray(start, start + String(raw).length).toString()).toBe(raw)
      expect(bytes.subarray(0, start).toString().split('\n').length).toBe(Number(line))
    }
    expect((await inbox.select('select _raw from {bronze.x_quarantine} order by _line')).map(([raw]) => Number.parseInt(String(raw), 10))).toEqual(bad)
  })
  test('of a guess that turns out wrong further down are not bad: the column is read as what it is', async () => {
    const inbox = await openInbox()
    const filler = 'y'.repeat(150)
    const line = (i: number): string => `${i},${i < 150_000 ? i : `${i}.5`},${filler}`
    const text = `id,v,t\n${Array.from({ length: 160_000 }, (_, i) => line(i)).join('\n')}\n`
    expect(await inbox.take(text)).toMatchObject({ rows: 160_000, bad: 0 })
    expect(await inbox.columns()).toMatchObject({ id: 'long', v: 'double' })
    expect(await inbox.select('select v from {bronze.x} where id = 155000')).toEqual([[155000.5]])
  })
  test('that are few below a guess are kept aside', async () => {
    const inbox = await openInbox()
    const filler = 'y'.repeat(150)
    const text = `id,v,t\n${Array.from({ length: 160_000 }, (_, i) => `${i},${i === 155_000 ? 'broken' : i},${filler}`).join('\n')}\n`
    expect(await inbox.take(text)).toMatchObject({ rows: 159_999, bad: 1 })
    expect(await inbox.select('select _line, _column from {bronze.x_quarantine}')).toEqual([['155002', 'v']])
  })
  test('in greater number than good ones are a file that is refused, with the first one named', async () => {
    const inbox = await openInbox()
    const outcome = await inbox.take('id,n\n1,a\n2,b\n3,4\n', { types: { n: t.long() } })
    expect(outcome).toMatchObject({ outcome: 'refused', rows: 0, error: { code: 'lake.file_refused' } })
    expect(outcome.error?.message).toContain('line 2')
    expect(await inbox.lake.open('bronze.x').snapshot()).toBeNull()
    expect(await inbox.select('select _file, _line, _raw from {bronze.x_quarantine}')).toEqual([[outcome.file, null, null]])
  })
  test('of a refused file are told no more when it was ingested after all', async () => {
    const inbox = await openInbox()
    const text = 'id,n\n1,a\n2,b\n3,4\n'
    await inbox.take(text, { name: 'x.csv', types: { n: t.long() } })
    expect(await inbox.take(text, { name: 'x.csv' })).toMatchObject({ outcome: 'added', rows: 3 })
    expect(await inbox.select('select count(*) from {bronze.x_quarantine}')).toEqual([['0']])
  })
})

describe('a large CSV file', () => {
  const filler = 'y'.repeat(150)
  const large = (line: (i: number) => string, rows = 120_000): string => `id,v,t\n${Array.from({ length: rows }, (_, i) => line(i)).join('\n')}\n`

  test('becomes one data file whose statistics tell its bounds', async () => {
    const inbox = await openInbox()
    expect(await inbox.take(large((i) => `${i},${i / 4},${filler}`))).toMatchObject({ outcome: 'added', rows: 120_000, bad: 0 })
    const table = inbox.lake.open('bronze.x')
    expect(await table.snapshot()).toMatchObject({ version: 1, fileCount: 1, rowCount: 120_000 })
    expect(await inbox.select('select count(*), count(distinct id), sum(id)::bigint, sum(v), any_value(_file) is not null from {bronze.x}')).toEqual([
      ['120000', '120000', String((120_000 * 119_999) / 2), (120_000 * 119_999) / 8, true],
    ])
    expect(await table.scan((await table.snapshot())!, { where: 'id > 120000' })).not.toContain('read_parquet')
  })
  test('keeps its rows in the order of its lines', async () => {
    const inbox = await openInbox()
    await inbox.take(large((i) => `${(i * 7919) % 120_000},${i},${filler}`))
    expect(await inbox.select('select count(*) from (select v, row_number() over () as n from {bronze.x}) where v <> n - 1')).toEqual([['0']])
  })
  test('may write whole numbers in other ways than they are printed', async () => {
    const inbox = await openInbox()
    const odd = [' 7', '+7', '007', '7 ']
    expect(await inbox.take(large((i) => `${i},${i < 110_000 ? i : odd[i % 4]},${filler}`))).toMatchObject({ rows: 120_000, bad: 0 })
    expect(await inbox.columns()).toMatchObject({ v: 'long' })
    expect(await inbox.select('select distinct v from {bronze.x} where id >= 110000')).toEqual([['7']])
  })
  test('whose fractions come late is not rounded in a table of whole numbers', async () => {
    const inbox = await openInbox()
    await inbox.take('id,v,t\n1,1,a\n')
    const text = large((i) => `${i},${i === 119_000 ? '2.5' : i},${filler}`)
    expect(await inbox.take(text, { schema: 'freeze' })).toMatchObject({ rows: 119_999, bad: 1 })
    expect(await inbox.select('select _column, _raw is not null from {bronze.x_quarantine}')).toEqual([['v', true]])
  })
  test('that is known under another name is known again, whatever its size', async () => {
    const inbox = await openInbox()
    const text = large((i) => `${i},${i},${filler}`)
    expect(await inbox.take(text)).toMatchObject({ outcome: 'added' })
    expect(await inbox.take(text)).toMatchObject({ outcome: 'known' })
    expect((await inbox.lake.open('bronze.x').snapshot())?.version).toBe(1)
  })
  test('in latin-1 is read in it, also when it looks like UTF-8 at first', async () => {
    const inbox = await openInbox()
    const outcome = await inbox.take(
      Buffer.from(
        large((i) => `${i},${i},${filler}${i < 100_000 ? '' : 'é'}`),
        'latin1',
      ),
    )
    expect(outcome).toMatchObject({ outcome: 'added', rows: 120_000, bad: 0 })
    expect(outcome.notes).toContain('read as windows-1252')
    expect(await inbox.select("select count(*) from {bronze.x} where t like '%é'")).toEqual([['20000']])
  })
  test('that has less than the table, and times without end, is taken as it is', async () => {
    const inbox = await openInbox()
    await inbox.take('id,v,t,more\n-1,2026-01-31 10:00:00,a,b\n')
    const text = large((i) => `${i},${i === 50_000 ? '' : i === 50_001 ? 'infinity' : '2026-01-31 10:00:00'},${filler}`)
    expect(await inbox.take(text, { types: { v: t.timestamp() } })).toMatchObject({ rows: 120_000, bad: 0 })
    expect(await inbox.select('select v::varchar, more from {bronze.x} where id in (-1, 49999, 50000, 50001) order by id')).toEqual([
      ['2026-01-31 10:00:00+00', 'b'],
      ['2026-01-31 10:00:00+00', null],
      [null, null],
      ['infinity', null],
    ])
  })
})

test('random tables come back as they were written', async () => {
  const inbox = await openInbox()
  const cell = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.constantFrom('a,b', 'say "so"', 'two\nlines', 'x;y', 'tab\there', "it's", '\\', '#no comment'),
  )
  const word = cell.filter((text) => text.trim() !== '' && !['\r', '\0', '\u2028', '\ufeff'].some((odd) => text.includes(odd)) && text.isWellFormed())
  let round = 0
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 6 }).chain((width) => fc.array(fc.array(word, { minLength: width, maxLength: width }), { minLength: 1, maxLength: 30 })),
      fc.constantFrom(',', ';', '\t', '|'),
      fc.constantFrom('\n', '\r\n'),
      async (table, delimiter, end) => {
        const into = `bronze.r${++round}`
        const names = table[0]?.map((_, i) => `c${i}`) ?? []
        const quote = (text: string): string => `"${text.replaceAll('"', '""')}"`
        const text = [names.join(delimiter), ...table.map((row) => row.map(quote).join(delimiter))].join(end) + end
        const types = Object.fromEntries(names.map((name) => [name, t.string()]))
        const outcome = await inbox.take(text, { into, delimiter, header: true, types })
        expect(outcome).toMatchObject({ outcome: 'added', rows: table.length, bad: 0 })
        expect(await inbox.select(`select ${names.join(', ')} from {${into}}`)).toEqual(table)
      },
    ),
    { numRuns: 40 },
  )
})
