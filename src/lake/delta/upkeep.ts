/**
 * Upkeep of a log: what a commit leaves to be done once it was acknowledged: its checksum, and now and then a checkpoint and the removal of
 * what has expired. It runs in the background, one piece at a time for a table, a moment later and for all that was committed until then, so
 * that a run of commits is not held up by it. Nothing depends on it; a process that dies in between leaves a longer replay to the next.
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
  /** The first and the last version committed here since the last checkpoint was considered; null when nothing is due. */
  due: Due | null
  scheduled: boolean
  /** The next checkpoint comes no earlier than this instant, unless somebody waits for it. */
  notBefore: number
  /** The cut-off to which the log was cleaned. */
  cleanedTo: number
}

interface Due {
  readonly first: number
  readonly last: number
}

/** Between a commit and its upkeep. */
const DELAY_MS = 200

/** Between two checkpoints of a table by this process; those of a large table take long, and at most a quarter of its time. */
const SPACING_MS = 2000
const SPACING_TIMES = 3

const upkeeps = new WeakMap<Head, Upkeep>()

/** Sees to it that what follows the commit of a version is done; returns at once. */
export function afterCommit(table: Kept, version: number): void {
  const upkeep = upkeeps.get(table.head) ?? { due: null, scheduled: false, notBefore: 0, cleanedTo: Number.NEGATIVE_INFINITY }
  upkeeps.set(table.head, upkeep)
  upkeep.due = { first: upkeep.due?.first ?? version, last: version }
  schedule(table, upkeep, DELAY_MS)
}

function schedule(table: Kept, upkeep: Upkeep, afterMs: number): void {
  if (upkeep.scheduled) return
  upkeep.scheduled = true
  table.place.duck.background(async (hurry) => {
    const due = taken(upkeep)
    const left = due && (await followUp(table, due, upkeep, hurry).catch(() => null))
    upkeep.scheduled = false
    const later = taken(upkeep)
    if (left === null && later === null) return
    // What could not be done yet is done with what was committed meanwhile.
    upkeep.due = left && later ? { first: left.first, last: later.last } : (left ?? later)
    schedule(table, upkeep, later ? DELAY_MS : Math.max(DELAY_MS, upkeep.notBefore - Date.now()))
  }, afterMs)
}

function taken(upkeep: Upkeep): Due | null {
  const { due } = upkeep
  upkeep.due = null
  return due
}

/** Answers what is still due. */
async function followUp({ place, root, head }: Kept, due: Due, upkeep: Upkeep, hurry: boolean): Promise<Due | null> {
  // Trouble with reading is met again, and reported, by the next refresh.
  const state = await head.refresh()
  if (state === null) return null
  if (state.version === due.last) await writeChecksum(place, root, state).catch(() => undefined)
  const interval = checkpointInterval(state.metadata)
  const isDue = Math.floor(due.last / interval) > Math.floor(Math.max(0, due.first - 1) / interval)
  if (!isDue) return null
  const began = Date.now()
  if (!hurry && began < upkeep.notBefore) return due
  const written = await writeCheckpoint(place, root, state, began).then(
    () => true,
    () => false,
  )
  const ended = Date.now()
  upkeep.notBefore = ended + Math.max(SPACING_MS, SPACING_TIMES * (ended - began))
  if (written) await clean(place, root, state, began, upkeep).catch(() => undefined)
  return null
}

/** Once for each cut-off: it moves at midnight. */
async function clean(place: Place, root: string, state: TableState, now: number, upkeep: Upkeep): Promise<void> {
  const cutoff = cutoffOf(state.metadata, now)
  if (cutoff === null || cutoff <= upkeep.cleanedTo) return
  await cleanLog(place, root, state, cutoff, now)
  upkeep.cleanedTo = cutoff
}
