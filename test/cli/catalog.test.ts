/** `lagoa assets`, `lagoa lineage` and `lagoa impact`: from the project's files alone. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { EXAMPLE, failure, good, lagoa, newHome, project, temporaryFolder } from '../helpers/cli.ts'

const home = join(temporaryFolder('catalog'), 'home')
const run = (...args: string[]): ReturnType<typeof lagoa> => lagoa([...args, '--project', EXAMPLE], { env: { LAGOA_HOME: home } })

describe('the catalogue on the command line', () => {
  test('starts no database and writes nothing', async () => {
    expect((await run('impact', 'sensor_raw.co')).code).toBe(0)
    expect(existsSync(home)).toBe(false)
  })
  test('lists and searches assets', async () => {
    expect((await run('assets')).stdout).toMatch(/^silver\.readings +table +7 +Clean readings/m)
    expect((await run('assets', 'carbon', '--kind', 'stream')).stdout).toMatch(/^sensor_raw +stream +7 +co$/m)
    const found: { id: string; matched: string[] }[] = good(await run('assets', 'carbon monoxide', '--json'))
    expect(found[0]).toMatchObject({ id: 'stream:sensor_raw', matched: ['co'] })
    expect((await run('assets', '--limit', '2')).stderr).toContain('2 of 14 assets; raise --limit')
  })
  test('shows the lineage of a column as indented lines', async () => {
    const { stdout } = await run('lineage', 'silver.readings.co')
    expect(stdout).toBe(`silver.readings.co

made of
  bronze.sensor.co  computed
    sensor_raw.co  copied

makes
  silver.readings_quarantine.co  copied
  silver.readings  expectation co_plausible
  silver.readings_quarantine._failed  computed
  gold.daily_exceedances.co_above_10  computed
  gold.air_hourly.co_mean  computed
  gold.air_hourly.co_max  computed
  gold.air_hourly.co_p95  computed
`)
    expect((await run('lineage', 'gold.air_hourly', '--direction', 'up')).stdout).not.toContain('makes')
    expect((await run('lineage', 'sensor_raw', '--direction', 'down', '--depth', '1')).stderr).toContain('There is more; raise --depth')
    const { nodes }: { nodes: { id: string }[] } = good(await run('lineage', 'bronze.sensor', '--json'))
    expect(nodes.map(({ id }) => id)).toContain('table:gold.air_hourly')
  })
  test('tells what breaks when a column goes', async () => {
    const { stdout } = await run('impact', 'sensor_raw.co')
    expect(stdout).toMatch(/^If stream sensor_raw\.co goes$/m)
    expect(stdout).toMatch(/^breaks \(6\)$/m)
    expect(stdout).toMatch(/^ {2}alert air_critical +its condition reads sensor_raw\.co$/m)
    expect(stdout).toMatch(/^ {2}silver\.readings +its SQL names bronze\.sensor\.co {2}by bronze\.sensor\.co$/m)
    const { counts }: { counts: { breaks: number } } = good(await run('impact', 'sensor_raw.co', '--json'))
    expect(counts.breaks).toBe(6)
    expect((await run('impact', 'gold.air_hourly.readings')).stdout).toContain('Nothing uses it.')
  })
  test.each([
    [['impact'], 2, 'cli.no_asset', 'lagoa impact silver.readings.co'],
    [['impact', 'silver.reading.co'], 4, 'catalog.no_asset', 'silver.readings.co'],
    [['lineage', 'silver.readings.temprature'], 4, 'catalog.no_column', 'Did you mean temperature?'],
    [['lineage', 'silver.readings', '--direction', 'upp'], 2, 'cli.direction', 'Did you mean up?'],
    [['lineage', 'silver.readings', '--depth', '0'], 2, 'cli.number', '--depth'],
    [['assets', '--kind', 'tabel'], 2, 'cli.kind', 'Did you mean table?'],
  ])('%j is refused with what to write instead', async (args, exit, code, hint) => {
    const finished = await run(...args, '--json')
    const error = failure(finished)
    expect([finished.code, error.code]).toEqual([exit, code])
    expect(error.hint).toContain(hint)
  })
  test('tells why lineage is not known, and what may break then', async () => {
    const folder = project({
      'streams/s.ts': "import { stream, t } from 'lagoa'\nexport const s = stream('s', { schema: { co: t.double(), no2: t.double() } })\n",
      'tables/t.ts': `import { sql, table } from 'lagoa'
import { s } from '../streams/s.ts'
export const raw = table('bronze.s', { from: s })
export const most = table('gold.most', { sql: sql\`select max(columns(* exclude (_ingested_at))) from \${raw}\` })
`,
    })
    const options = { home: newHome() }
    const { stdout, stderr } = await lagoa(['lineage', 'gold.most', '--project', folder], options)
    expect(stdout).toMatch(/bronze\.s {2}unknown/)
    expect(stderr).toContain('Of which columns it is made is not known: * or COLUMNS(...) stands inside an expression')
    expect((await lagoa(['impact', 's.co', '--project', folder], options)).stdout).toMatch(/^may break \(1\)\n {2}gold\.most /m)
  })
})
