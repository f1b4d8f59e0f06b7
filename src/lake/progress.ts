/** How far a model's table has come, and by what it was made, read from the table itself. */
import { idFrom } from '../base/index.ts'
import type { Snapshot } from './delta/index.ts'
import type { Model } from './model.ts'

/** Table settings that tell what made the rows. A generation begins with each rebuild that owes nothing to earlier refreshes. */
export const GENERATION = 'lagoa.generation'
const DEFINITION = 'lagoa.definition'
const INPUTS = 'lagoa.inputs'

export type Settings = Readonly<Record<string, string>>

export interface Progress {
  /** The settings that a table made now would have, without a generation. */
  readonly made: Settings
  readonly generation: string | undefined
  /** The input version that the table's last refresh covered. */
  readonly covered: number | null
  /** The table and its quarantine were made together, by this definition and from these inputs. */
  readonly current: boolean
}

export function progressOf(model: Model, inputs: ReadonlyMap<string, Snapshot>, table: Snapshot | null, quarantine: Snapshot | null): Progress {
  const made = { [DEFINITION]: model.definition, [INPUTS]: idFrom(...[...inputs].flatMap(([name, { metadata }]) => [name, metadata.id])) }
  const generation = table?.metadata.configuration[GENERATION]
  return {
    made,
    generation,
    covered: generation === undefined ? null : (table?.txnVersion(refreshId(model.name, generation)) ?? null),
    current: isCurrent(made, table, quarantine),
  }
}

/** Under this application the commits of a table carry the input version that they cover. */
export const refreshId = (table: string, generation: string): string => `refresh/${table}/${generation}`

/** A quarantine of another generation was written by a rebuild that did not get as far as the table. */
function isCurrent(made: Settings, table: Snapshot | null, quarantine: Snapshot | null): boolean {
  const settings = table?.metadata.configuration ?? {}
  const held = quarantine?.metadata.configuration ?? settings
  return Object.entries(made).every(([key, value]) => settings[key] === value) && held[GENERATION] === settings[GENERATION]
}

/** The driver's version, or for a table that is computed whole the sum of all inputs' versions plus their number. */
export function inputVersion(model: Model, snapshots: ReadonlyMap<string, Snapshot>): number {
  if (model.mode.kind !== 'full') return snapshots.get(model.mode.driver)?.version ?? 0
  // Versions only grow, so their sum grows whenever any input changed.
  return [...snapshots.values()].reduce((sum, { version }) => sum + version + 1, 0)
}
