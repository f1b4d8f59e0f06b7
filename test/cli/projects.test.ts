/** Projects with a fault: one message that names the file and what to do, and no state left behind. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { failure, good, lagoa, newHome, project, serve, temporaryFolder } from '../helpers/cli.ts'

const STREAM = `import { stream, t } from 'lagoa'
export const readings = stream('readings', { key: 'id', eventTime: 'at', live: { by: 'id' }, schema: { id: t.string(), at: t.timestamp(), co: t.double().nullable() } })
`
const BRONZE = `import { table } from 'lagoa'
import { readings } from '../streams/readings.ts'
export const raw = table('bronze.readings', { from: readings })
`
const sound = { 'streams/readings.ts': STREAM, 'tables/bronze.ts': BRONZE }
const alert = (options: string): string =>
  `import { alert, cel, queue } from 'lagoa'\nimport { readings } from '../streams/readings.ts'\nconst { co } = readings.c\nexport const high = alert('high', { on: readings, to: [queue('q')], ${options} })\n`
const silver = (options: string): string =>
  `import { sql, table } from 'lagoa'\nimport { raw } from './bronze.ts'\nexport const silver = table('silver.readings', { ${options} })\n`

const FAULTS: readonly (readonly [name: string, files: Readonly<Record<string, string>>, exit: number, code: string, text: string])[] = [
  ['a syntax error', { 'streams/readings.ts': 'export const x = {' }, 2, 'project.load', 'streams/readings.ts cannot be loaded'],
  ['a file that throws', { 'streams/readings.ts': "\n\nthrow new Error('no luck')" }, 2, 'project.load', 'no luck (streams/readings.ts:3'],
  ['an import of nothing', { ...sound, 'alerts/a.ts': "import '../streams/gone.ts'" }, 2, 'project.load', 'alerts/a.ts cannot be loaded'],
  ['an enum', { 'streams/readings.ts': 'export enum Colour { Red }' }, 2, 'project.load', 'streams/readings.ts'],
  [
    'an unknown option',
    { 'streams/readings.ts': STREAM.replace('key:', 'kye:') },
    2,
    'project.unknown_option',
    'option kye that does not exist | Did you mean key?',
  ],
  ['an option of the wrong type', { 'streams/readings.ts': STREAM.replace("key: 'id'", 'key: 7') }, 2, 'project.invalid_option', 'stream readings: key'],
  ['a key that is no field', { 'streams/readings.ts': STREAM.replace("key: 'id'", "key: 'ids'") }, 2, 'project.unknown_field', 'Did you mean id?'],
  ['a field of no type', { 'streams/readings.ts': STREAM.replace('t.string()', "'string'") }, 2, 'project.invalid_option', 'is not a field'],
  ['an upcast that is no function', { 'streams/readings.ts': STREAM.replace("key: 'id'", 'upcast: 3') }, 2, 'project.invalid_option', 'upcast'],
  [
    'a name that is taken',
    { ...sound, 'streams/twice.ts': STREAM },
    2,
    'project.twice',
    'streams/twice.ts: stream readings is declared in streams/readings.ts too',
  ],
  [
    'an unknown table in its SQL',
    { ...sound, 'tables/silver.ts': silver("sql: 'select * from bronze.reading'") },
    2,
    'lake.unknown_table',
    'Did you mean bronze.readings?',
  ],
  [
    'an unknown column in its SQL',
    { ...sound, 'tables/silver.ts': silver('sql: sql`select ${raw.c.cco} from ${raw}`') },
    2,
    'project.unknown_reference',
    'tables/silver.ts: table silver.readings',
  ],
  ['broken SQL', { ...sound, 'tables/silver.ts': silver("sql: 'select from where'") }, 2, 'lake.sql_syntax', 'silver.readings'],
  ['SQL that reads a file', { ...sound, 'tables/silver.ts': silver('sql: "select * from read_csv(\'/etc/passwd\')"') }, 3, 'lake.sql_function', 'read_csv'],
  [
    'tables in a circle',
    {
      ...sound,
      'tables/silver.ts': silver("sql: 'select * from gold.a'"),
      'tables/gold.ts': "import { table } from 'lagoa'\nexport const a = table('gold.a', { sql: 'select * from silver.readings' })",
    },
    2,
    'lake.table_cycle',
    'gold.a -> silver.readings -> gold.a',
  ],
  [
    'an impossible table name',
    { ...sound, 'tables/silver.ts': silver('sql: sql`select 1 as one`').replace('silver.readings', '../escape') },
    2,
    'lake.table_name',
    'cannot be a table name',
  ],
  [
    'a table of a stream that nobody exports',
    {
      'streams/readings.ts': STREAM,
      'tables/bronze.ts':
        "import { stream, t, table } from 'lagoa'\nexport const raw = table('bronze.x', { from: stream('hidden', { schema: { a: t.string() } }) })",
    },
    2,
    'project.unknown_stream',
    'Table bronze.x is from stream hidden',
  ],
  [
    'an alert on a stream that nobody exports',
    {
      ...sound,
      'alerts/a.ts':
        "import { alert, cel, queue, stream, t } from 'lagoa'\nexport const high = alert('high', { on: stream('hidden', { schema: { a: t.double() } }), when: 'a > 1.0', to: [queue('q')] })",
    },
    2,
    'project.unknown_stream',
    'Rule high is on stream hidden',
  ],
  ['a condition that is no CEL', { ...sound, 'alerts/a.ts': alert("when: 'co >'") }, 2, 'alerts.', 'high'],
  ['a condition on a field that is not there', { ...sound, 'alerts/a.ts': alert("when: 'cco > 1.0'") }, 2, 'alerts.', 'cco'],
  [
    'an alert without a queue',
    { ...sound, 'alerts/a.ts': alert('when: cel`${co} > 1.0`').replace("to: [queue('q')], ", '') },
    2,
    'project.invalid_option',
    'alert high: to',
  ],
  ['nothing in it', { 'notes.txt': 'hello' }, 4, 'project.empty', 'streams/, tables/, alerts/'],
]

const shared = newHome()

describe('a project with', () => {
  test.each(FAULTS)('%s is told in one message', async (_, files, exit, code, text) => {
    const folder = project(files)
    for (const command of [['start', '--once'], ['tables']]) {
      // What is found before any engine is opened must leave no state behind; the rest may share a database.
      const finished = await lagoa([...command, '--project', folder, '--json'], code.startsWith('project.') ? {} : { home: shared })
      const { code: told, message, hint } = failure(finished)
      expect({ exit: finished.code, stderr: finished.stderr }).toEqual({ exit, stderr: '' })
      expect(told.startsWith(code)).toBe(true)
      expect(`${message} | ${hint ?? ''}`).toContain(text)
      expect(hint ?? '').not.toBe('')
    }
    if (code.startsWith('project.') && !code.includes('unknown_stream')) expect(existsSync(join(folder, '.lagoa'))).toBe(false)
  })

  test('a folder that is not there is told, and not made', async () => {
    const folder = join(temporaryFolder(), 'gone')
    const finished = await lagoa(['start', folder, '--once', '--json'])
    expect({ exit: finished.code, ...failure(finished) }).toMatchObject({ exit: 4, code: 'project.no_folder' })
    expect(existsSync(folder)).toBe(false)
  })
  test('SQL that names an unknown column as plain text fails as the table it is, and the others go on', async () => {
    const home = newHome()
    const folder = project({
      ...sound,
      'streams/readings.ts': STREAM.replace("key: 'id'", "key: 'id', source: simulate({ devices: ['a'], count: 5, reading: () => ({ co: 1 }) })")
        .replace('stream, t', 'simulate, stream, t')
        .replaceAll('id:', 'sensor:')
        .replaceAll("'id'", "'sensor'"),
      'tables/silver.ts': silver("sql: 'select nope from bronze.readings'"),
      'tables/other.ts': "import { table } from 'lagoa'\nexport const other = table('silver.zother', { sql: 'select count(*) as n from bronze.readings' })",
    })
    const finished = await lagoa(['start', '--project', folder, '--once', '--json'], { home })
    const { message } = failure(finished)
    expect(message).toContain('silver.readings')
    expect(message).toContain('nope')
    const answer: { rows: unknown[][] } = good(await lagoa(['sql', '--project', folder, 'select n from silver.zother', '--json'], { home }))
    expect(answer.rows).toEqual([[5]])
  })
  test('a fault keeps `lagoa dev` waiting for its mending', async () => {
    const folder = project({ 'streams/readings.ts': 'export const x = {' })
    const server = await serve('dev', ['--project', folder])
    const { problems } = await server.get<{ problems: { code: string }[] }>('/api/v1/system')
    expect(problems.map(({ code }) => code)).toEqual(['project.load'])
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(503)
    project(sound, folder)
    await expect.poll(async () => (await fetch(`${server.url}/health/ready`)).status, { timeout: 5000 }).toBe(200)
    expect((await server.kill()).code).toBe(0)
  })
})

describe('a file given by --data', () => {
  const example = join(import.meta.dirname, '../../examples/air-quality')
  const folder = temporaryFolder()
  test.each([
    ['is not there', join(folder, 'gone.csv'), 4, 'streams.csv_missing', 'There is no file'],
    ['is a folder', folder, 2, 'streams.csv_is_folder', 'is a folder'],
    ['has other columns', join(project({ 'other.csv': 'a;b\n1;2\n' }, folder), 'other.csv'), 2, 'streams.csv_column', 'has no column'],
    ['is empty', join(project({ 'empty.csv': '' }, folder), 'empty.csv'), 2, 'streams.csv_header', 'no header line'],
  ])('that %s is told with its path', async (_, path, exit, code, text) => {
    const finished = await lagoa(['start', example, '--data', path, '--once', '--json'], { home: newHome() })
    const told = failure(finished)
    expect({ exit: finished.code, code: told.code }).toEqual({ exit, code })
    expect(told.message).toContain(text)
    expect(told.message).toContain(path)
  })
})
