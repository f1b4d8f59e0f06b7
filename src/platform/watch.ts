/** Watches a project folder and calls back once after each burst of changes to files that matter. */
import { readdirSync, watch, type FSWatcher } from 'node:fs'
import { join, sep } from 'node:path'

const QUIET_MS = 25
/** State, packages and history: large, busy, and no part of a project's text. */
const IGNORED: ReadonlySet<string> = new Set(['node_modules', 'objects', 'pg'])
const WATCHED = /\.(ts|mts|js|mjs|sql|py)$/

export function watchProject(folder: string, onChange: () => void, onFailure: (error: unknown) => void): () => void {
  let timer: NodeJS.Timeout | undefined
  const below = new Map<string, FSWatcher>()
  const changed = (): void => {
    clearTimeout(timer)
    timer = setTimeout(onChange, QUIET_MS)
  }
  const start = (path: string, recursive: boolean, onEvent: (name: string) => void): FSWatcher | null => {
    try {
      const watcher = watch(path, { recursive }, (_, name) => {
        if (name !== null) onEvent(name)
      })
      // A folder that vanishes ends its watching, not the server.
      return watcher.on('error', () => watcher.close())
    } catch (error) {
      onFailure(error)
      return null
    }
  }
  /** Each folder that may hold project files is watched by itself, so that the state beside them is never walked. */
  const look = (): void => {
    const names = readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() && !entry.name.startsWith('.') && !IGNORED.has(entry.name) ? [entry.name] : [],
    )
    for (const [name, watcher] of below) {
      if (names.includes(name)) continue
      watcher.close()
      below.delete(name)
    }
    for (const name of names) {
      if (below.has(name)) continue
      const watcher = start(join(folder, name), true, (file) => {
        if (WATCHED.test(file) && !file.split(sep).some((part) => IGNORED.has(part) || part.startsWith('.'))) changed()
      })
      if (watcher) below.set(name, watcher)
    }
  }
  const root = start(folder, false, (name) => {
    const known = below.size
    try {
      look()
    } catch (error) {
      onFailure(error)
    }
    if (WATCHED.test(name) || below.size !== known) changed()
  })
  look()
  return () => {
    clearTimeout(timer)
    root?.close()
    for (const watcher of below.values()) watcher.close()
  }
}
