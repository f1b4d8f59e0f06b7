/** `lagoa test` as the developer of a project meets it; the project beside it tries the clock, backfills and flows that follow. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { eventually, isAlive, lagoa, project, ROOT, start, temporaryFolder } from '../helpers/cli.ts'

const labs = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('lagoa-lab-'))
const FLOW = "import { flow, task } from 'lagoa'\nexport const one = flow('one', () => { task('first', { run: () => 1 }) })"
const LAB = "import assert from 'node:assert/strict'\nimport { test } from 'node:test'\nimport { openLab } from 'lagoa/testing'\n"

describe('lagoa test', () => {
  test('runs all tests of a project', { timeout: 300_000 }, async () => {
    const { code, stdout, stderr } = await lagoa(['test', '--project', join(ROOT, 'test/lab/project')], { timeoutMs: 280_000 })
    expect(stderr).toBe('')
    expect(stdout).toMatch(/pass 17\n/)
    expect(stdout).toMatch(/fail 0\n/)
    expect(code).toBe(0)
  })

  const examples = readdirSync(join(ROOT, 'examples')).filter((name) => existsSync(join(ROOT, 'examples', name, 'tests')))
  test.each(examples)('runs those of the example %s', { timeout: 300_000 }, async (name) => {
    const { code, stdout } = await lagoa(['test', '--project', join(ROOT, 'examples', name)], { timeoutMs: 280_000 })
    expect(code, stdout).toBe(0)
  })

  test('ends with 1 when one fails, and tells which', async () => {
    const folder = project({
      'flows/one.ts': FLOW,
      'tests/sum.test.ts': `${LAB}test('adds up', async () => { await using lab = await openLab(); assert.equal((await lab.run('one')).tasks.first?.output, 2) })`,
    })
    const { code, stdout } = await lagoa(['test', '--project', folder])
    expect(code).toBe(1)
    expect(stdout).toContain('adds up')
    expect(stdout).toMatch(/1 !== 2|actual: 1/)
  })

  test('runs one file, and the tests of one name', async () => {
    const folder = project({
      'flows/one.ts': FLOW,
      'tests/a.test.ts': "import { test } from 'node:test'\ntest('first of a', () => {})\ntest('second of a', () => {})",
      'tests/deep/b.test.ts': "import { test } from 'node:test'\ntest('first of b', () => { throw new Error('b is run') })",
    })
    expect((await lagoa(['test', '--project', folder])).code).toBe(1)
    const one = await lagoa(['test', 'tests/a.test.ts', '--filter', 'second', '--project', folder])
    expect(one.code).toBe(0)
    expect(one.stdout).toContain('second of a')
    expect(one.stdout).not.toContain('first of a')
  })

  test.each([
    ['a project without tests', [], 'docs/testing.md'],
    ['a file that is not there', ['tests/gone.test.ts'], 'docs/testing.md'],
  ])('tells of %s', async (_, files, hint) => {
    const { code, stderr } = await lagoa(['test', ...files, '--project', project({ 'flows/one.ts': FLOW })])
    expect(code).toBe(4)
    expect(stderr).toContain('There is no test')
    expect(stderr).toContain(hint)
  })

  test('leaves no database and no folder behind, also when it is killed', async () => {
    const before = labs()
    const marker = join(temporaryFolder(), 'pid')
    const folder = project({
      'flows/one.ts': FLOW,
      'tests/long.test.ts': `${LAB}import { writeFileSync } from 'node:fs'
test('waits', async () => { await using lab = await openLab(); writeFileSync(${JSON.stringify(marker)}, String(process.pid)); await new Promise((done) => setTimeout(done, 60_000)); assert.ok(lab) })`,
    })
    const started = start(['test', '--project', folder])
    await eventually('the test waits', () => existsSync(marker), 30_000)
    const [home] = labs().filter((name) => !before.includes(name))
    expect(home).toBeDefined()
    process.kill(Number(readFileSync(marker, 'utf8')), 'SIGKILL')
    const database = Number(readFileSync(join(tmpdir(), home ?? '', 'pg/data/postmaster.pid'), 'utf8').split('\n')[0])
    await started.finished
    await eventually('the database has ended', () => !isAlive(database), 10_000)
    await eventually('the folder is gone', () => !labs().includes(home ?? ''), 10_000)
  })
})

test('a project that cannot be loaded is told in the test that opens it', async () => {
  const folder = project({ 'flows/one.ts': FLOW.replace("'first'", "'a b'"), 'tests/a.test.ts': `${LAB}test('opens', async () => { await openLab() })` })
  const { code, stdout } = await lagoa(['test', '--project', folder])
  expect(code).toBe(1)
  expect(stdout).toContain('is no name for a task')
})
