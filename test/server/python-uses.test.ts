/** Users' Python where a project has work for it: models of tables, tasks of flows, workloads. All go through the same walls. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findEnvironment } from '../../src/sandbox/index.ts'
import { eventually, project, serve, type Served } from '../helpers/cli.ts'

const environment = await findEnvironment()
const missing = !environment.ready ? environment.message : existsSync('/usr/bin/bwrap') ? null : 'there is no bubblewrap: apt-get install bubblewrap'

/** A season, a trend, and something that looks like chance; no two values are equal. */
const SERIES = Array.from({ length: 200 }, (_, i) => Math.round((Math.sin(i / 5) * 3 + i * 0.01 + (((i * 7919) % 101) / 101 - 0.5) * 1.7) * 1e6) / 1e6)

/**
 * Features of catch22 by their published definitions (Lubba et al. 2019, and the notes on each feature at
 * https://time-series-features.gitbook.io/catch22): series are z-scored with the sample's standard deviation first.
 */
function catch22Of(series: readonly number[]): Record<string, number> {
  const n = series.length
  const mean = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0) / xs.length
  const center = mean(series)
  const deviation = Math.sqrt(series.reduce((sum, x) => sum + (x - center) ** 2, 0) / (n - 1))
  const y = series.map((x) => (x - center) / deviation)
  const differences = y.slice(1).map((x, i) => x - (y[i] ?? 0))
  const m = mean(y)
  const total = y.reduce((sum, x) => sum + (x - m) ** 2, 0)
  const correlation = (lag: number): number => y.slice(0, n - lag).reduce((sum, x, i) => sum + (x - m) * ((y[i + lag] ?? 0) - m), 0) / total
  // The first lag at which the autocorrelation is below 1/e, by a line between the lags around it; and the first minimum of it.
  let lag = 0
  while (lag < n && correlation(lag) >= 1 / Math.E) lag++
  const before = correlation(lag - 1)
  let minimum = 1
  while (!(correlation(minimum) < correlation(minimum - 1) && correlation(minimum) < correlation(minimum + 1))) minimum++
  const mode = (bins: number): number => {
    const [low, high] = [Math.min(...y), Math.max(...y)]
    const width = (high - low) / bins
    const counts = Array.from({ length: bins }, (_, bin) => y.filter((x) => Math.min(bins - 1, Math.floor((x - low) / width)) === bin).length)
    const most = Math.max(...counts)
    return mean(counts.flatMap((count, bin) => (count === most ? [low + (bin + 0.5) * width] : [])))
  }
  const longest = (holds: readonly boolean[]): number =>
    Math.max(
      ...holds
        .map((one) => (one ? '1' : ' '))
        .join('')
        .split(' ')
        .map((row) => row.length),
    )
  return {
    DN_HistogramMode_5: mode(5),
    DN_HistogramMode_10: mode(10),
    CO_FirstCrossing_acf_1e_pointOfCrossing: lag - 1 + (before - 1 / Math.E) / (before - correlation(lag)),
    CO_FirstMin_ac: minimum,
    CO_trev_1_num: mean(differences.map((d) => d ** 3)),
    MD_pNN_pnn40: differences.filter((d) => Math.abs(d) * 1000 > 40).length / (n - 1),
    SB_BinaryStats_mean_longstretch1: longest(y.slice(0, n - 1).map((x) => x - m > 0)),
    SB_BinaryStats_diff_longstretch0: longest(differences.map((d) => d < 0)),
  }
}

