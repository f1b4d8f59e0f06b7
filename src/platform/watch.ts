/** Watches a project folder and calls back once after each burst of changes to files that matter. */
import { watch } from 'node:fs'
import { sep } from 'node:path'

const QUIET_MS = 25
const IGNORED = ['node_modules', '.lagoa', '.git']
const WATCHED = /\.(ts|mts|js|mjs|sql|py)$/

export function watchProject(folder: string, onChange: () => void): () => void {
  let timer: NodeJS.Timeout | undefined
  const watcher = watch(folder, { recursive: true }, (_, name) => {
    if (name === null || !WATCHED.test(name) || name.split(sep).some((part) => IGNORED.includes(part))) return
    clearTimeout(timer)
    timer = setTimeout(onChange, QUIET_MS)
  })
  // A folder that vanishes ends the watching, not the server.
  watcher.on('error', () => undefined)
  return () => {
    clearTimeout(timer)
    watcher.close()
  }
}
