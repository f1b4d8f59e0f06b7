import { appendFileSync, closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { csv, type CsvOptions } from '../../src/streams/index.ts'
import { splitLine } from '../../src/streams/sources/csv-line.ts'
import { createLineCutter } from '../../src/streams/sources/lines.ts'
import { tempFolder } from '../helpers/folder.ts'
import { collect, type Collected } from './collect.ts'

const folder = tempFolder()
let made = 0

function file(content: string | Uint8Array): string {
  const path = join(folder, `${++made}.csv`)
  writeFileSync(path, content)
  return path
}

const read = (content: string | Uint8Array, options: Partial<CsvOptions> = {}): Promise<Collected> => collect(csv({ path: file(content), ...options }), [1000])
const messages = ({ values }: Collected): unknown[] => values.map((value) => JSON.parse(value) as unknown)

describe('a CSV file', () => {
  it('becomes messages of text, or of what the columns say', async () => {
    const content = 'Date;CO(GT);T\n10/03/2004;2,6;13\n11/03/2004;;-200\n'
    expect(messages(await read(content))).toEqual([
      { Date: '10/03/2004', 'CO(GT)': '2,6', T: '13' },
      { Date: '11/03/2004', 'CO(GT)': '', T: '-200' },
    ])
    const options: Partial<CsvOptions> = {
      decimal: ',',
      key: 'date',
      add: { sensor: 'roma' },
      columns: { date: 'Date', co: { from: ['CO', 'CO(GT)'], type: 'number' }, t: { from: 'T', type: 'number' } },
    }
    const found = await read(content, options)
    expect(messages(found)).toEqual([
      { sensor: 'roma', date: '10/03/2004', co: 2.6, t: 13 },
      { sensor: 'roma', date: '11/03/2004', co: null, t: -200 },
    ])
    expect(found.keys).toEqual(['10/03/2004', '11/03/2004'])
  })

  it('gives the first name that the header has, in the order of the names', async () => {
    expect(messages(await read('b;a\n1;2\n', { columns: { x: ['z', 'a', 'b'] } }))).toEqual([{ x: '2' }])
  })

  it('may have any mix of line ends, a byte order mark, blank lines and no last line end', async () => {
    const found = await read('\uFEFFa;b\r\n1;2\n\r\n3;4\r\n;\n  \n5;6')
    expect(messages(found)).toEqual([
      { a: '1', b: '2' },
      { a: '3', b: '4' },
      { a: '5', b: '6' },
    ])
    expect([found.blank, found.broken]).toEqual([3, []])
    expect(messages(await read('a;b\r\n1;2\r'))).toEqual([{ a: '1', b: '2' }])
  })

  it('with broken lines gives the others, and each broken one with its line number and reason', async () => {
    const lines = ['a;n', 'ok;1', '"open;2', 'x;y;z', 'one', '"a"b;3', 'ok;4', 'ok;zwei', 'ok;0x10', 'ok;1,5', 'ok;1e999', '"a;""b""";5']
    const bytes = Buffer.concat([Buffer.from(lines.join('\n') + '\n'), Buffer.from([0x6f, 0xff, 0x3b, 0x36, 0x0a]), Buffer.from('ok;7\n')])
    const found = await read(bytes, { columns: { a: 'a', n: { from: 'n', type: 'number' } } })
    expect(messages(found)).toEqual([
      { a: 'ok', n: 1 },
      { a: 'ok', n: 4 },
      { a: 'a;"b"', n: 5 },
      { a: 'ok', n: 7 },
    ])
    expect(found.broken.map(({ line }) => line)).toEqual([3, 4, 5, 6, 8, 9, 10, 11, 13])
    expect(found.broken.map(({ reason }) => reason.slice(0, 13))).toEqual([
      'broken quotes',
      '2 columns are',
      '2 columns are',
      'broken quotes',
      'n: "zwei" is ',
      'n: "0x10" is ',
      'n: "1,5" is n',
      'n: "1e999" is',
      'the line is n',
    ])
    expect(found.broken[0]?.text).toBe('"open;2\n')
  })

  it('does not take a thousands separator for the decimal sign', async () => {
    const found = await read('n\n1.234\n1.234,5\n1,5\n,5\n-2,\n', { decimal: ',', columns: { n: { from: 'n', type: 'number' } } })
    expect([messages(found), found.broken.map(({ line }) => line)]).toEqual([
      [{ n: 1.5 }, { n: 0.5 }, { n: -2 }],
      [2, 3],
    ])
  })

  it('keeps NUL characters for the validation to refuse', async () => {
    expect(messages(await read('a;b\n1;\0\n2;3\n'))).toEqual([
      { a: '1', b: '\0' },
      { a: '2', b: '3' },
    ])
  })

  it('passes over a line of many megabytes without keeping it, and goes on behind it', async () => {
    const path = file('a;b\n1;2\n')
    const handle = openSync(path, 'a')
    const megabyte = Buffer.alloc(1024 * 1024, 'x')
    for (let i = 0; i < 100; i++) writeSync(handle, megabyte)
    writeSync(handle, '\n3;4\n')
    for (let i = 0; i < 10; i++) writeSync(handle, megabyte)
    closeSync(handle)
    const before = process.memoryUsage()
    let most = 0
    const watch = setInterval(() => (most = Math.max(most, process.memoryUsage().arrayBuffers)), 1)
    const found = await collect(csv({ path }), [1000])
    clearInterval(watch)
    expect(messages(found)).toEqual([
      { a: '1', b: '2' },
      { a: '3', b: '4' },
    ])
    expect(found.broken.map(({ line, reason }) => [line, reason])).toEqual([
      [3, 'the line has 104857601 bytes, at most 1048576 are taken'],
      [5, 'the line has 10485760 bytes, at most 1048576 are taken'],
    ])
    expect(found.broken.every(({ text }) => text.length <= 4096 && text.startsWith('xxx'))).toBe(true)
    // What was read and is over may lie there until it is collected; the line as a whole never does.
    expect(most - before.arrayBuffers).toBeLessThan(95e6)
    expect(await collect(csv({ path }), [1], true)).toEqual(found)
  })

  it('that cannot be read says why in one sentence', async () => {
    const fault = async (content: string | Uint8Array, options: Partial<CsvOptions> = {}): Promise<unknown> =>
      read(content, options).then(
        () => null,
        (error: unknown) => (error instanceof Error ? error.message.replace(/\S+\.csv/, 'FILE') : error),
      )
    expect(await fault('')).toBe('FILE has no header line')
    expect(await fault('\n1;2\n')).toBe('FILE has no header line')
    expect(await fault('a;b;a\n')).toBe('FILE has two columns named a')
    expect(await fault('a;b\n', { columns: { x: ['y', 'z'] } })).toBe('FILE has no column y or z')
    expect(await fault('a;"b\n1;2\n')).toBe('The header of FILE has broken quotes')
    expect(await fault(Buffer.from([0xff, 0xfe, 0x61, 0x00, 0x0a]))).toBe('The header of FILE is not UTF-8 text')
    expect(await fault('x'.repeat(300_000))).toBe('The header of FILE is longer than 256 kB')
    const missing = csv({ path: join(folder, 'none.csv') })
    await expect(missing.identity()).rejects.toMatchObject({ code: 'streams.csv_missing', kind: 'missing' })
    await expect(csv({ path: join(file('a\n'), 'below.csv') }).identity()).rejects.toMatchObject({ code: 'streams.csv_missing' })
    mkdirSync(join(folder, 'folder.csv'))
    await expect(csv({ path: join(folder, 'folder.csv') }).identity()).rejects.toMatchObject({ code: 'streams.csv_is_folder', kind: 'invalid' })
    await expect(csv({ path: '/dev/null' }).identity()).rejects.toMatchObject({ code: 'streams.csv_no_file' })
    for (const delimiter of ['', ';;', '"', '\n', '\r']) expect(() => csv({ path: 'x', delimiter })).toThrow('cannot separate CSV columns')
  })

  it('with nothing but a header gives nothing', async () => {
    for (const content of ['a;b', 'a;b\n', 'a;b\r\n\r\n;\n']) expect(messages(await read(content))).toEqual([])
  })

  it('keeps its identity while it grows, also when its last line had no line end, and gives what is new', async () => {
    for (const end of ['\n', '\r\n']) {
      const path = file(`a;b${end}1;2`)
      const before = await csv({ path }).identity()
      const first = await lastNote(path)
      expect(first.values).toEqual(['{"a":"1","b":"2"}'])
      appendFileSync(path, `${end}3;4${end}${end}5;6`)
      expect(await csv({ path }).identity()).toBe(before)
      const second = await lastNote(path, first)
      expect(second).toMatchObject({ values: ['{"a":"3","b":"4"}', '{"a":"5","b":"6"}'], sequence: 3, blank: 1 })
      expect(second.note.line).toBe(6)
    }
  })

  it('is refused when what was taken of it has changed', async () => {
    const path = file('a\n1\n2\n3\n')
    const first = await lastNote(path)
    writeFileSync(path, 'a\n1\n2\n4\n5\n')
    await expect(lastNote(path, first)).rejects.toMatchObject({ code: 'streams.csv_changed' })
    writeFileSync(path, 'a\n1\n')
    await expect(lastNote(path, first)).rejects.toMatchObject({ code: 'streams.csv_changed' })
  })

  it('gives the same records however it is cut and resumed', async () => {
    const cell = fc.oneof(
      fc.constantFrom('', '1', 'ü😀', '"quoted;""x"""', 'plain', ' '),
      fc.string({ unit: fc.constantFrom('a', 'é', '1', ' '), maxLength: 6 }),
    )
    const line = fc.oneof({ weight: 6, arbitrary: fc.tuple(cell, cell).map((cells) => cells.join(';')) }, fc.constantFrom('', ';', '"open', 'a;b;c', 'one'))
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(line, fc.constantFrom('\n', '\r\n')), { maxLength: 40 }),
        fc.boolean(),
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
        async (lines, isCut, sizes) => {
          const text = 'a;b\n' + lines.map((parts) => parts.join('')).join('')
          const path = file(isCut ? text.replace(/\r?\n$/, '') : text)
          const whole = await collect(csv({ path, key: 'a' }), [1000])
          expect(await collect(csv({ path, key: 'a' }), sizes)).toEqual(whole)
          expect(await collect(csv({ path, key: 'a' }), sizes, true)).toEqual(whole)
          expect(whole.values.length + whole.broken.length + whole.blank).toBe(lines.length - (isCut && lines.at(-1)?.[0] === '' ? 1 : 0))
        },
      ),
      { numRuns: 60 },
    )
  })

  it('resumes anywhere in a file of many blocks', async () => {
    const path = file('id;text\n' + Array.from({ length: 9000 }, (_, i) => `${i};${'y'.repeat(i % 211)}\n`).join(''))
    const whole = await collect(csv({ path }), [10_000])
    expect(whole.values.length).toBe(9000)
    expect(await collect(csv({ path }), [1777, 404], true)).toEqual(whole)
  })

  it('stops between blocks when it is told to', async () => {
    const path = file('a\n' + 'x\n'.repeat(400_000))
    const stop = new AbortController()
    let seen = 0
    for await (const { values } of csv({ path }).read({ resume: null, batch: 10, rate: Number.POSITIVE_INFINITY, signal: stop.signal })) {
      seen += values.length
      stop.abort()
    }
    expect(seen).toBeLessThan(200_000)
  })
})

