/** What comes in as a data set and goes out as Parquet, through every step that data takes inside of the walls. */
import { execFileSync } from 'node:child_process'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { missingPython, workbench, type JobAnswer } from '../helpers/python.ts'
import { python } from '../helpers/sandbox.ts'

const types = ({ encoded }: JobAnswer): Record<string, string> => Object.fromEntries((encoded?.columns ?? []).map(({ name, type }) => [name, type]))

describe.skipIf(missingPython !== null)('data sets', () => {
  const bench = workbench()
  const csv = (data: string | Buffer, more: object = {}): Promise<JobAnswer> => bench.job({ data, format: 'csv', ...more })
  const json = (data: string | Buffer): Promise<JobAnswer> => bench.job({ data, format: 'json' })

  describe('in Parquet', () => {
    test('keep every type and value on their way through a job', async () => {
      const table = `pa.table({
        'i8': pa.array([1, -128], pa.int8()), 'i64': pa.array([1, 2**62]), 'u64': pa.array([0, 2**64 - 1], pa.uint64()),
        'i64n': pa.array([None, 2**62]), 'i8n': pa.array([None, 3], pa.int8()), 'u64n': pa.array([None, 2**64 - 1], pa.uint64()),
        'f16': pa.array([1.5, 2.5], pa.float16()), 'f32': pa.array([1.5, None], pa.float32()), 'f64': pa.array([None, float('-inf')]),
        'b': pa.array([True, False]), 'bn': pa.array([True, None]), 's': pa.array(['', None]), 'ls': pa.array(['ç', '😀'], pa.large_string()),
        'd': pa.array([datetime.date(1, 1, 1), None]), 'ts': pa.array([datetime.datetime(2024, 1, 1), None], pa.timestamp('us')),
        's_': pa.array([1, 2], pa.timestamp('s')), 'ms': pa.array([1, None], pa.timestamp('ms')), 'ns': pa.array([1, None], pa.timestamp('ns')),
        'far': pa.array([2**55, -2**55], pa.timestamp('us')), 'zone': pa.array([1, None], pa.timestamp('us', 'America/Sao_Paulo')),
        'utc': pa.array([1, 2], pa.timestamp('us', 'UTC')), 'cat': pa.array(['a', None]).dictionary_encode(),
        'dec': pa.array([Decimal('1.10'), None], pa.decimal128(10, 2)), 'dec256': pa.array([Decimal('1.10'), None], pa.decimal256(50, 2)),
        'l': pa.array([[1.0, None], None]), 'empty': pa.array([[], []], pa.list_(pa.int32())), 'll': pa.array([[['a']], []]),
        'fixed': pa.array([[1, 2], None], pa.list_(pa.int64(), 2)), 'st': pa.array([{'a': 1, 'b': 'x'}, None]),
        'nested': pa.array([{'a': {'c': [1]}}, {'a': None}]), 'm': pa.array([[('a', 1)], None], pa.map_(pa.string(), pa.int64())),
        't32': pa.array([1, None], pa.time32('ms')), 't64': pa.array([1, None], pa.time64('us')), 'tn': pa.array([1001, None], pa.time64('ns')),
        'bin': pa.array([bytes([255]), None]), 'two': pa.array([b'ab', None], pa.binary(2)), 'dur': pa.array([1, None], pa.duration('us')),
        'none': pa.nulls(2), 'lists of times': pa.array([[datetime.datetime(2024, 1, 1)], None]),
      })`
      // Parquet has no seconds.
      const { changed, answer } = await bench.job({ table })
      expect(answer?.message).toBeNull()
      expect(changed).toEqual({ s_: { types: ['timestamp[s]', 'timestamp[ms]'], values: expect.anything() } })
    })

    test('keep whole numbers and booleans with missing values whole, also when they are computed with', async () => {
      const { encoded } = await bench.job({
        table: "pa.table({'n': pa.array([1, None, 2**60]), 'b': pa.array([True, None, False])})",
        code: 'def process(df):\n    df["m"] = df["n"] + 1\n    df["kind"] = [str(kind) for kind in (df["n"].dtype, df["b"].dtype, "")]\n    return df\n',
      })
      expect(encoded?.columns.map(({ type }) => type)).toEqual(['int64', 'bool', 'int64', 'string'])
      expect(encoded?.preview).toEqual([
        [1, true, 2, 'Int64'],
        [null, null, null, 'boolean'],
        ['1152921504606846976', false, '1152921504606846977', ''],
      ])
    })

    test('keep NaN apart from a missing value in a nullable column only', async () => {
      const { rows } = await bench.job({
        table: "pa.table({'f': pa.array([float('nan'), None])})",
        code: 'import pandas as pd\ndef process(df):\n    return df.assign(g=pd.arrays.FloatingArray(df["f"].to_numpy(copy=True), df["f"].isna().to_numpy() & (df.index == 1)))\n',
      })
      expect(rows).toEqual([
        { f: null, g: 'nan' },
        { f: null, g: null },
      ])
    })

    test('may be empty, without columns, or without rows', async () => {
      expect(await bench.job({ table: "pa.table({'a': pa.array([], pa.int64()), 's': pa.array([], pa.string())})" })).toMatchObject({
        encoded: { rows: 0, columns: [{ type: 'int64' }, { type: 'string' }], preview: [] },
        changed: {},
      })
      const bare = await csv('a\n1\n2\n', { code: 'def process(df):\n    return df[[]]\n' })
      expect(bare.answer).toMatchObject({ status: 'success', rows: 2, columns: [] })
    })

    test('lose the row labels that pandas wrote without a name', async () => {
      expect((await bench.job({ table: "pa.table({'a': [1], '__index_level_0__': [5]})" })).encoded?.columns).toEqual([{ name: 'a', type: 'int64' }])
    })

    test('are refused when they are damaged or no Parquet', async () => {
      expect((await bench.job({ data: 'PAR1 and nothing else', format: 'parquet' })).dataError).toMatch(/cannot be read as parquet/)
      expect((await bench.job({ data: '', format: 'parquet' })).dataError).toMatch(/cannot be read as parquet/)
    })

    test('are refused when a few bytes stand for more than the limit', async () => {
      const bomb = await bench.job({ table: "pa.table({'a': pa.array(np.zeros(500_000)), 's': pa.repeat('x' * 100, 500_000)})", limit: 10_000_000 })
      expect(bomb.dataError).toBe('The data set is larger than 10000000 bytes once it is unpacked')
    })
  })

  describe('in CSV', () => {
    test.for([
      ['a comma', 'a,b\n1.5,x\n'],
      ['a semicolon with decimal commas', 'a;b\r\n1,5;x\r\n'],
      ['a tab', 'a\tb\n1.5\tx\n'],
      ['a pipe', 'a|b\n1.5|x\n'],
      ['a mark of UTF-8', '\ufeffa;b\n1,5;x\n'],
      ["Excel's line about the separator", 'sep=;\na;b\n1,5;x\n'],
      ['old line ends', 'a,b\r1.5,x\r'],
      ['blank lines', '\na,b\n\n1.5,x\n\n'],
      ['commas in quotes', 'a,b\n"1.5",x\n'],
      ['delimiters at the ends of lines', 'a,b\n1.5,x,\n'],
    ] as const)('are read with %s', async ([, text]) => {
      const { encoded } = await csv(text)
      expect(encoded).toEqual({
        rows: 1,
        columns: [
          { name: 'a', type: 'double' },
          { name: 'b', type: 'string' },
        ],
        preview: [[1.5, 'x']],
      })
    })

    test('are read in UTF-8, UTF-16 and windows-1252, also in their header', async () => {
      const text = 'não;cidade\n1;São Paulo “x”\n'
      const windows = Buffer.from(text.replaceAll('“', '\x93').replaceAll('”', '\x94'), 'latin1')
      for (const bytes of [Buffer.from(text), Buffer.from(`\ufeff${text}`, 'utf16le'), windows])
        expect((await csv(bytes)).rows).toEqual([{ não: 1, cidade: 'São Paulo “x”' }])
    })

    test('turn to windows-1252 also when the first byte of it comes late', async () => {
      const late = Buffer.concat([Buffer.from(`a\n${'plain\n'.repeat(30_000)}`), Buffer.from('S\xe3o\n', 'latin1')])
      const { encoded } = await csv(late, { code: 'def process(df):\n    return df.tail(1)\n' })
      expect(encoded?.preview).toEqual([['São']])
    })

    test('are read when they are compressed, whatever they are called', async () => {
      const text = 'a,b\n1,x\n'
      const bz2 = execFileSync(python, ['-c', 'import bz2, sys; sys.stdout.buffer.write(bz2.compress(sys.stdin.buffer.read()))'], { input: text })
      for (const bytes of [gzipSync(text), zstdCompressSync(text), bz2]) expect((await csv(bytes)).rows).toEqual([{ a: 1, b: 'x' }])
      expect((await csv(gzipSync(text).subarray(0, 20))).dataError).toMatch(/cannot be read as csv/)
    })

    test('are refused when they unpack to more than the limit', async () => {
      const bomb = gzipSync(`a\n${'0\n'.repeat(5_000_000)}`)
      expect(bomb.length).toBeLessThan(50_000)
      expect((await csv(bomb, { limit: 1_000_000 })).dataError).toBe('The data set is larger than 1000000 bytes once it is unpacked')
    })

    test('have the types that pandas gives: dates stay text, missing numbers make floats, texts for nothing are missing', async () => {
      const answer = await csv('d,at,n,b,f,none,t\n2024-01-01,2024-01-01T10:00:00Z,1,true,NaN,,NA\n2024-01-02,2024-01-01T10:00:00Z,,False,2.5,,x\n')
      expect(types(answer)).toEqual({ d: 'string', at: 'string', n: 'double', b: 'bool', f: 'double', none: 'double', t: 'string' })
      expect(answer.encoded?.preview).toEqual([
        ['2024-01-01', '2024-01-01T10:00:00Z', 1, true, null, null, null],
        ['2024-01-02', '2024-01-01T10:00:00Z', null, false, 2.5, null, 'x'],
      ])
    })

    test('lose no digit of a whole number', async () => {
      const key = '35240112345678000190550010000001231000001234'
      const answer = await csv(`key,big,gap,float\n${key},18446744073709551615,9007199254740993,1e30\n7,1,,2\n`)
      expect(types(answer)).toEqual({ key: 'string', big: 'uint64', gap: 'int64', float: 'double' })
      expect(answer.rows?.[0]?.['key']).toBe(key)
      expect(answer.encoded?.preview[0]).toEqual([key, '18446744073709551615', '9007199254740993', 1e30])
    })

    test('get missing values where a line is too short, and are refused where one is too long', async () => {
      expect((await csv('a;b;c\n1;2\n3;4;5\n')).encoded?.preview).toEqual([
        [1, 2, null],
        [3, 4, 5],
      ])
      expect((await csv('a,b\n1,2\n1,"x\ny",3\n')).dataError).toBe('Line 4 has 3 values, but the first line names 2 columns')
    })

    test('get distinct names for columns that have none or the same', async () => {
      expect((await csv('a,a,,a.1\n1,2,3,4\n')).decoded?.columns).toEqual(['a', 'a.2', 'Unnamed: 2', 'a.1'])
    })

    test('are refused when there is nothing to read, or nothing that is text', async () => {
      expect((await csv('')).dataError).toBe('The data set is empty: its first line must name the columns')
      expect((await csv(Buffer.from([0x50, 0x4b, 3, 4, 0, 0]))).dataError).toBe('The data set is no CSV: it holds bytes that are no text')
      expect(await csv('a,b\n')).toMatchObject({ encoded: { rows: 0, columns: [{ name: 'a' }, { name: 'b' }] } })
    })
  })

  describe('in JSON', () => {
    test('are lines or an array, with lists and objects as they are and times as text', async () => {
      const rows = [
        { a: 1, b: 'x', at: '2024-01-01T00:00:00', l: [1, 2], o: { c: '2024-01-01' } },
        { a: null, b: '😀', at: null, l: [], o: { c: 'y' } },
      ]
      const read = await Promise.all([
        json(rows.map((row) => JSON.stringify(row)).join('\n')),
        json(JSON.stringify(rows, null, 1)),
        json(Buffer.from(`\ufeff${JSON.stringify(rows)}`, 'utf16le')),
      ])
      for (const answer of read) {
        expect(types(answer)).toEqual({ a: 'double', b: 'string', at: 'string', l: 'list<int64>', o: 'struct<c: string>' })
        expect(answer.rows).toEqual(rows)
      }
    })

    test('have the columns of all rows in the order in which they come', async () => {
      expect((await json('{"b": 1}\n{"a": "2024-01-01", "b": 2}\n')).decoded?.columns).toEqual(['b', 'a'])
    })

    test('are refused with the place when they are no JSON or no rows', async () => {
      expect((await json('[1]')).dataError).toBe('Row 1 of the array is no object: each must be one, such as {"a": 1}')
      expect((await json('[{"a": 1},\n}')).dataError).toMatch(/no JSON: .* in line 2/)
      expect((await json('{"a": 1}\n{"a": "x"}\n')).dataError).toMatch(/changed from number to string in row 1/)
      expect((await json('['.repeat(100_000))).dataError).toMatch(/cannot be read as json/)
    })
  })

  describe('as results', () => {
    const returned = (expression: string): Promise<JobAnswer> =>
      csv('a,b\n1,x\n2,y\n', {
        code: `import numpy as np\nimport pandas as pd\nfrom datetime import date\n\ndef process(df):\n    return ${expression}\n`,
        validate: false,
      })

    test.for([
      ['None', /returned nothing \(None\).*return df/],
      ['df["a"]', /returned a Series; return a DataFrame: result\.to_frame\(\)/],
      ['df.to_numpy()', /returned a ndarray; return a DataFrame: pd\.DataFrame\(result\)/],
      ['[1, 2]', /returned a list/],
      ['42', /value of type int; it must return a DataFrame/],
      ['df.rename(columns={"a": 1})', /name of a column must be text, and 1 is of type int.*columns\.astype\(str\)/],
      ['df.rename(columns={"b": "a"})', /more than one column named 'a'/],
      ['df.groupby("b").agg({"a": ["sum", "mean"]})', /several levels; make one name of each/],
      ['df.rename_axis(index="a")', /more than one column named 'a', counting the index/],
      ['df.assign(c=[1, "x"])', /The column 'c' mixes values of types int, str; make them one type, for example: df\['c'\] = df\['c'\]\.astype\(str\)/],
      ['df.assign(c=[object(), None])', /The column 'c' holds values of type object/],
      ['df.assign(c=np.array([1j, 2]))', /The column 'c' is of type complex128/],
      ['df.assign(c=pd.Series(["\\ud800", "x"], dtype=object))', /The column 'c' holds text that is not Unicode/],
    ] as const)('that cannot be kept are refused in words: %s', async ([expression, message]) => {
      const { answer } = await returned(expression)
      expect(answer).toMatchObject({ status: 'error', traceback: null, line: 5 })
      expect(answer?.message).toMatch(message)
    })

    test('have named levels of their index as columns, and lose an index without a name', async () => {
      expect((await returned('df.groupby("b").sum()')).rows).toEqual([
        { b: 'x', a: 1 },
        { b: 'y', a: 2 },
      ])
      expect((await returned('df[df["a"] > 1]')).rows).toEqual([{ a: 2, b: 'y' }])
      expect((await returned('df.set_index("a", drop=False)')).decoded?.columns).toEqual(['a', 'b'])
    })

    test('have periods and intervals as their text', async () => {
      const { encoded } = await returned('df.assign(p=pd.PeriodIndex(["2024-01", None], freq="M"), i=pd.cut(df["a"], [0, 1, 2]), d=[date(2024, 1, 2), None])')
      expect(encoded?.preview).toEqual([
        [1, 'x', '2024-01', '(0, 1]', '2024-01-02'],
        [2, 'y', null, '(1, 2]', null],
      ])
    })

    test('go no further than their limit', async () => {
      const { answer } = await csv('a\n1\n', {
        code: 'import pandas as pd\ndef process(df):\n    return pd.DataFrame({"a": range(100_000)})\n',
        outputBytes: 100_000,
      })
      expect(answer).toMatchObject({ status: 'output_too_large', message: 'The result is larger than the 100000 bytes that this job may write' })
    })

    test('are shown in a preview that stays small', async () => {
      const code =
        'def process(df):\n    df["s"] = ["x" * 1_000_000] * 2\n    df["l"] = [list(range(100_000))] * 2\n    df["f"] = [float("inf"), float("nan")]\n    return df\n'
      const { encoded } = await csv('a,b\n1,x\n2,y\n', { code })
      expect(encoded?.preview).toHaveLength(2)
      expect(JSON.stringify(encoded?.preview).length).toBeLessThan(3_000)
      expect(encoded?.preview[0]?.at(-1)).toBe('Infinity')
    })
  })

  describe('from a hostile process', () => {
    const hostile = (table: string): Promise<{ dataError?: string | undefined }> =>
      bench.step('hostile', { table }, z.object({ dataError: z.string().optional(), encoded: z.unknown().optional() }))

    test.for([
      [
        "pa.table({'a': pa.array([1, 2], pa.int64()).dictionary_encode().cast(pa.dictionary(pa.int32(), pa.int64())), 'p': pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b'x' * 16] * 2, pa.binary(16)))})",
        /cannot be kept/,
      ],
      ["pa.table([pa.array([1]), pa.array([2])], names=['a', 'a'])", /two columns of the same name/],
      ["pa.table({'u': pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])})", /cannot be kept/],
      ['pa.table({str(n): [1] for n in range(10_001)})', /10001 columns/],
      ["pa.table({'x' * 2000: [1]})", /too long a name/],
      ["pa.table({'a': pa.nulls(2_000_000_000)})", /more rows than it can have/],
      ["pa.table({'a': pa.array([None], pa.struct([]))})", /cannot be kept/],
      ["pa.table({'v': pa.array(['x'], pa.string_view())})", /cannot be kept/],
      ["pa.table({'r': pa.RunEndEncodedArray.from_arrays([1], [1])})", /cannot be kept/],
    ] as const)('are refused: %s', async ([table, message]) => {
      expect((await hostile(table)).dataError).toMatch(message)
    })

    test('are refused or end the child when their bytes are broken, and are never taken for other rows', { timeout: 300_000 }, async () => {
      const table =
        "pa.table({'i': pa.array([1, None, 3]), 's': pa.array(['a', 'bcd', None]), 'l': pa.array([[1], [], None]), 'd': pa.array(['x', 'y', 'x']).dictionary_encode(), 't': pa.array([1, 2, None], pa.timestamp('us', 'UTC')), 'b': pa.array([True, False, None])})"
      const counts = z.object({ refused: z.int(), died: z.int(), taken: z.int(), wrong: z.array(z.unknown()) })
      const told = await bench.step('fuzz', { table, seed: 20_240_101, times: 400 }, counts)
      expect(told.wrong).toEqual([])
      expect(told.refused).toBeGreaterThan(50)
    })
  })

  test('of a million rows cost little besides what their bytes cost', { timeout: 300_000 }, async () => {
    const times = await bench.step('speed', { rows: 1_000_000 }, z.object({ load: z.number(), store: z.number(), encode: z.number() }))
    // Loading maps: copying these 40 MB would take longer than this.
    expect(times.load).toBeLessThan(5)
  })
})
