/** `lagoa python`: what it says of the environment that is there. */
import { expect, test } from 'vitest'
import { lagoa } from '../helpers/cli.ts'
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

test('knows two words', async () => {
  const { code, stderr } = await lagoa(['python', 'remove'])
  expect(code).toBe(2)
  expect(stderr).toContain('lagoa python install or lagoa python status')
})
