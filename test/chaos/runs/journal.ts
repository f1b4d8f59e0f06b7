/** What nodes wrote down of the tries that they had, read back. */
import { existsSync, readFileSync } from 'node:fs'

export interface Entry {
  readonly what: 'begin' | 'end'
  readonly run: string
  readonly n: number
  readonly fence: number
  /** Nanoseconds of the machine's steady clock, the same for all processes. */
  readonly at: string
  readonly outcome?: string
}

/** One try, as the node that had it saw it. */
export interface Try {
  readonly worker: string
  readonly run: string
  readonly n: number
  readonly fence: number
  readonly begin: bigint
  /** Null when its node did not live to see it. */
  end: bigint | null
  outcome: string | null
}

export interface Journal {
  readonly tries: readonly Try[]
  /** How often nodes logged each event. */
  readonly events: ReadonlyMap<string, number>
}

/** `files` by the worker that wrote it. */
export function readJournals(files: ReadonlyMap<string, string>): Journal {
  const tries: Try[] = []
  const events = new Map<string, number>()
  for (const [worker, file] of files) {
    if (!existsSync(file)) continue
    const open = new Map<string, Try>()
    // The last line may have been cut off by a kill.
    for (const line of readFileSync(file, 'utf8').split('\n').slice(0, -1)) {
      const entry = JSON.parse(line) as Entry | { readonly event: string }
      if ('event' in entry) {
        events.set(entry.event, (events.get(entry.event) ?? 0) + 1)
        continue
      }
      const { run, n, fence } = entry
      const key = `${run} ${n} ${fence}`
      if (entry.what === 'begin') {
        const one: Try = { worker, run, n, fence, begin: BigInt(entry.at), end: null, outcome: null }
        open.set(key, one)
        tries.push(one)
      } else {
        const one = open.get(key)
        if (one) Object.assign(one, { end: BigInt(entry.at), outcome: entry.outcome ?? null })
      }
    }
  }
  return { tries, events }
}