async function lastNote(
  path: string,
  resume: { sequence: number; note: Readonly<Record<string, unknown>> } | null = null,
): Promise<{ sequence: number; note: Readonly<Record<string, unknown>>; values: readonly string[]; blank: number | undefined }> {
  for await (const { sequence, note, values, blank } of csv({ path }).read({
    resume,
    batch: 1000,
    rate: Number.POSITIVE_INFINITY,
    signal: new AbortController().signal,
  }))
    return { sequence, note, values, blank }
  throw new Error('the source gave nothing')
}

describe('a line of CSV', () => {
  const cell = fc.string({ unit: fc.constantFrom('a', ';', ',', '"', ' ', 'é', '') })
  it('is split as RFC 4180 has it', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(cell, fc.boolean()), { minLength: 1, maxLength: 8 }), fc.constantFrom(';', ',', '\t'), (cells, delimiter) => {
        const line = cells
          .map(([text, isQuoted]) => (isQuoted || /["]/.test(text) || text.includes(delimiter) ? `"${text.replaceAll('"', '""')}"` : text))
          .join(delimiter)
        expect(splitLine(line, delimiter)).toEqual(cells.map(([text]) => text))
      }),
    )
  })

  it('has broken quotes when one stays open or something follows', () => {
    for (const line of ['"', '"a', '"a""', '"a"b', 'x;"a"b', '"a" ;b']) expect(splitLine(line, ';')).toBeNull()
    expect(splitLine('a"b;c"', ';')).toEqual(['a"b', 'c"'])
    expect(splitLine('"";""', ';')).toEqual(['', ''])
  })
})

