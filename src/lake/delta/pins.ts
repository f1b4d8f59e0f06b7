/**
 * Pins: who needs the files of a version for longer than the table's retention keeps them says so, in a small object beside the data.
 * `vacuum` deletes no file of a pinned version, in whichever process it runs. Other engines know nothing of pins; they skip the folder,
 * because its name starts with `_`.
 */
import { isDeepStrictEqual } from 'node:util'
import { invalid, missing, systemClock } from '../../base/index.ts'
import { isKnownDead, THIS_PROCESS, type Objects } from '../../storage/index.ts'
import { isObject, numberOf, textOf } from './json.ts'
import { logFolder } from './paths.ts'
import type { Table } from './operations.ts'
import type { NewPin, Pin, PinReason, Place } from './types.ts'

const REASONS: readonly PinReason[] = ['reader', 'backup', 'branch', 'clone']

const folderOf = (root: string): string => `${root}/_lagoa_pins/`

/**
 * Keeps the files of a version from now on. A pin of the same id is replaced. A vacuum that runs is waited for until it has seen the
 * pin; what it or another deleted before is not brought back.
 */
export async function pin({ place, root, head }: Table, wanted: NewPin, signal?: AbortSignal): Promise<Pin> {
  const now = Date.now()
  if (!/^[A-Za-z0-9][\w.-]{0,99}$/.test(wanted.id))
    throw invalid('lake.bad_pin', `${JSON.stringify(wanted.id)} cannot be the id of a pin`, {
      hint: 'Use up to 100 letters, digits, dots, hyphens and underscores.',
    })
  if (wanted.until !== undefined && wanted.until <= now)
    throw invalid('lake.bad_pin', `The pin ${wanted.id} of ${root} would be over before it begins`, {
      hint: 'Give an instant in the future, in epoch milliseconds.',
    })
  if ((await head.at(wanted.version)) === null) throw missing('lake.table_missing', `There is no table at ${root}`)
  const made: Pin = { ...wanted, since: now }
  await place.objects.put(pinPath(root, wanted.id), bytesOf(made))
  await seenByVacuums(place.objects, root, signal)
  return made
}

/** Removing a pin that is not there is no error. */
export async function unpin({ place, root }: Table, id: string): Promise<void> {
  await place.objects.delete(pinPath(root, id))
}

function pinPath(root: string, id: string): string {
  return `${folderOf(root)}${id}.json`
}

const bytesOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))

/** The pins that hold, oldest first. One that cannot be read is an error: files could be deleted that somebody needs. */
export async function pinsOf({ objects }: Place, root: string): Promise<Pin[]> {
  const found: Pin[] = []
  const now = Date.now()
  for await (const pin of storedPins(objects, root)) if (pin.until === undefined || pin.until > now) found.push(pin)
  return found.sort((a, b) => a.since - b.since)
}

/** A clone writes its pin before its first commit; a pin this old without a clone is of one that was given up or dropped. */
const ORPHANED_MS = 86_400_000

/** Removes pins that are over, and those of clones that are no more. */
export async function cleanPins({ objects }: Place, root: string): Promise<void> {
  const now = Date.now()
  for await (const pin of storedPins(objects, root)) {
    const over = pin.until !== undefined && pin.until <= now
    if (over || (pin.holder !== undefined && now - pin.since > ORPHANED_MS && !(await isTable(objects, pin.holder))))
      await objects.delete(pinPath(root, pin.id))
  }
}

async function isTable(objects: Objects, root: string): Promise<boolean> {
  for await (const _ of objects.list(logFolder(root))) return true
  return false
}

async function* storedPins(objects: Objects, root: string): AsyncGenerator<Pin> {
  const folder = folderOf(root)
  for await (const { path } of objects.list(folder)) {
    const bytes = await objects.get(path)
    if (bytes === null) continue
    const pin = pinFrom(bytes)
    if (pin === null || path !== pinPath(root, pin.id))
      throw invalid('lake.pin_damaged', `The pin ${path} cannot be read`, {
        hint: 'Delete that file if nobody needs its version any more, then run this again.',
      })
    yield pin
  }
}

function pinFrom(bytes: Uint8Array): Pin | null {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return null
  }
  if (!isObject(value)) return null
  const id = textOf(value.id)
  const version = numberOf(value.version)
  const since = numberOf(value.since)
  const until = numberOf(value.until)
  const holder = textOf(value.holder)
  const reason = REASONS.find((one) => one === value.reason)
  if (id === null || version === null || since === null || reason === undefined) return null
  return { id, reason, version, since, ...(until === null ? {} : { until }), ...(holder === null ? {} : { holder }) }
}

// --- vacuums that run

/**
 * A vacuum shows itself while it deletes. Before each batch it raises its round and then reads the pins; so whoever wrote a pin and
 * sees no vacuum, or sees the round rise, knows that nothing is deleted any more without regard to the pin.
 */
export interface VacuumMark {
  /** Says that pins are about to be read again. */
  nextRound(): Promise<void>
  remove(): Promise<void>
}

/** A vacuum of another machine that did not raise its round for this long was killed; of this one's own processes it is known at once. */
const MARK_MS = 600_000
const LOOK_AGAIN_MS = 50

const marksOf = (root: string): string => `${root}/_lagoa_vacuum/`

export function markVacuum(objects: Objects, root: string, id: string): VacuumMark {
  const path = `${marksOf(root)}${id}.json`
  let round = 0
  return {
    nextRound: () => objects.put(path, bytesOf({ round: ++round, until: Date.now() + MARK_MS, by: THIS_PROCESS })),
    remove: () => objects.delete(path),
  }
}

async function seenByVacuums(objects: Objects, root: string, signal: AbortSignal | undefined): Promise<void> {
  const before = await runningVacuums(objects, root)
  for (let waiting = before; waiting.size > 0;) {
    await systemClock.sleep(LOOK_AGAIN_MS, signal)
    const now = await runningVacuums(objects, root)
    waiting = new Map([...waiting].filter(([path, mark]) => isDeepStrictEqual(mark, now.get(path))))
  }
}

async function runningVacuums(objects: Objects, root: string): Promise<Map<string, unknown>> {
  const found = new Map<string, unknown>()
  for await (const { path } of objects.list(marksOf(root))) {
    const bytes = await objects.get(path)
    if (bytes === null) continue
    const mark: unknown = JSON.parse(new TextDecoder().decode(bytes))
    if (isObject(mark) && (numberOf(mark.until) ?? 0) > Date.now() && !isKnownDead(textOf(mark.by) ?? '')) found.set(path, mark)
    else await objects.delete(path)
  }
  return found
}

// --- readers of this process

const readers = new WeakMap<Objects, Map<string, number>>()

/** Keeps the files of a version against vacuums of this process until the answer is called; calling it again does nothing. */
export function keepVersion(objects: Objects, root: string, version: number): () => void {
  const counts = readers.get(objects) ?? new Map<string, number>()
  readers.set(objects, counts)
  const key = `${version} ${root}`
  counts.set(key, (counts.get(key) ?? 0) + 1)
  let kept = true
  return () => {
    if (!kept) return
    kept = false
    const left = (counts.get(key) ?? 1) - 1
    if (left === 0) counts.delete(key)
    else counts.set(key, left)
  }
}

/** The versions that readers of this process use. */
export function keptVersions(objects: Objects, root: string): number[] {
  return [...(readers.get(objects) ?? [])].flatMap(([key]) => {
    const [version = '', ...rest] = key.split(' ')
    return rest.join(' ') === root ? [Number(version)] : []
  })
}
