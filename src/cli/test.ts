/** `lagoa test`: the tests of a project, by Node's own runner. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { glob, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { missing } from '../base/index.ts'
import type { Arguments } from './args.ts'

const PATTERN = 'tests/**/*.test.{ts,mts,js,mjs}'
/** Beside this file in the source and in the build alike. */
const HOOK = new URL(`../lab/hook.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url).href

export async function test({ values, positionals }: Arguments): Promise<number> {
  const project = resolve(values.project ?? '.')
  const info = await stat(project).catch(() => null)
  if (!info?.isDirectory()) throw missing('project.no_folder', `There is no folder ${project}`, { hint: 'Name an existing project with --project DIR.' })
  const files: string[] = []
  for await (const file of glob(positionals.length > 0 ? [...positionals] : PATTERN, { cwd: project })) files.push(file)
  if (files.length === 0)
    throw missing('cli.no_tests', `There is no test in ${project}${positionals.length > 0 ? ` called ${positionals.join(' or ')}` : ''}`, {
      hint: 'Tests lie in tests/ and end in .test.ts; docs/testing.md has a first one.',
    })
  // Each file opens engines of its own: more at a time than there are processors would only make all of them slower.
  const args = [
    '--import',
    HOOK,
    '--test',
    '--test-concurrency=2',
    ...(values.filter === undefined ? [] : ['--test-name-pattern', values.filter]),
    ...files.sort(),
  ]
  const child = spawn(process.execPath, args, { cwd: project, stdio: 'inherit' })
  const stop = (): void => void child.kill('SIGTERM')
  process.once('SIGINT', stop).once('SIGTERM', stop)
  const [code]: unknown[] = await once(child, 'close')
  return typeof code === 'number' ? code : 1
}
