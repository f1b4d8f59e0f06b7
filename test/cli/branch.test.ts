/** Branches as a user has them: fork, change the SQL, refresh in the branch, look at the rows that differ, merge. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { readings, writeReadings } from '../examples/readings.ts'
import { EXAMPLE, good, lagoa, newHome, once, temporaryFolder } from '../helpers/cli.ts'

const home = newHome()
let project = ''

beforeAll(async () => {
  const folder = temporaryFolder('branches')
  project = join(folder, 'project')
  cpSync(EXAMPLE, project, { recursive: true })
  const csv = join(folder, 'small.csv')
  writeReadings(csv, readings(300))
  await once(['--data', csv], { home })
}, 120_000)

const run = async (...args: string[]): Promise<unknown> => good(await lagoa([...args, '--project', project, '--json'], { home }))

describe('lagoa branch', () => {
  test('forks, refreshes with changed SQL, tells the difference, and merges', async () => {
    expect(await run('branch', 'create', 'dev', 'silver.readings', 'gold.air_hourly')).toMatchObject({ name: 'dev' })
    expect(await run('branch', 'list')).toMatchObject([{ name: 'dev', tables: [{ table: 'silver.readings' }, { table: 'gold.air_hourly' }] }])
    expect(await run('branch', 'diff', 'dev')).toMatchObject([
      { added: 0, removed: 0, changed: 0 },
      { added: 0, removed: 0, changed: 0 },
    ])
    const before = await run('sql', 'select max(temperature) as t from silver.readings')
    const file = join(project, 'tables', 'silver.ts')
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, text.replace('nullif(${raw.c.temperature}, -200)', 'nullif(${raw.c.temperature}, -200) + 1000'))
    expect(readFileSync(file, 'utf8')).not.toBe(text)
    expect(await run('refresh', 'silver.readings', '--branch', 'dev')).toMatchObject([{ table: 'silver.readings', outcome: 'rebuilt' }])
    expect(await run('sql', 'select max(temperature) as t from silver.readings')).toMatchObject({ rows: (before as { rows: unknown }).rows })
    expect(await run('sql', 'select max(temperature) > 1000 as t from silver.readings', '--branch', 'dev')).toMatchObject({ rows: [[true]] })
    const [difference] = (await run('branch', 'diff', 'dev', 'silver.readings', '--limit', '3')) as { changed: number; added: number; sample: unknown[] }[]
    expect(difference?.changed).toBeGreaterThan(200)
    expect(difference?.added).toBe(0)
    expect(difference?.sample).toHaveLength(3)
    expect(await run('branch', 'merge', 'dev', '--dry-run')).toMatchObject([{ outcome: 'merged' }, { outcome: 'unchanged' }])
    await run('branch', 'merge', 'dev')
    expect(await run('sql', 'select max(temperature) > 1000 as t from silver.readings')).toMatchObject({ rows: [[true]] })
    expect(await run('branch', 'list')).toEqual([])
  })

  test('says what to type when a word is wrong', async () => {
    const refused = async (...args: string[]): Promise<string> => (await lagoa([...args, '--project', project], { home })).stderr
    expect(await refused('branch', 'marge', 'dev')).toMatch(/Did you mean lagoa branch merge/)
    expect(await refused('branch')).toMatch(/create\|list\|diff\|merge\|drop/)
    expect(await refused('branch', 'drop', 'nothing')).toMatch(/There is no branch nothing/)
    expect(await refused('branch', 'list', '--keys', 'a')).toMatch(/no flag --keys/)
    expect(await refused('sql', 'select 1', '--branch', 'nothing')).toMatch(/There is no branch nothing/)
  })
})