const PROJECT = {
  'streams/all.ts': `import { stream, t } from 'lagoa'
export const readings = stream('readings', { schema: { station: t.string(), at: t.timestamp(), value: t.double() } })
export const stations = stream('stations', { schema: { station: t.string(), name: t.string() } })
`,
  'tables/all.ts': `import { table, t } from 'lagoa'
import { readings, stations } from '../streams/all.ts'
export const raw = table('bronze.readings', { from: readings, every: '100ms' })
export const places = table('bronze.stations', { from: stations, every: '100ms' })
export const scored = table('gold.scored', { from: raw, inputs: { stations: places }, python: 'tables/score.py', columns: {
  name: t.string(), at: t.timestamp(), day: t.date(), score: t.double(), n: t.long(), last: t.boolean().nullable() } })
export const wrong = table('gold.wrong', { from: raw, python: 'tables/wrong.py', columns: { x: t.double() } })
`,
  'tables/score.py': `import pandas as pd

def process(df, stations):
    print("scoring", len(df), "readings of", len(stations), "stations")
    rows = df.merge(stations, on="station").sort_values("at")
    grouped = rows.groupby("name").agg(at=("at", "max"), score=("value", "mean"), n=("value", "size")).reset_index()
    return grouped.assign(day=grouped["at"].dt.date, last=grouped["at"] == grouped["at"].max())
`,
  'tables/wrong.py': `def process(df):
    scale = 2
    return df[["nothing"]] * scale
`,
  'tasks/score.py': `def process(df, factor=1.0, label="none"):
    return df.assign(score=df["value"] * factor, label=label)[["station", "score", "label"]]
`,
  'flows/all.ts': `import { flow, task, z } from 'lagoa'
import { raw } from '../tables/all.ts'
export const scoring = flow('scoring', { params: z.object({ factor: z.number() }) }, (p) => {
  const scored = task.python('score', { file: 'tasks/score.py', input: raw, with: { factor: p.factor, label: 'high' } })
  const best = task.python('best', { input: scored, code: 'def process(df):\\n    print("best of", len(df))\\n    return df.nlargest(1, "score")\\n' })
  task('use', { with: { best }, run: ({ best }) => ({ rows: best.rows, columns: best.columns.map(({ name, type }) => name + ' ' + type) }) })
  task.python('kept', { input: "select station, value from bronze.readings where value > 1", into: 'gold.kept', with: { factor: 2 },
    code: 'def process(df, factor):\\n    return df.assign(value=df["value"] * factor)\\n' })
  const many = task.python('many', { input: [{ n: 5000 }], code: 'import pandas as pd\\ndef process(df):\\n    return pd.DataFrame({"i": range(int(df["n"][0]))})\\n' })
  task.python('counted', { input: many, code: 'import pandas as pd\\ndef process(df):\\n    return pd.DataFrame({"n": [len(df)], "sum": [int(df["i"].sum())]})\\n' })
})
export const failing = flow('failing', {}, () => {
  task.python('score', { input: [{ a: 1 }], code: 'def process(df):\\n    return df["b"]\\n', retries: 3 })
})
export const odd = flow('odd', { params: z.object({ answer: z.boolean() }) }, (p) => {
  task('text', { with: { answer: p.answer }, run: ({ answer }) => {
    if (answer) return { text: 'half ' + String.fromCharCode(0xd83d) }
    throw new Error('nul ' + String.fromCharCode(0) + ' here')
  } })
})
export const features = flow('features', {}, () => {
  task.python('catch22', { input: ${JSON.stringify(SERIES.map((x) => ({ x })))}, code: 'import pandas as pd\\nimport catch22\\n' +
    'def process(df):\\n    found = catch22.catch22_all(df["x"].tolist())\\n    return pd.DataFrame({"name": found["names"], "value": found["values"]})\\n' })
})
export const forbidden = flow('forbidden', {}, () => {
  task.python('score', { input: "select * from read_csv('/etc/passwd')", code: 'def process(df):\\n    return df\\n' })
})
`,
}

