/**
 * Upkeep of a log: what a commit leaves to be done once it was acknowledged: its checksum, and now and then a checkpoint and the removal of
 * what has expired. It runs in the background, one piece at a time for a table and always for the newest state: what falls due while a
 * piece runs waits as a single next one. Nothing depends on it; a process that dies in between leaves a longer replay to the next.
 */
import { writeCheckpoint } from './checkpoint-write.ts'
import { writeChecksum } from './checksum.ts'
import { cleanLog, cutoffOf } from './cleanup.ts'
import type { Head } from './head.ts'
import { checkpointInterval } from './protocol.ts'
import type { TableState } from './replay.ts'
import type { Place } from './types.ts'

interface Kept {
  readonly place: Place
  readonly root: string
  readonly head: Head
}

interface Upkeep {
  /** The first and the last version committed here since the last piece began; null when nothing is due. */
  due: { readonly first: number; readonly last: number } | null
  running: boolean
  /** The next checkpoint of a large table comes no earlier: they take long, and at most a quarter of this process's time. */
  notBefore: number
  /** The cut-off to which the log was cleaned. */
  cleanedTo: number
}

const LARGE = 100_000

const upkeeps = new WeakMap<Head, Upkeep>()

/** Starts what follows the commit of a version; returns at once. */
export function afterCommit(table: Kept, version: number): void {
  const upkeep = upkeeps.get(table.head) ?? { due: null, running: false, notBefore: 0, cleanedTo: Number.NEGATIVE_INFINITY }
  upkeeps.set(table.head, upkeep)
  upkeep.due = { first: upkeep.due?.first ?? version, last: version }
  if (upkeep.running) return
  upkeep.running = true
  table.place.duck.background(async () => {
    try {
      for (let { due } = upkeep; due !== null; due = upkeep.due) {
        upkeep.due = null
        await followUp(table, due, upkeep)
      }
    } finally {
      upkeep.running = false
    }
  })
}

async function followUp({ place, root, head }: Kept, due: { readonly first: number; readonly last: number }, upkeep: Upkeep): Promise<void> {
  // Trouble with reading is met again, and reported, by the next refresh.
  const state = await head.refresh().catch(() => null)
  if (state === null) return
  if (state.version === due.last) await writeChecksum(place, root, state).catch(() => undefined)
  const interval = checkpointInterval(state.metadata)
  const isDue = due.last > 0 && Math.floor(due.last / interval) > Math.floor((due.first - 1) / interval)
  const now = Date.now()
  if (!isDue || now < upkeep.notBefore) return
  const written = await writeCheckpoint(place, root, state, now).then(
    () => true,
    () => false,
  )
  if (state.fileCount > LARGE) upkeep.notBefore = Date.now() + 3 * (Date.now() - now)
  if (written) await clean(place, root, state, now, upkeep).catch(() => undefined)
}

/** Once for each cut-off: it moves at midnight. */
async function clean(place: Place, root: string, state: TableState, now: number, upkeep: Upkeep): Promise<void> {
  const cutoff = cutoffOf(state.metadata, now)
  if (cutoff === null || cutoff <= upkeep.cleanedTo) return
  await cleanLog(place, root, state, cutoff, now)
  upkeep.cleanedTo = cutoff
}
