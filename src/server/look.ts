/** Looking at a table that may be damaged: one of them must not blind a screen that shows all. */
import { toLagoaError, type LagoaError } from '../base/index.ts'
import type { Lake, Snapshot } from '../lake/index.ts'

export interface Look {
  readonly snapshot: Snapshot | null
  /** Why the table cannot be read; the snapshot is null then. */
  readonly fault: LagoaError | null
}

export async function lookAt(lake: Lake, name: string): Promise<Look> {
  try {
    return { snapshot: await lake.table(name).snapshot(), fault: null }
  } catch (error) {
    return { snapshot: null, fault: toLagoaError(error) }
  }
}
