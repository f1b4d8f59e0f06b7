/** Every route answers as the API's description says, on a server with the example project's data. */
import { z } from 'zod'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as wire from '../../src/server/wire.ts'
import { readings, writeReadings } from '../examples/readings.ts'
import { EXAMPLE, eventually, newHome, once, serve, temporaryFolder, type Served } from '../helpers/cli.ts'

let server: Served
let run: string
let workload: string
let job: string
let backfill: string

interface Operation {
  readonly operationId: string
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly required: boolean; readonly schema: Readonly<Record<string, unknown>> }[]
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Readonly<Record<string, { readonly schema: unknown }>> }>>
  readonly 'x-access': { readonly action: string; readonly resource: string }
}
interface Document {
  readonly openapi: string
  readonly info: { readonly title: string; readonly version: string }
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> }
}

beforeAll(async () => {
  const home = newHome()
  const path = join(temporaryFolder('routes'), 'small.csv')
  writeReadings(path, readings(300))
  await once(['--data', path], { home })
  server = await serve('start', ['--project', EXAMPLE, '--data', path], { home })
  await server.post('/api/v1/streams/sensor_raw/records', [{ sensor: 'Monza', at: new Date().toISOString(), co: 12, no2: 100 }])
  await server.post('/api/v1/streams/sensor_raw/groups/readers/offsets', { offset: 7 })
  const ofGroup = await server.get<{ items: { offset: number }[] }>('/api/v1/streams/sensor_raw/records?group=readers&limit=2')
  expect(ofGroup.items.map(({ offset }) => offset)).toEqual([7, 8])
  await server.post('/api/v1/rules/air_episode/silences', { for: '1h', reason: 'a test' })
  const filled = await server.post<{ id: string }>('/api/v1/flows/pipeline_sensor_airflow/backfills', {
    partitions: ['one'],
    params: { path: 'air-quality/nothing.csv' },
  })
  await server.post('/api/v1/branches', { name: 'dev', tables: ['silver.readings'] })
  const { id } = await server.post<{ id: string }>('/api/v1/flows/pipeline_sensor_airflow/runs', { params: { path: 'air-quality/nothing.csv' } })
  run = id
  const { id: made } = await server.post<{ id: string }>('/workloads', { name: 'cars', kind: 'sql', params: { sql: 'select 1 as n' } })
  workload = made
  mkdirSync(join(home, 'objects/data'), { recursive: true })
  writeFileSync(join(home, 'objects/data/n.csv'), 'n\n1\n')
  const asked = await fetch(`${server.url}/process`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', prefer: 'respond-async' },
    body: JSON.stringify({ dataset_path: 'data/n.csv', code: 'def process(df):\n    return df\n' }),
  })
  job = ((await asked.json()) as { job_id: string }).job_id
  backfill = filled.id
  await eventually(
    'the workload has run',
    async () => (await server.get<{ lastRun: { state: string } | null }>(`/workloads/${made}`)).lastRun?.state === 'succeeded',
  )
  await eventually('a task has failed', async () => (await server.get<{ items: unknown[] }>(`/api/v1/runs/${id}/tasks/0/attempts`)).items.length > 0)
  await eventually('the reading is live', async () => (await server.get<{ items: unknown[] }>('/api/v1/streams/sensor_raw/latest')).items.length > 0)
}, 60_000)
afterAll(async () => {
  expect((await server.kill()).code).toBe(0)
})

