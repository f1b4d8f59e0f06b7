/** `lagoa python`: what it says of the environment that is there. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { good, lagoa, temporaryFolder } from '../helpers/cli.ts'
import { missingPython } from '../helpers/python.ts'

test.skipIf(missingPython !== null)('shows the interpreter and its packages, or the command that makes them', async () => {
  const { code, stdout } = await lagoa(['python', 'status', '--json'])
  const told: unknown = JSON.parse(stdout)
  if (code === 0)
    expect(told).toMatchObject({
      ready: true,
      source: expect.stringMatching(/locked|system/),
      packages: { pandas: expect.any(String) },
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
  else expect([code, told]).toMatchObject([7, { ready: false, hint: 'Run: lagoa python install' }])
})

test('knows its words', async () => {
  const { code, stderr } = await lagoa(['python', 'remove'])
  expect(code).toBe(2)
  expect(stderr).toContain('lagoa python install, status or manifest')
})

test('prints a job for Kubernetes as one list that kubectl takes', async () => {
  const file = join(temporaryFolder('manifest'), 'score.py')
  writeFileSync(file, 'def process(df):\n    return df\n')
  const { items, kind } = good<{ kind: string; items: { kind: string }[] }>(
    await lagoa(['python', 'manifest', 'example.com/image:1', file, '--format', 'parquet']),
  )
  expect({ kind, kinds: items.map((item) => item.kind) }).toEqual({ kind: 'List', kinds: ['Namespace', 'NetworkPolicy', 'ConfigMap', 'Job'] })
  expect((await lagoa(['python', 'manifest', 'example.com/image:1'])).code).toBe(2)
  expect((await lagoa(['python', 'manifest', 'example.com/image:1', `${file}.gone`])).code).toBe(4)
})
