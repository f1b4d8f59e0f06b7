/** How assets of the catalogue are named and drawn: by kind, and a table by its tier. */
import { Activity, Bell, Database, FolderOpen, type LucideIcon, MailX, Send, Workflow, Zap } from 'lucide-react'
import type { AssetSummary } from '../api/index.ts'

export type AssetKind = AssetSummary['kind']

export const kindIcons: Readonly<Record<AssetKind, LucideIcon>> = {
  stream: Activity,
  table: Database,
  task: Workflow,
  alert: Bell,
  queue: Send,
  live: Zap,
  dead_letters: MailX,
  files: FolderOpen,
}

/** The name in an id, `silver.readings` in `table:silver.readings`; with a column as SQL writes it. */
export function placeName({ asset, column }: { asset: string; column?: string | undefined }): string {
  const name = asset.slice(asset.indexOf(':') + 1)
  return column === undefined ? name : `${name}.${column}`
}

export type Tier = 'bronze' | 'silver' | 'gold'

/** The tier that a table's name begins with, none for other assets. */
export function tierOf(id: string): Tier | undefined {
  return (['bronze', 'silver', 'gold'] as const).find((tier) => id.startsWith(`table:${tier}.`))
}
