/** Folders for tests, gone when the test file is over. */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from './over.ts'

/** A new empty folder. Call it at the top of a test file, in a hook or in a test. */
export function tempFolder(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'lagoa-test-')))
  made.add(folder)
  return folder
}

const made = new Set<string>()

afterAll(() => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  made.clear()
})