describe.skipIf(missing !== null)(`Python in a project${missing === null ? '' : ` (skipped: ${missing})`}`, () => {
  let server: Served
  beforeAll(async () => {
    server = await serve('start', ['--project', project(PROJECT)])
    await server.post('/api/v1/streams/stations/records', [
      { station: 'a', name: 'Alfa' },
      { station: 'b', name: 'Beta' },
    ])
    await eventually('the stations are there', async () => (await rowsOf('select count(*) from bronze.stations'))?.[0]?.[0] === 2, 30_000)
    await server.post('/api/v1/streams/readings/records', [
      { station: 'a', at: '2026-01-01T10:00:00Z', value: 1 },
      { station: 'a', at: '2026-01-01T11:00:00Z', value: 3 },
      { station: 'b', at: '2026-01-02T11:30:00.123Z', value: 5 },
    ])
  }, 120_000)
  afterAll(async () => {
    expect((await server.kill()).code).toBe(0)
  })

  const rowsOf = (sql: string): Promise<unknown[][] | undefined> =>
    server.post<{ rows: unknown[][] }>('/api/v1/query', { sql }).then(
      ({ rows }) => rows,
      () => undefined,
    )

  async function run(flow: string, params: object = {}): Promise<{ id: string; state: string; error: { code: string; message: string } | null }> {
    const { id } = await server.post<{ id: string }>(`/api/v1/flows/${flow}/runs`, { params })
    return eventually(
      `the run of ${flow} is over`,
      async () => {
        const found = await server.get<{ id: string; state: string; endedAt: number | null; error: { code: string; message: string } | null }>(
          `/api/v1/runs/${id}`,
        )
        return found.endedAt === null ? undefined : found
      },
      60_000,
      100,
    )
  }

  test('a model is made by its script from its table and its further inputs', async () => {
    const rows = await eventually(
      'the model has its rows',
      async () => {
        const found = await rowsOf('select name, "at", day, score, n, "last" from gold.scored order by name')
        return found?.length === 2 ? found : undefined
      },
      60_000,
      200,
    )
    expect(rows).toEqual([
      ['Alfa', '2026-01-01T11:00:00.000Z', '2026-01-01', 2, 2, false],
      ['Beta', '2026-01-02T11:30:00.123Z', '2026-01-02', 5, 1, true],
    ])
  }, 90_000)

  test('new rows of its input change it', async () => {
    await server.post('/api/v1/streams/readings/records', [{ station: 'b', at: '2026-01-03T00:00:00Z', value: 15 }])
    await eventually('it has followed', async () => (await rowsOf("select score from gold.scored where name = 'Beta'"))?.[0]?.[0] === 10, 60_000, 200)
  }, 90_000)

  test('a script that fails is told with its file and line, and the table stays as it was', async () => {
    const answer = await fetch(`${server.url}/api/v1/tables/gold.wrong/refresh`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    })
    const { error } = (await answer.json()) as { error: { code: string; message: string } }
    expect({ status: answer.status, code: error.code }).toEqual({ status: 400, code: 'process.error' })
    expect(error.message).toMatch(/tables\/wrong\.py, line 3: .*nothing/)
  }, 60_000)

  test('lineage knows of which tables a Python model is made', async () => {
    const { nodes } = await server.get<{ nodes: { id: string }[] }>('/api/v1/lineage?asset=table:gold.scored&depth=1')
    expect(nodes.map(({ id }) => id)).toEqual(expect.arrayContaining(['table:bronze.readings', 'table:bronze.stations']))
  })

  test('tasks of a flow pass rows on, small ones inline, large ones as an object, and write a table', async () => {
    const { id, state, error } = await run('scoring', { factor: 10 })
    expect({ state, error }).toEqual({ state: 'succeeded', error: null })
    const { items } = await server.get<{ items: { name: string; output: Record<string, unknown> }[] }>(`/api/v1/runs/${id}/tasks`)
    const output = (name: string): Record<string, unknown> | undefined => items.find((one) => one.name === name)?.output
    expect(output('use')).toEqual({
      rows: [{ station: 'b', score: 150, label: 'high' }],
      columns: ['station string', 'score double', 'label string'],
    })
    expect(output('score')).toMatchObject({ count: 4, rows: expect.any(Array) as unknown[], object: expect.any(String) as string })
    expect(output('many')).toMatchObject({ count: 5000, rows: null, table: null, object: expect.stringMatching(/^runs\/.*\.parquet$/) as string })
    expect(output('counted')).toMatchObject({ rows: [{ n: 5000, sum: 12_497_500 }] })
    expect(output('kept')).toMatchObject({ count: 3, table: 'gold.kept', rows: null })
    expect(await rowsOf('select station, value from gold.kept order by value')).toEqual([
      ['a', 6],
      ['b', 10],
      ['b', 30],
    ])
    const logs = await server.get<{ items: { text: string }[] }>(`/api/v1/runs/${id}/logs`)
    expect(logs.items.map(({ text }) => text)).toContain('best of 4')
  }, 90_000)

  test('a task whose code fails is not tried again, and says where', async () => {
    const { id, state, error } = await run('failing')
    expect({ state, code: error?.code }).toEqual({ state: 'failed', code: 'process.error' })
    expect(error?.message).toMatch(/the code, line 2: .*KeyError/)
    const { items } = await server.get<{ items: unknown[] }>(`/api/v1/runs/${id}/tasks/0/attempts`)
    expect(items).toHaveLength(1)
  }, 60_000)

  test('a text that the database cannot hold fails its own task and no other', async () => {
    expect(await run('odd', { answer: false })).toMatchObject({ state: 'failed', error: { message: 'nul \uFFFD here' } })
    expect(await run('odd', { answer: true })).toMatchObject({ state: 'failed', error: { code: 'flows.not_json' } })
    expect((await run('failing')).error?.code).toBe('process.error')
  }, 60_000)

  test('catch22 computes what its definition says', async () => {
    const { id, state, error } = await run('features')
    expect({ state, error }).toEqual({ state: 'succeeded', error: null })
    const { items } = await server.get<{ items: { name: string; output: { rows: { name: string; value: number }[] } }[] }>(`/api/v1/runs/${id}/tasks`)
    const found = new Map(items[0]?.output.rows.map(({ name, value }) => [name, value]))
    expect(found.size).toBe(22)
    const wanted = catch22Of(SERIES)
    for (const [name, value] of Object.entries(wanted)) expect(found.get(name), name).toBeCloseTo(value, 5)
  }, 60_000)

  test('the query of a task reads tables and nothing else', async () => {
    const { state, error } = await run('forbidden')
    expect(state).toBe('failed')
    expect(error?.message).toMatch(/read_csv|only tables|table/)
  }, 60_000)

  test('a workload keeps what a code makes of a table, and of a file, page by page', async () => {
    const results = async (params: object): Promise<{ items: Record<string, unknown>[]; cursor?: string }> => {
      const { id } = await server.post<{ id: string }>('/workloads', { name: 'squares', kind: 'python', params })
      const last = await eventually(
        'the workload has run',
        async () => {
          const { lastRun } = await server.get<{ lastRun: { state: string; error: unknown } | null }>(`/workloads/${id}`)
          return lastRun && ['succeeded', 'failed'].includes(lastRun.state) ? lastRun : undefined
        },
        60_000,
      )
      expect(last).toMatchObject({ state: 'succeeded', error: null })
      return server.get(`/workloads/${id}/results?limit=2`)
    }
    const ofTable = await results({
      source: 'project.bronze.readings',
      code: 'def process(df):\n    return df.sort_values("value")[["value", "at"]].assign(square=df["value"] ** 2)\n',
    })
    expect(ofTable).toEqual({
      items: [
        { value: 1, at: '2026-01-01T10:00:00.000Z', square: 1 },
        { value: 3, at: '2026-01-01T11:00:00.000Z', square: 9 },
      ],
      cursor: '2',
    })
    mkdirSync(join(server.home, 'objects/data'), { recursive: true })
    writeFileSync(join(server.home, 'objects/data/n.csv'), 'n\n1\n2\n3\n')
    const ofFile = await results({ source: 'data/n.csv', code: 'def process(df):\n    return df[df["n"] > 2]\n', timeout: 30, memory: 256 })
    expect(ofFile).toEqual({ items: [{ n: 3 }] })
  }, 120_000)

  test.each([
    [{ source: 'bronze.readings', code: 'import os\ndef process(df):\n    return df\n' }, /line 1: .*os cannot be imported/],
    [{ source: 'data/nothing.csv', code: 'def process(df):\n    return df\n' }, /no object data\/nothing\.csv/],
    [{ source: 'data/n.csv', code: 'def process(df):\n    return df\n', timeout: 1e6 }, /most here/],
    [{ source: 'data/n.csv', code: 'def process(df):\n    return df.rename(columns={"n": "_position"})\n' }, /_position/],
  ])(
    'a workload that cannot be says why: %j',
    async (params, words) => {
      const { id } = await server.post<{ id: string }>('/workloads', { name: 'wrong', kind: 'python', params })
      const fault = await eventually(
        'it has failed',
        async () => (await server.get<{ lastRun: { state: string; error: { message: string } | null } | null }>(`/workloads/${id}`)).lastRun?.error?.message,
        60_000,
      )
      expect(fault).toMatch(words)
    },
    90_000,
  )
})