const SAMPLES: Readonly<Record<string, string>> = {
  '/api/v1/streams/{name}': 'sensor_raw',
  '/api/v1/streams/{name}/records': 'sensor_raw',
  '/api/v1/streams/{name}/dead-letters': 'sensor_raw',
  '/api/v1/streams/{name}/groups': 'sensor_raw',
  '/api/v1/streams/{name}/latest': 'sensor_raw',
  '/api/v1/streams/{name}/series': 'sensor_raw',
  '/api/v1/tables/{name}': 'silver.readings',
  '/api/v1/tables/{name}/rows': 'silver.readings',
  '/api/v1/tables/{name}/history': 'silver.readings',
  '/api/v1/tables/{name}/checks': 'silver.readings',
  '/api/v1/tables/{name}/profile': 'silver.readings',
  '/api/v1/tables/{name}/drift': 'silver.readings',
  '/api/v1/keys/{key}': 'sensor_raw:Monza',
  '/api/cache/{key}': 'sensor:10/03/2004:18.00.00',
  '/api/history/{filename}': '10/03/2004_18.00.00',
  '/api/v1/assets/{id}': 'table:silver.readings',
  '/api/v1/branches/{name}': 'dev',
  '/api/v1/branches/{name}/diff': 'dev',
  '/api/v1/flows/{name}': 'pipeline_sensor_airflow',
}
const QUERIES: Readonly<Record<string, string>> = {
  '/api/v1/streams/{name}/series': '?fields=co,no2&from=1078900000000&until=1090000000000',
  '/api/v1/lineage': '?asset=table:silver.readings&depth=1',
  '/api/v1/impact': '?asset=sensor_raw&column=co',
  '/api/v1/branches/{name}/diff': '?table=silver.readings',
}
const SHAPES: Readonly<Record<string, z.ZodType>> = {
  '/api/v1/system': wire.System,
  '/api/v1/services': wire.ServiceList,
  '/api/v1/nodes': wire.NodeList,
  '/api/v1/overview': wire.Overview,
  '/api/v1/streams': wire.StreamList,
  '/api/v1/streams/{name}': wire.StreamDetail,
  '/api/v1/streams/{name}/records': wire.RecordList,
  '/api/v1/streams/{name}/dead-letters': wire.DeadLetterList,
  '/api/v1/streams/{name}/groups': wire.GroupList,
  '/api/v1/streams/{name}/latest': wire.LatestList,
  '/api/v1/streams/{name}/series': wire.SeriesShape,
  '/api/v1/tables': wire.TableList,
  '/api/v1/tables/{name}': wire.TableShape,
  '/api/v1/tables/{name}/rows': wire.QueryResult,
  '/api/v1/tables/{name}/history': wire.VersionList,
  '/api/v1/tables/{name}/checks': wire.CheckList,
  '/api/v1/tables/{name}/profile': wire.ProfileShape,
  '/api/v1/tables/{name}/drift': wire.DriftList,
  '/api/v1/branches': wire.BranchList,
  '/api/v1/branches/{name}': wire.BranchShape,
  '/api/v1/branches/{name}/diff': wire.BranchDiff,
  '/api/v1/rules': wire.RuleList,
  '/api/v1/silences': wire.SilenceList,
  '/api/v1/alerts': wire.AlertList,
  '/api/v1/keys': wire.KeyList,
  '/api/v1/keys/{key}': wire.KeyShape,
  '/api/v1/key-prefixes': wire.KeyPrefixes,
  '/api/cache/{key}': wire.CacheFields,
  '/api/history/{filename}': wire.StoredObject,
  '/api/alerts': wire.AlertMessage,
  '/api/v1/assets': wire.AssetList,
  '/api/v1/assets/{id}': wire.AssetShape,
  '/api/v1/lineage': wire.LineageShape,
  '/api/v1/impact': wire.ImpactShape,
  '/api/v1/flows': wire.FlowList,
  '/api/v1/flows/{name}': wire.FlowDetailShape,
  '/api/v1/backfills': wire.BackfillList,
  '/api/v1/backfills/{id}': wire.BackfillShape,
  '/api/v1/runs': wire.RunList,
  '/api/v1/runs/{id}': wire.RunDetailShape,
  '/api/v1/runs/{id}/tasks': wire.RunTaskList,
  '/api/v1/runs/{id}/tasks/{n}': wire.RunTaskShape,
  '/api/v1/runs/{id}/nodes': wire.RunNodeList,
  '/api/v1/runs/{id}/tasks/{n}/attempts': wire.AttemptList,
  '/api/v1/runs/{id}/logs': wire.LogList,
  '/api/v1/workload-kinds': wire.WorkloadKindList,
  '/api/v1/workloads': wire.WorkloadList,
  '/api/v1/workloads/{id}': wire.WorkloadShape,
  '/api/v1/workloads/{id}/runs': wire.RunList,
  '/api/v1/workloads/{id}/results': wire.WorkloadResults,
  '/workloads': wire.WorkloadList,
  '/workloads/{id}': wire.WorkloadShape,
  '/workloads/{id}/runs': wire.RunList,
  '/workloads/{id}/results': wire.WorkloadResults,
  '/process/jobs': wire.JobList,
  '/process/jobs/{id}': wire.JobShape,
  '/api/v1/process/jobs': wire.JobList,
  '/api/v1/process/jobs/{id}': wire.JobShape,
}
/** Answers that are no JSON of `wire`. */
const APART = ['/api/v1/events', '/process/jobs/{id}/events', '/api/v1/process/jobs/{id}/events', '/health/live', '/health/ready', '/metrics']