describe('lines', () => {
  it('are the same however the bytes are cut into blocks', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: fc.constantFrom('a', '\r', 'é'), maxLength: 30 }), { maxLength: 12 }),
        fc.boolean(),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
        (texts, isOpen, sizes) => {
          const bytes = Buffer.from(texts.join('\n') + (isOpen ? '' : '\n'))
          const cutter = createLineCutter(20)
          const found: { size: number; tooLong: boolean; text: string }[] = []
          const add = ({ bytes: line, size, tooLong }: { bytes: Buffer; size: number; tooLong: boolean }): unknown =>
            found.push({ size, tooLong, text: tooLong ? '' : line.toString() })
          for (let at = 0, turn = 0; at < bytes.length; turn++) {
            const size = sizes[turn % sizes.length] ?? 1
            for (const line of cutter.push(bytes.subarray(at, at + size))) add(line)
            at += size
          }
          const last = cutter.end()
          if (last) add(last)
          const wanted = bytes
            .toString()
            .split(/(?<=\n)/)
            .filter((text) => text !== '')
          expect(found).toEqual(
            wanted.map((text) => ({ size: Buffer.byteLength(text), tooLong: Buffer.byteLength(text) > 20, text: Buffer.byteLength(text) > 20 ? '' : text })),
          )
        },
      ),
    )
  })
})
