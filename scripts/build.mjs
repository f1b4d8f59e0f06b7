/** Builds what is published: the platform as plain JavaScript in dist/, the console in console/dist/. */
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'

rmSync('dist', { recursive: true, force: true })
for (const [command, ...args] of [
  ['tsc', '-p', 'tsconfig.build.json'],
  ['vite', 'build', 'console', '--logLevel', 'warn'],
]) {
  const { status } = spawnSync(command, args, { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
