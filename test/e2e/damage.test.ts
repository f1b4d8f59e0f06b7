/** A table whose files were damaged is named with its file; the other tables and the streams go on. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { readings, writeReadings } from '../examples/readings.ts'
import { EXAMPLE, eventually, failure, lagoa, newHome, once, serve, temporaryFolder } from '../helpers/cli.ts'

const path = join(temporaryFolder('damage'), 'small.csv')
writeReadings(path, readings(200))

interface System {
  readonly items: readonly { readonly name: string; readonly rows: number | null; readonly refresh: { readonly state: string; readonly error?: string } }[]
}

const DAMAGES: readonly (readonly [name: string, table: string, damage: (root: string) => string])[] = [
  ['a last commit that was cut off', 'silver.readings', (root) => cut(lastCommit(root))],
  ['a last commit of zero bytes', 'bronze.sensor', (root) => overwrite(lastCommit(root), '')],
  ['a first commit that was deleted', 'gold.air_hourly', (root) => removed(join(root, '_delta_log', `${'0'.repeat(20)}.json`))],
]

const lastCommit = (root: string): string => {
  const log = join(root, '_delta_log')
  return join(
    log,
    readdirSync(log)
      .filter((name) => name.endsWith('.json'))
      .sort()
      .at(-1) ?? '',
  )
}
const cut = (file: string): string => overwrite(file, readFileSync(file, 'utf8').slice(0, -25))
const overwrite = (file: string, text: string): string => {
  writeFileSync(file, text)
  return file
}
const removed = (file: string): string => {
  rmSync(file)
  return file
}

describe.each(DAMAGES)('%s', (_, table, damage) => {
  const home = newHome()
  let file = ''
  beforeAll(async () => {
    await once(['--data', path], { home })
    file = damage(join(home, 'objects', table.replace('.', '/'))).split('/objects/')[1] ?? ''
  })

  test('is told by a query with the table and the file', async () => {
    const finished = await lagoa(['sql', '--project', EXAMPLE, `select count(*) from ${table}`, '--json'], { home })
    const { message, hint, kind } = failure(finished)
    expect(kind).not.toBe('bug')
    expect(message).toContain(file)
    expect(hint).toBeDefined()
  })
  test('leaves the other tables and the streams at work', async () => {
    const server = await serve('start', ['--project', EXAMPLE, '--stations', '3', '--rate', '50'], { home })
    const { items } = await server.get<System>('/api/v1/tables')
    const damaged = items.find(({ name }) => name === table)
    expect(damaged?.refresh.state).toBe('failed')
    expect(damaged?.refresh.error).toContain(file)
    expect(items.filter(({ name, rows }) => name !== table && rows !== null).length).toBe(items.length - 1)
    expect(await (await fetch(`${server.url}/metrics`)).text()).toContain(`lagoa_table_unreadable{table="${table}"} 1`)
    const { attention } = await server.get<{ attention: { title: string; detail: string }[] }>('/api/v1/overview')
    expect(attention.find(({ title }) => title.startsWith(table))?.detail).toContain(file)
    await eventually('records go on', async () => (await server.get<{ records: number }>('/api/v1/streams/sensor_raw')).records > 220)
    if (table !== 'bronze.sensor') {
      const before = items.find(({ name }) => name === 'bronze.sensor')?.rows ?? 0
      await eventually(
        'bronze goes on',
        async () => ((await server.get<System>('/api/v1/tables')).items.find(({ name }) => name === 'bronze.sensor')?.rows ?? 0) > before,
      )
    }
    expect(
      (
        await fetch(`${server.url}/api/v1/query`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ sql: `select count(*) from ${table === 'gold.daily_exceedances' ? 'gold.air_hourly' : 'gold.daily_exceedances'}` }),
        })
      ).status,
    ).toBe(200)
    expect((await lagoa(['tables', '--project', EXAMPLE], { home })).stdout).toContain('cannot be read')
    expect((await server.kill()).code).toBe(0)
  })
  test('ends a pass with its error after everything else was done', async () => {
    const finished = await lagoa(['start', '--project', EXAMPLE, '--once', '--json'], { home })
    expect(finished.code).toBeGreaterThan(1)
    expect(failure(finished).message).toContain(file)
  })
})

test('a data file that was deleted is told with its name, and the rest can be read', async () => {
  const home = newHome()
  await once(['--data', path], { home })
  const folder = join(home, 'objects/silver/readings')
  const file = readdirSync(folder, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('.parquet') && !name.startsWith('_delta_log')) ?? ''
  rmSync(join(folder, file))
  const finished = await lagoa(['sql', '--project', EXAMPLE, 'select * from silver.readings', '--json'], { home })
  const told = failure(finished)
  expect(told.kind).not.toBe('bug')
  expect(told.message).toContain(file)
  expect((await lagoa(['sql', '--project', EXAMPLE, 'select count(*) from gold.air_hourly', '--json'], { home })).code).toBe(0)
})
