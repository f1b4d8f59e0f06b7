/** A job from the door to its Parquet file, and every way in which it may end. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DuckDBInstance } from '@duckdb/node-api'
import { LIMITS, missingSandbox, openTestSandbox } from '../helpers/sandbox.ts'

describe.skipIf(missingSandbox !== null)(`a job in the sandbox ${missingSandbox ?? ''}`, async () => {
  const { sandbox, folder, run } = missingSandbox === null ? await openTestSandbox() : await Promise.reject(new Error(missingSandbox))

  test('finds the walls standing', () => {
    expect(sandbox.state).toMatchObject({
      ready: true,
      layers: { user: 'unprivileged', namespaces: 'bubblewrap', seccomp: true, validator: true },
    })
  })

  test('turns a data set into a Parquet file', async () => {
    const output = join(folder, 'doubled.parquet')
    const result = await run('def process(df):\n    df["c"] = df["a"] * 2\n    return df[df["a"] > 6]\n', { output })
    expect(result).toMatchObject({ status: 'success', rows: 3, message: null, log: '', environment: 'test' })
    expect(result.columns).toEqual([
      { name: 'a', type: 'int64' },
      { name: 'b', type: 'double' },
      { name: 'c', type: 'int64' },
    ])
    expect(result.preview).toEqual([
      [7, 3.5, 14],
      [8, 4, 16],
      [9, 4.5, 18],
    ])
    expect(await query(`select sum(c)::int from '${output}'`)).toEqual([[48]])
  })

  test('gives further data sets and values by their names, and refuses a process that does not take them', async () => {
    const path = join(folder, 'names.json')
    writeFileSync(path, '{"a":1,"name":"one"}\n{"a":2,"name":"two"}\n')
    const more = { inputs: { names: { path, format: 'json', key: 'names' } }, arguments: { least: 2, label: { x: [1, null] } } } as const
    const code = 'def process(df, names, least, label=None):\n    print(label)\n    return names.merge(df, on="a").query("a >= @least")\n'
    const result = await run(code, more)
    expect(result).toMatchObject({ status: 'success', rows: 1, preview: [[2, 'two', 1]], log: "{'x': [1, None]}" })
    // Data sets are sealed: what one job does to its own is not seen by the next.
    expect((await run('def process(df, names, **others):\n    names.loc[:, "a"] = 7\n    return names\n', more)).preview).toEqual([
      [7, 'one'],
      [7, 'two'],
    ])
    expect((await run(code, more)).rows).toBe(1)
    expect(await run('def process(df, names):\n    return df\n', more)).toMatchObject({
      status: 'error',
      message: expect.stringContaining('least, label') as string,
    })
    expect(await run('def process(df, other):\n    return df\n', more)).toMatchObject({ status: 'rejected', findings: [{ code: 'process.parameters' }] })
    expect(await run('def process(df, names):\n    return df\n')).toMatchObject({ status: 'rejected' })
  })

  test('tells its phases as they begin', async () => {
    const phases: string[] = []
    await run('def process(df):\n    return df\n', {}, { onPhase: (phase) => phases.push(phase) })
    expect(phases).toEqual(['queued', 'decoding', 'validating', 'running', 'encoding'])
  })

  test('runs after a rest, for which its process has made itself ready', async () => {
    for (let n = 0; n < 3; n++) {
      await new Promise((resolve) => setTimeout(resolve, 200))
      expect(await run('import numpy as np\ndef process(df):\n    return df.assign(x=np.random.random(len(df)))\n')).toMatchObject({
        status: 'success',
        rows: 10,
      })
    }
  })

  test('passes the lines that the code prints on as they come', async () => {
    const lines: string[] = []
    const result = await run('def process(df):\n    for i in range(3):\n        print("line", i)\n    return df\n', {}, { onLog: (line) => lines.push(line) })
    expect(lines).toEqual(['line 0', 'line 1', 'line 2'])
    expect(result.log).toBe('line 0\nline 1\nline 2')
  })

  test('ends at its limit of time', async () => {
    const began = performance.now()
    const result = await run('def process(df):\n    while True:\n        pass\n', { limits: { ...LIMITS, wallMs: 500 } })
    expect(result).toMatchObject({ status: 'timeout', rows: null })
    expect(result.message).toContain('0.5 s')
    expect(performance.now() - began).toBeLessThan(20_000)
  })

  test('ends at its limit of processor time', async () => {
    const result = await run('def process(df):\n    while True:\n        pass\n', { limits: { ...LIMITS, cpuMs: 300 } })
    expect(result).toMatchObject({ status: 'timeout' })
    expect(result.message).toContain('processor time')
    expect(result.cpuMs).toBeGreaterThan(250)
  })

  test('ends when it needs more memory than it may use', async () => {
    const result = await run('import numpy as np\ndef process(df):\n    return np.ones(1 << 28)\n', { limits: { ...LIMITS, memoryBytes: 128 << 20 } })
    expect(result).toMatchObject({ status: 'memory' })
  })

  test('tells the most memory that it used, also when it was over before anybody looked', async () => {
    const quick = await run('def process(df):\n    bytearray(b"x" * 50_000_000)\n    return df\n')
    expect(quick.peakMemoryBytes).toBeGreaterThan(90_000_000)
    expect(quick.peakMemoryBytes).toBeLessThan(130_000_000)
    for (let again = 0; again < 3; again++) expect((await run('def process(df):\n    return df\n')).peakMemoryBytes).toBeLessThan(20_000_000)
  })

  test('writes no result beyond its limit', async () => {
    const code = 'import numpy as np\nimport pandas as pd\ndef process(df):\n    return pd.DataFrame({"x": np.random.rand(1_000_000)})\n'
    const output = join(folder, 'large.parquet')
    const result = await run(code, { output, limits: { ...LIMITS, outputBytes: 1 << 20 } })
    expect(result).toMatchObject({ status: 'output_too_large' })
    expect(existsSync(output)).toBe(false)
  })

  test('keeps no more log than its limit', async () => {
    const code = 'def process(df):\n    for i in range(10_000):\n        print("x" * 100)\n    return df\n'
    const result = await run(code, { limits: { ...LIMITS, logBytes: 5_000 } })
    expect(result).toMatchObject({ logTruncated: true })
    expect(result.log.length).toBeLessThanOrEqual(5_000)
    expect(result.log.length).toBeGreaterThan(4_000)
  })

  test('says what its code raised', async () => {
    const result = await run('def process(df):\n    return df["nothing"]\n')
    expect(result).toMatchObject({ status: 'error', rows: null })
    expect(result.message).toContain('nothing')
  })

  test('checks a code without running it', async () => {
    expect(await sandbox.validate('def process(df):\n    return df\n')).toEqual([])
    const [finding] = await sandbox.validate('import os\nos.system("x")\ndef process(df):\n    return df\n')
    expect(finding).toMatchObject({ code: 'import.not_allowed', line: 1 })
    await Promise.all(Array.from({ length: 20 }, () => sandbox.validate('('.repeat(100_000))))
  })

  test('gives every job the data set as it is, whatever an earlier one did to its own', async () => {
    const input = { path: join(folder, 'input.csv'), format: 'csv' as const, key: 'same' }
    await run('def process(df):\n    df["a"] = 0\n    return df\n', { input })
    const result = await run('def process(df):\n    return df[["a"]].sum().to_frame("sum")\n', { input })
    expect(result.preview).toEqual([[45]])
  })

  test('says that the data set is not there', async () => {
    const job = run('def process(df):\n    return df\n', { input: { path: join(folder, 'none.csv'), format: 'csv', key: null } })
    await expect(job).rejects.toMatchObject({ kind: 'missing' })
  })

  test('ends when its signal aborts, and leaves no file', async () => {
    const controller = new AbortController()
    const output = join(folder, 'aborted.parquet')
    const job = run(
      'def process(df):\n    print("here")\n    while True:\n        pass\n',
      { output },
      {
        signal: controller.signal,
        onLog: () => controller.abort(new Error('no longer wanted')),
      },
    )
    await expect(job).rejects.toThrow('no longer wanted')
    expect(existsSync(output)).toBe(false)
  })

  test('leaves no unfinished file behind', () => {
    expect(readdirSync(folder).filter((name) => name.includes('unfinished'))).toEqual([])
  })
})

async function query(sql: string): Promise<unknown[][]> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    return (await connection.runAndReadAll(sql)).getRows()
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}