const place = (path: string): string =>
  path
    .replace('/runs/{id}', `/runs/${run}`)
    .replace('/backfills/{id}', `/backfills/${backfill}`)
    .replace('/workloads/{id}', `/workloads/${workload}`)
    .replace('/jobs/{id}', `/jobs/${job}`)
    .replace('{n}', '0')
    .replace(/\{\w+\}/, encodeURIComponent(SAMPLES[path] ?? '')) + (QUERIES[path] ?? '')

describe('the API description', () => {
  test('is a sound OpenAPI 3.1 document', async () => {
    const document = await server.get<Document>('/openapi.json')
    expect(document.openapi).toMatch(/^3\.1\.\d+$/)
    expect(document.info.title).toBeTruthy()
    expect(document.info.version).toMatch(/^\d+\.\d+\.\d+/)
    const ids = new Set<string>()
    for (const [path, operations] of Object.entries(document.paths)) {
      expect(path).toMatch(/^\//)
      for (const [method, operation] of Object.entries(operations)) {
        const where = `${method} ${path}`
        expect(['get', 'post', 'put', 'patch', 'delete'], where).toContain(method)
        expect(ids.has(operation.operationId), where).toBe(false)
        ids.add(operation.operationId)
        expect(operation['x-access'].action, where).toBeTruthy()
        const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
        expect(
          operation.parameters.filter((one) => one.in === 'path').map(({ name }) => name),
          where,
        ).toEqual(inPath)
        expect(
          operation.parameters.every((one) => one.in !== 'path' || one.required),
          where,
        ).toBe(true)
        expect(Object.keys(operation.responses), where).toContain('default')
        for (const [status, response] of Object.entries(operation.responses)) {
          expect(status).toMatch(/^([1-5]\d\d|default)$/)
          expect(response.description).toBeTruthy()
        }
      }
    }
    const text = JSON.stringify(document)
    for (const [, name = ''] of text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)) expect(Object.keys(document.components.schemas)).toContain(name)
    expect([...text.matchAll(/"\$ref":"(?!#\/components\/schemas\/)/g)]).toEqual([])
    expect(text).not.toContain('"$schema"')
  })
  test('has no GET route whose answer is not checked here', async () => {
    const { paths } = await server.get<Document>('/openapi.json')
    const reads = Object.entries(paths).flatMap(([path, operations]) => (operations.get ? [path] : []))
    expect(reads.filter((path) => !APART.includes(path)).sort()).toEqual(Object.keys(SHAPES).sort())
  })
})

describe('a route', () => {
  test.each(Object.keys(SHAPES))('GET %s answers what it promises, no more and no less', async (path) => {
    const answer = await server.get<unknown>(place(path))
    const parsed = SHAPES[path]?.safeParse(answer)
    expect(parsed?.error?.issues ?? []).toEqual([])
    // What the schema does not know would be dropped by parsing.
    expect(parsed?.data).toEqual(answer)
  })
  test.each(['/api/v1/streams/{name}/records', '/api/v1/alerts', '/api/v1/keys', '/api/v1/assets'])(
    'GET %s pages to the end without losing or repeating',
    async (path) => {
      const whole = await server.get<{ items: unknown[] }>(`${place(path)}?limit=1000${path.includes('records') ? '&offset=0' : ''}`)
      const paged: unknown[] = []
      let cursor: string | undefined
      do {
        const page: { items: unknown[]; cursor?: string } = await server.get(
          `${place(path)}?limit=7${cursor === undefined ? (path.includes('records') ? '&offset=0' : '') : `&cursor=${encodeURIComponent(cursor)}`}`,
        )
        paged.push(...page.items)
        cursor = page.cursor
        expect(page.items.length).toBeLessThanOrEqual(7)
      } while (cursor !== undefined)
      expect(paged).toEqual(whole.items)
    },
  )
  test('POST /api/v1/query and a refresh answer what they promise', async () => {
    expect(wire.QueryResult.safeParse(await server.post('/api/v1/query', { sql: 'select * from silver.readings', limit: 5 })).error).toBeUndefined()
    expect(await server.post('/api/v1/tables/gold.air_hourly/refresh', {})).toMatchObject({ outcome: expect.stringMatching(/nothing|changed/) as string })
    const replay = await server.post('/api/v1/tables/silver.readings/replay', { dryRun: true })
    expect(wire.ReplayAnswer.strict().safeParse(replay).error).toBeUndefined()
    expect(await server.post('/api/v1/tables/gold.air_hourly/refresh?rebuild=true', {})).toMatchObject({ outcome: 'rebuilt' })
    expect(wire.ProduceAnswer.safeParse(await server.post('/api/v1/streams/sensor_raw/records', [{ sensor: 'x', at: 0 }])).error).toBeUndefined()
  })
  test('GET / is a greeting for programs and the console for browsers', async () => {
    const greeting = await fetch(server.url)
    expect(await greeting.text()).toBe('{"message":"Running.."}')
    const page = await fetch(server.url, { headers: { accept: 'text/html,application/xhtml+xml' } })
    expect(page.headers.get('content-type')).toMatch(/^text\/html/)
    expect(page.headers.get('content-security-policy')).toContain("default-src 'self'")
  })
  test('GET /docs shows the description with files of its own', async () => {
    const page = await (await fetch(`${server.url}/docs`)).text()
    for (const [, file = ''] of page.matchAll(/(?:src|href)="([^"]+)"/g)) {
      const answer = await fetch(server.url + file)
      expect(answer.status, file).toBe(200)
      expect((await answer.arrayBuffer()).byteLength, file).toBeGreaterThan(50)
    }
  })
  test('health tells that it lives and that it is ready', async () => {
    expect(await server.get('/health/live')).toEqual({ status: 'ok' })
    expect(await server.get('/health/ready')).toMatchObject({ status: 'ok', problems: [] })
  })
  test('/metrics is Prometheus text', async () => {
    const answer = await fetch(`${server.url}/metrics`)
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
    const text = await answer.text()
    expect(text.endsWith('\n')).toBe(true)
    const types = new Map<string, string>()
    const seen = new Set<string>()
    for (const line of text.trimEnd().split('\n')) {
      const type = /^# TYPE ([a-z_]+) (counter|gauge)$/.exec(line)
      if (type) {
        expect(types.has(type[1] ?? ''), line).toBe(false)
        types.set(type[1] ?? '', type[2] ?? '')
      } else if (!line.startsWith('# HELP ')) {
        const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*\})? (-?\d+(?:\.\d+)?(?:e[+-]\d+)?|NaN|\+Inf|-Inf)$/.exec(line)
        expect(sample, line).not.toBeNull()
        expect(types.has(sample?.[1] ?? ''), line).toBe(true)
        expect(types.get(sample?.[1] ?? '') === 'counter', line).toBe((sample?.[1] ?? '').endsWith('_total'))
        expect(seen.has(`${sample?.[1]}${sample?.[2]}`), line).toBe(false)
        seen.add(`${sample?.[1]}${sample?.[2]}`)
      }
    }
    expect(text).toContain('lagoa_stream_records_total{stream="sensor_raw",partition="0"} 30')
    expect(text).toContain('lagoa_alert_fired_total{rule="air_critical"}')
  })
})
