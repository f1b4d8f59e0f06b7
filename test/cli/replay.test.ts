/** `lagoa replay` beside a server, which then does the work, and without one. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { eventually, failure, good, lagoa, newHome, project, serve, sql } from '../helpers/cli.ts'

const tables = (most: number): string => `import { between, quarantine, sql, table } from 'lagoa'
import { air } from '../streams/air.ts'
export const raw = table('bronze.air', { from: air, every: '50ms' })
export const clean = table('silver.air', {
  merge: ['sensor'],
  freshness: '15 min',
  sql: sql\`select \${raw.c.sensor}, \${raw.c.co} from \${raw}\`,
  expect: { plausible: quarantine(between('co', 0, ${most})) },
})
`
const home = newHome()
const folder = project({
  'streams/air.ts': `import { stream, t } from 'lagoa'\nexport const air = stream('air', { key: 'sensor', schema: { sensor: t.string(), co: t.double() } })\n`,
  'tables/air.ts': tables(10),
})
interface Answer {
  readonly checked: number
  readonly released: number
  readonly stillHeld: number
  readonly superseded: number
  readonly dryRun: boolean
}
const replay = async (...flags: string[]): Promise<Answer> => good(await lagoa(['replay', 'silver.air', '--project', folder, '--json', ...flags], { home }))

test('held rows are counted, put back by the running server, and the rest without one', { timeout: 120_000 }, async () => {
  const server = await serve('dev', ['--project', folder], { home })
  await server.post('/api/v1/streams/air/records', [
    { sensor: 'a', co: 5 },
    { sensor: 'b', co: 20, pm10: 3 },
    { sensor: 'c', co: 30 },
    { sensor: 'd', co: 300 },
  ])
  await eventually('three rows are held', async () => (await server.get<{ quarantined: number }>('/api/v1/tables/silver.air')).quarantined === 3)
  writeFileSync(join(folder, 'tables/air.ts'), tables(50))
  await eventually('the new rule is loaded', async () =>
    (await server.get<{ items: { rule: string }[] }>('/api/v1/tables/silver.air/checks')).items.some(({ rule }) => rule === 'co between 0 and 50'),
  )
  expect(await server.get('/api/v1/tables/silver.air/checks')).toMatchObject({ items: [{ state: 'not_run', kind: 'between' }] })
  expect(await replay('--dry-run')).toMatchObject({ checked: 3, released: 2, stillHeld: 1, superseded: 0, dryRun: true })
  expect(await replay()).toMatchObject({ checked: 3, released: 2, stillHeld: 1, dryRun: false })
  expect(await sql('select sensor, co from silver.air order by 1', { home }, folder)).toEqual([
    ['a', 5],
    ['b', 20],
    ['c', 30],
  ])
  expect(await server.get('/api/v1/tables/silver.air')).toMatchObject({ quarantined: 1, freshness: { state: 'fresh', since: null, withinMs: 900_000 } })
  expect(await server.get('/api/v1/tables/bronze.air/drift')).toMatchObject({
    items: [{ kind: 'unknown_fields', fields: { pm10: 1 }, samples: [{ pm10: 3 }] }],
  })
  expect(failure(await lagoa(['replay', 'silver.ari', '--project', folder, '--json'], { home })).hint).toBe('Did you mean silver.air?')
  expect((await server.kill()).code).toBe(0)

  writeFileSync(join(folder, 'tables/air.ts'), tables(500))
  const text = await lagoa(['replay', 'silver.air', '--project', folder], { home })
  expect(text.stdout).toBe('silver.air: 1 of 1 held rows are back, 0 stay held, 0 had a newer row with their key\n')
  expect((await lagoa(['tables', '--project', folder], { home })).stdout).toMatch(/^silver\.air +4 .* fresh$/m)
})
