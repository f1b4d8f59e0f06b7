/** The same project on a folder and on S3: one setting apart, and the same numbers. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { EXAMPLE, failure, lagoa, newHome, once, project, serve, sql, temporaryFolder } from '../helpers/cli.ts'
import { startProxy } from '../helpers/s3-proxy.ts'
import { noS3Server, startS3, type S3Server } from '../helpers/s3.ts'
import { readings, writeReadings } from '../examples/readings.ts'

const environment = ({ endpoint, accessKeyId, secretAccessKey }: S3Server): Record<string, string> => ({
  LAGOA_OBJECTS__STORE: 's3',
  LAGOA_OBJECTS__ENDPOINT: endpoint,
  LAGOA_OBJECTS__ACCESS_KEY_ID: accessKeyId,
  LAGOA_OBJECTS__SECRET_ACCESS_KEY: secretAccessKey,
})

const SUMS = 'select count(*), count(co), round(sum(co), 6), min("at"), max("at") from silver.readings'
const HOURLY = 'select * from gold.air_hourly order by all'

describe.skipIf(noS3Server !== null)(`a project on S3${noS3Server === null ? '' : ` (skipped: ${noS3Server})`}`, async () => {
  if (noS3Server !== null) return
  const server = await startS3()
  const data = join(temporaryFolder('air'), 'air.csv')
  writeReadings(data, readings(400))
  const args = ['--data', data, '--rate', 'max']
  const folderHome = newHome()
  const home = newHome()
  const env = environment(server)

  test('runs the air-quality example to the same tables and alerts as on a folder, and keeps none of them in its home', async () => {
    const onFolder = await once(args, { home: folderHome })
    const onS3 = await once(args, { home, env })
    expect(onS3.tables).toEqual(onFolder.tables)
    expect(onS3.alerts).toEqual(onFolder.alerts)
    for (const text of [SUMS, HOURLY]) expect(await sql(text, { home, env })).toEqual(await sql(text, { home: folderHome }))
    expect(
      readdirSync(server.folder)
        .filter((name) => !name.startsWith('.'))
        .sort(),
    ).toEqual(['air-quality', 'bronze', 'gold', 'silver'])
    expect(readdirSync(home)).not.toContain('objects')
    const again = await once(args, { home, env })
    expect(again.tables).toEqual(onS3.tables)
  })

  test('reads the tables from another home, whose cache is empty', async () => {
    const other = newHome()
    expect(await sql(SUMS, { home: other, env })).toEqual(await sql(SUMS, { home: folderHome }))
  })

  test('serves below one bucket, tells that it is S3, and is read by a command beside it', async () => {
    const below = { ...env, LAGOA_OBJECTS__BUCKET: 'company-lake', LAGOA_OBJECTS__PREFIX: 'lagoa' }
    const fresh = newHome()
    await once(args, { home: fresh, env: below })
    expect(readdirSync(join(server.folder, 'company-lake/lagoa')).sort()).toEqual(['air-quality', 'bronze', 'gold', 'silver'])
    const served = await serve('start', ['--project', EXAMPLE, ...args], { home: fresh, env: below })
    const health: unknown = await served.get('/health/ready')
    expect(health).toMatchObject({ services: expect.arrayContaining([expect.objectContaining({ name: 'objects', adapter: 's3', state: 'up' })]) })
    expect(await sql(SUMS, { home: fresh, env: below })).toEqual(await sql(SUMS, { home: folderHome }))
    expect((await served.kill()).code).toBe(0)
  })

  test('the doctor tells where objects lie and what is wrong with the store, and no secret', async () => {
    const examine = async (more: Record<string, string>): Promise<{ code: number | null; text: string }> => {
      const { code, stdout, stderr } = await lagoa(['doctor', EXAMPLE, '--port', '0'], { home, env: { ...env, ...more } })
      return { code, text: stdout + stderr }
    }
    const sound = await examine({})
    expect(sound).toMatchObject({ code: 0, text: expect.stringContaining(`objects on S3 at ${server.endpoint}`) })
    const wrong = await examine({ LAGOA_OBJECTS__SECRET_ACCESS_KEY: 'wrong-secret' })
    expect(wrong.code).toBe(3)
    expect(wrong.text).toMatch(/✗ Engines .*does not accept the credentials/)
    const away = await examine({ LAGOA_OBJECTS__ENDPOINT: 'http://127.0.0.1:1' })
    expect(away.code).toBe(7)
    for (const { text } of [sound, wrong, away]) expect(text).not.toMatch(new RegExp(`${server.secretAccessKey}|wrong-secret`))
  })

  test('a store without exclusive writes is refused at start with what was tried', async () => {
    const proxy = await startProxy(server)
    proxy.fate(({ method, headers }) => (method === 'PUT' && headers['if-none-match'] === '*' ? 'without-condition' : 'pass'))
    const finished = await lagoa(['start', '--project', EXAMPLE, '--once', '--json', ...args], { home: newHome(), env: environment(proxy.server) })
    expect(finished.code).toBe(8)
    expect(failure(finished)).toMatchObject({ code: 'storage.not_exclusive', kind: 'unsupported', hint: expect.stringContaining('docs/s3.md') })
  })
})

describe('settings of the store', () => {
  const refused = async (files: Readonly<Record<string, string>>, env: Readonly<Record<string, string>> = {}): Promise<{ message: string; hint?: string }> =>
    failure(await lagoa(['tables', '--project', project(files), '--json'], { home: newHome(), env }))
  const config = (objects: string): Record<string, string> => ({
    'lagoa.config.ts': `export default { kind: 'config', options: { objects: ${objects} } }`,
  })

  test('that would be passed over in silence are refused', async () => {
    expect(await refused(config(`{ bucket: 'company-lake' }`))).toMatchObject({
      message: 'objects.bucket in lagoa.config.ts is set, but objects are kept in a folder',
      hint: expect.stringContaining("objects.store to 's3'"),
    })
    expect((await refused(config(`{ store: 's3', accessKeyId: 'x' }`))).message).toContain('only one is set')
    expect((await refused(config(`{ store: 's3', prefix: 'x' }`))).message).toContain('objects.prefix')
    expect((await refused(config(`{ store: 's3', buckt: 'x' }`))).hint).toContain('objects.bucket')
    expect((await refused({}, { LAGOA_OBJECTS__STORE: 's3', LAGOA_OBJECTS__ENDPOINT: 'http://me:hunter2@store:9000' })).message).toContain(
      'LAGOA_OBJECTS__ENDPOINT must be an address',
    )
  })

  test('never show a secret', async () => {
    const shown = JSON.stringify([
      await refused(config(`{ store: 's3', accessKeyId: 'x', secretAccessKey: 42 }`)),
      await refused({}, { LAGOA_OBJECTS__STORE: 's3', LAGOA_OBJECTS__ENDPOINT: 'http://me:hunter2@store:9000' }),
      await refused(config(`{ store: 's3', sessionToken: 'hunter2' }`)),
    ])
    expect(shown).not.toContain('hunter2')
    expect(shown).not.toContain('42')
  })
})
